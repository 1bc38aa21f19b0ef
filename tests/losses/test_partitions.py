import pytest
import torch

from halfmask.losses.partitions import (
    Similarity,
    comparative,
    partition_contrast,
    sampled_comparative,
    similarity,
    slices,
)


@pytest.mark.parametrize("shape", [(7, 9), (6, 11, 5)], ids=["2d", "3d"])
def test_a_slice_is_drawn_from_each_partition_of_each_image(shape):
    """Whole, in order, and over many draws each slice of the side, whether or not P divides it."""
    torch.manual_seed(0)
    parts, batch = 4, 3
    for axis, side in enumerate(shape):
        number = torch.arange(side).view(-1, *[1] * (len(shape) - 1 - axis)).expand(shape)
        channel = 100 * torch.arange(2).view(2, *[1] * len(shape))
        image = 1000 * torch.arange(batch).view(-1, 1, *[1] * len(shape))
        seen = set()
        for _ in range(60):
            found = slices((number + channel + image).float(), axis, parts)
            assert found.shape == (batch, parts, 2, number.numel() // side)
            first = found[..., :1]
            assert found.equal(first.expand_as(found))
            assert (first[:, :, 1] - first[:, :, 0]).eq(100).all()
            place = (first[:, :, 0, 0] - 1000 * torch.arange(batch)[:, None]).long()
            for p in range(parts):
                assert place[:, p].ge(p * side // parts).all() and place[:, p].lt((p + 1) * side // parts).all()
            seen |= {tuple(row) for row in place.tolist()}
        assert {n for row in seen for n in row} == set(range(side))
    assert any(len(set(map(tuple, rows))) > 1 for rows in [place.tolist()])


def test_more_partitions_than_slices_are_refused():
    with pytest.raises(ValueError, match="3 slices along axis 1 cannot be cut into 4"):
        slices(torch.zeros(2, 1, 8, 3), 1, 4)


def slow(each, loss):
    """Both objectives as the paper writes them, slice by slice."""
    K, B, P, _ = each.shape
    cosine = lambda a, b: (a * b).sum() / (a.norm() * b.norm())
    total = 0
    for k in range(K):
        terms = []
        for i in range(B):
            for j in range(B):
                for p in range(P):
                    if i == j:
                        continue
                    same = cosine(each[k, i, p], each[k, j, p])
                    others = [cosine(each[k, i, p], each[k, i, q]) for q in range(P) if q != p]
                    if loss is comparative:
                        terms += [(1 + (other - same).exp()).log() for other in others]
                    else:
                        terms.append(-(same.exp() / (same.exp() + sum(other.exp() for other in others))).log())
        total = total + sum(terms) / len(terms)
    return total


@pytest.mark.parametrize("loss", [comparative, partition_contrast])
@pytest.mark.parametrize(("maps", "images", "parts"), [(2, 3, 4), (1, 4, 3), (3, 2, 2)])
def test_it_is_a_slow_loop(loss, maps, images, parts):
    torch.manual_seed(0)
    each = (torch.randn(maps, images, parts, 5, dtype=torch.float64) + 0.5).requires_grad_()
    ours, theirs = loss(similarity(each)), slow(each, loss)
    torch.testing.assert_close(ours, theirs)
    for one, other in zip(*(torch.autograd.grad(found, each) for found in (ours, theirs)), strict=True):
        torch.testing.assert_close(one, other)


def test_partitions_alike_across_images_beat_those_alike_within():
    part, image = torch.eye(4)[None, None].expand(1, 3, 4, 4), torch.eye(3)[None, :, None].expand(1, 3, 4, 3)
    for loss in (comparative, partition_contrast, sampled_comparative):
        assert loss(similarity(part)) < loss(similarity(torch.ones(1, 3, 4, 2))) < loss(similarity(image))


def test_sampled_triplets_are_triplets_and_on_average_all_of_them():
    torch.manual_seed(0)
    s = similarity(torch.randn(2, 3, 4, 5))
    draws = torch.stack([sampled_comparative(s) for _ in range(3000)])
    assert draws.mean().item() == pytest.approx(comparative(s).item(), rel=0.02)
    nan = lambda x: x.masked_fill(torch.eye(x.shape[-1], dtype=torch.bool), torch.nan)
    no_slice_with_itself = Similarity(nan(s.across), nan(s.within))
    assert all(sampled_comparative(no_slice_with_itself).isfinite() for _ in range(100))


def test_half_precision_is_left_before_the_cosine():
    each = torch.randn(1, 2, 3, 50).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = similarity(each)
    assert found.across.dtype == torch.float32
    torch.testing.assert_close(found.within, similarity(each.float()).within)
