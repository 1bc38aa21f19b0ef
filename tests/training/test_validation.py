import types

import numpy as np
import pytest
import torch

from halfmask.inference.classify import ClassPredictor
from halfmask.learning.processes import Processes
from halfmask.training.validation import classify, validated


class OneOf(Processes):
    """A process among several whose shares are known already; without them it ends when it has given its own."""

    def __init__(self, rank, size, shares=None):
        self.rank, self.size, self.shares = rank, size, shares

    def gather(self, value):
        if self.shares is None:
            raise StopIteration(value)
        return self.shares


@pytest.mark.parametrize("size", [1, 2, 5])
def test_every_process_has_the_probabilities_of_all_images_in_their_order(size):
    """More processes than images too: some then have none."""
    images = [np.full((1, 1, 2, 2), value, np.float32) for value in (0.1, 0.4, 0.2)]
    cases = [types.SimpleNamespace(normalized=lambda image=image: image) for image in images]
    plan = types.SimpleNamespace(dims=2, patch=(2, 2), labels={"a": 0, "b": 1})
    predict = lambda x: torch.stack([x.mean((1, 2, 3)), 1 - x.mean((1, 2, 3))], 1)
    predictor = ClassPredictor(predict, plan, torch.device("cpu"))
    shares = []
    for rank in range(size):
        with pytest.raises(StopIteration) as ended:
            classify(predictor, cases, OneOf(rank, size))
        shares.append(ended.value.value)
    found = classify(predictor, cases, OneOf(size - 1, size, shares))
    np.testing.assert_allclose(found, [[0.1, 0.9], [0.4, 0.6], [0.2, 0.8]], rtol=1e-6)


@pytest.mark.parametrize(("orientation", "most"), [("SPL", 10), (None, 100)])
def test_a_part_of_a_large_fold_is_validated_on_evenly(prepared, orientation, most):
    plan = prepared(2).plan.model_copy(update={"orientation": orientation})
    few, many = [f"case {n}" for n in range(most)], [f"case {n}" for n in range(25 * most + 3)]
    assert validated(few, plan) == few
    found = validated(many, plan)
    assert most / 2 < len(found) <= most and found[0] == many[0] and many.index(found[-1]) > 20 * most
    assert validated([], plan) == []
