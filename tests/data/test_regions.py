import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from halfmask.data.batch import IGNORE
from halfmask.data.regions import class_scores, largest, region_labels

BRATS = np.array([[0, 0, 0], [1, 1, 0], [1, 0, 0], [1, 1, 1]], bool)
"""Background, necrosis, edema, enhancing; whole tumor, core, enhancing tumor."""


@pytest.mark.parametrize("shape", [(2, 5, 4), (2, 3, 5, 4)])
def test_a_region_holds_its_classes_and_leaves_out_what_nobody_annotated(shape):
    label = torch.randint(4, shape)
    label[torch.rand(shape) < 0.2] = IGNORE
    regions = region_labels(label, BRATS)
    assert regions.shape == (2, 3, *shape[1:])
    for b, *place in torch.cartesian_prod(*map(torch.arange, shape)).tolist():
        k, found = label[b, *place].item(), regions[b, :, *place].tolist()
        assert found == ([IGNORE] * 3 if k == IGNORE else BRATS[k].astype(int).tolist())


@given(st.integers(0, 2**32 - 1))
def test_regions_that_are_those_of_a_class_become_that_class(seed):
    """Whatever classes and regions there are; of classes in the same regions the first stands for all."""
    rng = np.random.default_rng(seed)
    members = rng.random((rng.integers(2, 6), rng.integers(1, 5))) < 0.5
    classes = rng.integers(len(members), size=(3, 4, 2))
    sure = rng.uniform(0.51, 1, (members.shape[1], 3, 4, 2))
    inside = np.moveaxis(members[classes], -1, 0)
    found = largest(class_scores(list(np.where(inside, sure, 1 - sure).astype(np.float32)), members))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(members[found], members[classes])
    first = [next(k for k in range(len(members)) if (members[k] == row).all()) for row in members]
    np.testing.assert_array_equal(found, np.array(first)[classes])


def test_a_core_outside_the_tumor_goes_with_what_is_surer():
    p = np.array([[0.4, 0.1], [0.9, 0.6], [0.1, 0.1]], np.float32)  # whole, core, enhancing
    assert largest(class_scores(list(p), BRATS)).tolist() == [1, 0]


def test_the_first_of_equals_is_the_largest():
    scores = [np.array([1.0, 0, 5]), np.array([1.0, 2, 4]), np.array([1.0, 2, 6])]
    assert largest(iter(scores)).tolist() == [0, 1, 2]
    assert scores[0].tolist() == [1, 0, 5], "the scores are the caller's"
