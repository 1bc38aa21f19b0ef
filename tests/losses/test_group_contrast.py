import pytest
import torch
import torch.nn.functional as F

from halfmask.losses.groups import group_contrast


def slow(vectors, together, apart, temperature):
    terms = []
    for rows in vectors:
        s = [[F.cosine_similarity(a, b, dim=0) / temperature for b in rows] for a in rows]
        for a in range(len(rows)):
            against = [s[a][n].exp() for n in range(len(rows)) if n != a and apart[a, n]]
            for b in range(len(rows)):
                if a != b and together[a, b] and against:
                    terms.append(-(s[a][b].exp() / (s[a][b].exp() + sum(against))).log())
    return torch.stack(terms).mean()


def test_it_is_a_slow_loop():
    """Groups of unequal sizes, one of a single vector, some pairs neither together nor apart; in two sets at once."""
    torch.manual_seed(0)
    group = torch.tensor([0, 0, 0, 1, 1, 2, 3, 3])
    together = group[:, None] == group
    apart = ~together
    apart[3, 5:] = apart[0, 1] = False
    apart[4, 4] = apart[6] = apart[7] = False  # nothing is apart from the last two
    apart[6, 6] = True  # but a vector does not count with itself
    vectors = torch.randn(2, 8, 4, dtype=torch.float64, requires_grad=True)
    ours, theirs = group_contrast(vectors, together, apart, 0.3), slow(vectors, together, apart, 0.3)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(*(torch.autograd.grad(found, vectors)[0] for found in (ours, theirs)))


def test_with_nothing_apart_it_teaches_nothing():
    vectors = torch.randn(4, 3, requires_grad=True)
    everyone = torch.ones(4, 4, dtype=torch.bool)
    loss = group_contrast(vectors, everyone, ~everyone, 0.01)
    loss.backward()
    assert loss == 0 and vectors.grad.eq(0).all()


def test_partners_do_not_push_each_other_away():
    """With two partners equally near, the loss is that of one partner: the other is not in its denominator."""
    near, far = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    for partners in (1, 4):
        vectors = torch.stack([near] * (partners + 1) + [far])
        group = torch.tensor([0] * (partners + 1) + [1])
        together = group[:, None] == group
        loss = group_contrast(vectors, together, ~together, 0.5)
        assert loss.item() == pytest.approx(F.softplus(torch.tensor(-2.0)).item())
