import pytest
import torch
import torch.nn.functional as F

from halfmask.data.batch import IGNORE
from halfmask.losses.segmentation import cross_entropy, dice, dice_ce
from halfmask.losses.soft import soft_cross_entropy, soft_dice, soft_dice_ce

PAIRS = [(soft_dice, dice), (soft_cross_entropy, cross_entropy), (soft_dice_ce, dice_ce)]


def example(exclusive, sparse=0.0, spatial=(5, 4)):
    """Logits, a label, and the same label as a target with where it is known."""
    torch.manual_seed(0)
    logits = torch.randn(2, 3, *spatial, requires_grad=True)
    label = torch.randint(3, (2, *spatial)) if exclusive else torch.randint(2, (2, 3, *spatial))
    label[torch.rand(label.shape) < sparse] = IGNORE
    known = label != IGNORE
    clean = label.where(known, 0)
    if not exclusive:
        return logits, label, clean.float(), known
    return logits, label, F.one_hot(clean, 3).movedim(-1, 1).float(), known[:, None]


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize(("soft", "hard"), PAIRS)
def test_of_labels_they_are_the_losses_of_labels(soft, hard, exclusive):
    for sparse, spatial in ((0.0, (5, 4)), (0.4, (5, 4, 3))):
        logits, label, target, known = example(exclusive, sparse, spatial)
        torch.testing.assert_close(soft(logits, target, known, exclusive=exclusive), hard(logits, label))


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("soft", [pair[0] for pair in PAIRS])
def test_they_are_least_where_the_prediction_is_the_target(soft, exclusive):
    """Which 2 Σ p y is not. And where nothing is known they are 0, with a gradient."""
    logits, _, _, known = example(exclusive)
    target = logits.detach().softmax(1) if exclusive else logits.detach().sigmoid()
    least = soft(logits, target, exclusive=exclusive)
    for _ in range(20):
        assert soft(logits + 0.1 * torch.randn_like(logits), target, exclusive=exclusive) > least
    nothing = soft(logits, target, torch.zeros_like(known), exclusive=exclusive)
    (slope,) = torch.autograd.grad(nothing, logits)
    assert nothing == 0 and not slope.any()


def test_they_are_slow_loops():
    logits, _, _, known = example(True, 0.4)
    target = torch.randn(2, 3, 5, 4).softmax(1)
    p = logits.detach().softmax(1)
    both, either, terms = torch.zeros(3), torch.zeros(3), []
    for b, i, j in torch.cartesian_prod(torch.arange(2), torch.arange(5), torch.arange(4)).tolist():
        if known[b, 0, i, j]:
            for k in range(3):
                both[k] += min(p[b, k, i, j], target[b, k, i, j])
                either[k] += p[b, k, i, j] + target[b, k, i, j]
            terms.append(-(target[b, :, i, j] * p[b, :, i, j].log()).sum())
    expected = 1 - ((2 * both + 1e-5) / (either + 1e-5))[1:].mean()
    torch.testing.assert_close(soft_dice(logits, target, known).detach(), expected)
    torch.testing.assert_close(soft_cross_entropy(logits, target, known).detach(), torch.stack(terms).mean())
