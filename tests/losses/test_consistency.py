import pytest
import torch

from halfmask.data.batch import IGNORE
from halfmask.losses.consistency import cosine_distance, mutual_mse, probability_mse, pseudo_label_ce


def example(dtype=torch.float32):
    return torch.randn(2, 3, 4, 5, dtype=dtype, requires_grad=True)


def test_mse_is_the_mean_over_voxels_and_classes_and_leaves_the_target_alone():
    student, teacher = example(), example()
    loss = probability_mse(student.softmax(1), teacher.softmax(1))
    slow = sum(
        (student[b, :, i, j].softmax(0)[k] - teacher[b, :, i, j].softmax(0)[k]) ** 2
        for b in range(2) for k in range(3) for i in range(4) for j in range(5)
    )  # fmt: skip
    torch.testing.assert_close(loss, slow / (2 * 3 * 4 * 5))
    loss.backward()
    assert student.grad.any()
    assert teacher.grad is None
    assert probability_mse(student, student) == 0


def test_mse_refuses_to_broadcast():
    with pytest.raises(AssertionError, match=r"against \(2, 1, 4, 5\)"):
        probability_mse(example(), torch.ones(2, 1, 4, 5))


def test_pseudo_label_ce_is_the_mean_over_all_voxels():
    logits, pseudo = example(), torch.randint(3, (2, 4, 5))
    keep = torch.rand(2, 4, 5) < 0.3
    pseudo[0, 0, 0], keep[0, 0, 0] = IGNORE, True
    kept = [-logits[b, :, i, j].log_softmax(0)[pseudo[b, i, j]] for b, i, j in keep.nonzero()[1:].tolist()]
    loss = pseudo_label_ce(logits, pseudo, keep)
    torch.testing.assert_close(loss, sum(kept) / (2 * 4 * 5))
    loss.backward()
    assert torch.equal(logits.grad.any(1), keep & (pseudo != IGNORE))


def test_pseudo_labels_of_regions_are_a_question_each():
    """Against K problems of two classes with logits 0 and z."""
    logits, pseudo, keep = example(), torch.randint(2, (2, 3, 4, 5)), torch.rand(2, 3, 4, 5) < 0.5
    pseudo[0, :, 0, 0] = IGNORE
    each = [pseudo_label_ce(torch.stack([torch.zeros(2, 4, 5), logits[:, k]], 1), pseudo[:, k], keep[:, k])
            for k in range(3)]  # fmt: skip
    torch.testing.assert_close(pseudo_label_ce(logits, pseudo, keep), sum(each) / 3)


def test_pseudo_labels_none_of_which_is_kept_pull_nowhere():
    logits, pseudo = example(), torch.randint(3, (2, 4, 5))
    loss = pseudo_label_ce(logits, pseudo, torch.zeros(2, 4, 5, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()
    assert torch.equal(pseudo_label_ce(logits, pseudo), pseudo_label_ce(logits, pseudo, torch.ones_like(pseudo)))


def test_gradients_and_precision():
    logits, target, pseudo = (
        example(torch.float64),
        example(torch.float64).softmax(1),
        torch.randint(3, (2, 4, 5)),
    )
    assert torch.autograd.gradcheck(lambda x: probability_mse(x, target), logits)
    assert torch.autograd.gradcheck(lambda x: pseudo_label_ce(x, pseudo, pseudo > 0), logits)
    low = logits.detach().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        losses = probability_mse(low, low), pseudo_label_ce(low, pseudo)
    assert {loss.dtype for loss in losses} == {torch.float32}


def test_mutual_mse_counts_the_voxels_asked_for_and_moves_both():
    one, other, counts = example(), example(), torch.rand(2, 1, 4, 5) < 0.5
    loss = mutual_mse(one, other, counts)
    slow = sum(
        (one[b, :, i, j] - other[b, :, i, j]).square().mean()
        for b in range(2) for i in range(4) for j in range(5) if counts[b, 0, i, j]
    )  # fmt: skip
    torch.testing.assert_close(loss, slow / counts.sum())
    loss.backward()
    assert one.grad.any()
    torch.testing.assert_close(one.grad, -other.grad)
    torch.testing.assert_close(mutual_mse(one, other), probability_mse(one, other))
    none = mutual_mse(one, other, torch.zeros_like(counts))
    assert none == 0 and none.requires_grad
    assert mutual_mse(one.bfloat16(), other.bfloat16()).dtype == torch.float32


def test_cosine_distance_is_the_squared_distance_of_directions():
    torch.manual_seed(0)
    one, other = torch.randn(2, 5, 3)
    expected = sum((a / a.norm() - b / b.norm()).square().sum() for a, b in zip(one, other, strict=True)) / 5
    torch.testing.assert_close(cosine_distance(one, other), expected)
    assert cosine_distance(one, 3 * one).abs() < 1e-6
    torch.testing.assert_close(cosine_distance(one, -one), torch.tensor(4.0))
    one.requires_grad_(), other.requires_grad_()
    cosine_distance(one, other).backward()
    assert one.grad.any() and other.grad.any()
    assert cosine_distance(one.bfloat16(), other.bfloat16()).dtype == torch.float32
