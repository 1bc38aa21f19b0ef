from functools import partial

import pytest
import torch
import torch.nn.functional as F

from halfmask.data.batch import IGNORE
from halfmask.losses.segmentation import cross_entropy, dice, dice_ce

LOSSES = {
    "dice": dice,
    "dice_squared": partial(dice, squared=True),
    "dice_per_image": partial(dice, batch=False),
    "cross_entropy": cross_entropy,
    "cross_entropy_weighted": lambda x, y: cross_entropy(x, y, torch.arange(1.0, 1 + x.shape[1])),
    "dice_ce": dice_ce,
}
AS_OURS = dict(include_background=False, to_onehot_y=True, softmax=True, smooth_nr=1e-5, smooth_dr=1e-5)
each_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def example(*spatial, images=2, classes=4, dtype=torch.float32):
    logits = 3 * torch.randn(images, classes, *spatial, dtype=dtype)
    return logits.requires_grad_(), torch.randint(classes, (images, *spatial))


def sparse(label):
    """Some slices annotated, and one image not at all."""
    label = label.clone()
    label[:, ::2] = IGNORE
    label[0] = IGNORE
    return label


@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize("squared", [True, False])
def test_dice_is_monais(squared, batch):
    from monai.losses import DiceLoss

    logits, label = example(6, 5, 4)
    label[label == 3] = 0  # a class that is absent
    theirs = DiceLoss(squared_pred=squared, batch=batch, **AS_OURS)(logits, label[:, None])
    torch.testing.assert_close(dice(logits, label, squared=squared, batch=batch), theirs)


@pytest.mark.parametrize("spatial", [(6, 5), (6, 5, 4)])
def test_dice_ce_is_half_of_monais(spatial):
    from monai.losses import DiceCELoss

    logits, label = example(*spatial)
    weight = torch.tensor([1.0, 2, 3, 4])
    theirs = DiceCELoss(batch=True, **AS_OURS)(logits, label[:, None])
    torch.testing.assert_close(2 * dice_ce(logits, label), theirs)
    weighted = dice(logits, label) + cross_entropy(logits, label, weight)
    torch.testing.assert_close(2 * dice_ce(logits, label, weight), weighted)


@pytest.mark.parametrize("batch", [True, False])
def test_regions_that_overlap_are_monais_sigmoid(batch):
    from monai.losses import DiceLoss

    logits, _ = example(6, 5, 4)
    label = torch.randint(2, logits.shape)
    label[:, 3] = 0  # a region that is absent
    theirs = DiceLoss(sigmoid=True, batch=batch, smooth_nr=1e-5, smooth_dr=1e-5)(logits, label)
    torch.testing.assert_close(dice(logits, label, batch=batch), theirs)
    each = F.binary_cross_entropy_with_logits(logits, label.float(), reduction="none")
    torch.testing.assert_close(cross_entropy(logits, label), each.mean())
    weight = torch.tensor([1.0, 2, 3, 4])
    torch.testing.assert_close(cross_entropy(logits, label, weight), (each.mean((0, 2, 3, 4)) * weight).sum() / 10)


@each_loss
@pytest.mark.parametrize("spatial", [(6, 5), (6, 5, 4)])
def test_ignored_voxels_of_regions_do_not_count(loss, spatial):
    """The losses of what is annotated alone, and 0 with a gradient where nothing is."""
    logits, _ = example(*spatial)
    label = torch.randint(2, logits.shape)
    unknown = sparse(torch.zeros(2, *spatial)) == IGNORE
    label.movedim(1, 0)[:, unknown] = IGNORE
    other = logits.detach().clone()
    other.movedim(1, 0)[:, unknown] = 17.0
    torch.testing.assert_close(loss(logits, label), loss(other, label))
    assert loss(logits, label) > 0
    nothing = loss(logits, torch.full_like(label, IGNORE))
    nothing.backward()
    assert nothing == 0 and not logits.grad.any()


def test_a_label_of_another_shape_is_refused():
    logits, label = example(6, 5)
    with pytest.raises(AssertionError, match=r"logits \(2, 4, 6, 5\), label \(2, 6, 4\)"):
        dice_ce(logits, label[..., :4])


@pytest.mark.parametrize("squared", [True, False])
def test_equal_to_slow_loops_over_annotated_voxels(squared):
    logits, label = example(4, 3)
    label[torch.rand(label.shape) < 0.5] = IGNORE
    weight = torch.tensor([1.0, 0.5, 2, 4])
    both, below, terms, weights = torch.zeros(4), torch.zeros(4), [], []
    for b in range(2):
        for i in range(4):
            for j in range(3):
                true = label[b, i, j].item()
                if true == IGNORE:
                    continue
                p = logits[b, :, i, j].detach().softmax(0)
                both[true] += p[true]
                below += p**2 if squared else p
                below[true] += 1
                terms.append(-weight[true] * p[true].log())
                weights.append(weight[true])
    score = (2 * both + 1e-5) / (below + 1e-5)
    torch.testing.assert_close(dice(logits, label, squared=squared), 1 - score[1:].mean())
    torch.testing.assert_close(cross_entropy(logits, label, weight), sum(terms) / sum(weights))


@each_loss
def test_ignored_voxels_are_as_good_as_cut_off(loss):
    logits, label = example(6, 5, 4)
    label[:, 3:] = IGNORE
    torch.testing.assert_close(loss(logits, label), loss(logits[:, :, :3], label[:, :3]))
    label[0] = IGNORE
    torch.testing.assert_close(loss(logits, label), loss(logits[1:, :, :3], label[1:, :3]))
    loss(logits, label).backward()
    assert not logits.grad[0].any()
    assert not logits.grad[1, :, 3:].any()
    assert logits.grad[1, :, :3].any()


@each_loss
@pytest.mark.parametrize("scale", [1, 1e4])
def test_without_annotation_exactly_zero_with_a_gradient(loss, scale):
    logits, label = example(4, 4)
    value = loss(scale * logits, torch.full_like(label, IGNORE))
    value.backward()
    assert value.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@each_loss
def test_perfect_is_zero_and_wrong_is_not(loss):
    _, label = example(6, 6)
    logits = torch.nn.functional.one_hot(label, 4).movedim(-1, 1) * 50.0
    assert loss(logits, label).item() == pytest.approx(0, abs=1e-6)
    assert loss(logits, (label + 1) % 4).item() > 0.4


@each_loss
@pytest.mark.parametrize("only", [0, 1])
def test_labels_of_one_class(loss, only):
    logits, label = example(4, 4, classes=2)
    value = loss(logits, torch.full_like(label, only))
    value.backward()
    assert value > 0
    assert logits.grad.isfinite().all()
    assert (logits.grad[:, only] <= 0).all()  # all that can be wanted is more of that class


def test_absent_class_adds_a_constant():
    logits, label = example(8, 8)
    label[label == 3] = 0
    without = logits.detach().clone()
    without[:, 3] = -torch.inf
    assert dice(logits, label) > dice(without, label)
    absent, *_ = torch.autograd.grad(dice(logits, torch.zeros_like(label)), logits)
    assert absent.abs().max() < 1e-7


@each_loss
def test_gradient_is_that_of_the_value(loss):
    logits, label = example(4, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: loss(x, sparse(label)), logits)


@each_loss
def test_autocast_changes_nothing(loss):
    logits, label = example(8, 8)
    low = logits.detach().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        inside = loss(low, sparse(label))
    assert inside.dtype == torch.float32
    assert torch.equal(inside, loss(low.float(), sparse(label)))


def test_dice_counts_large_volumes_exactly():
    """Sums of half precision, or of ones in float32 one by one, would stop at 2048 and 2²⁴."""
    label = torch.zeros(1, 300, 300, 300, dtype=torch.int64)
    label[:, :250] = 1
    logits = torch.zeros(1, 2, 300, 300, 300, dtype=torch.bfloat16)
    expected = 1 - 2 * 0.5 * 250 / (0.5 * 300 + 250)
    assert dice(logits, label).item() == pytest.approx(expected, rel=1e-6)
