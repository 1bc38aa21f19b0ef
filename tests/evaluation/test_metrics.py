import itertools
import math

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as some

from halfmask.evaluation import metrics
from halfmask.evaluation.metrics import DISTANCES, LESIONS, METRICS, OVERLAP, VOLUME, measure

SPACING = (0.7, 1.3, 3.0)
ALL = (*OVERLAP, *DISTANCES, *VOLUME, *LESIONS)


def of(prediction, label, spacing=None, **options):
    """All metrics of one pair of masks."""
    spacing = spacing or SPACING[: label.ndim]
    prediction, label = prediction.astype(np.uint8), label.astype(np.uint8)
    return measure(prediction, label, spacing=spacing, structures={"it": [1]}, metrics=ALL, **options)["it"]


def cube(shape, *corner, size=3):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(c, c + size) for c in corner)] = True
    return mask


def random_pair(seed=0, shape=(12, 10, 8)):
    """Two blobs with holes that touch the border."""
    rng = np.random.default_rng(seed)
    return rng.random(shape) < 0.4, rng.random(shape) < 0.3


pairs = st.integers(2, 3).flatmap(
    lambda dims: some.array_shapes(min_dims=dims, max_dims=dims, max_side=5).flatmap(
        lambda shape: st.tuples(some.arrays(bool, shape), some.arrays(bool, shape))
    )
)


def slow(prediction, label, spacing):
    """The definitions as loops."""
    steps = [tuple(s * (a == b) for b in range(label.ndim)) for a in range(label.ndim) for s in (1, -1)]
    around = [s for s in itertools.product((-1, 0, 1), repeat=label.ndim) if any(s)]
    voxels = lambda mask: {tuple(map(int, v)) for v in np.argwhere(mask)}
    move = lambda v, step: tuple(a + b for a, b in zip(v, step, strict=True))
    length = lambda v, w: math.hypot(*((a - b) * s for a, b, s in zip(v, w, spacing, strict=True)))
    p, t = voxels(prediction), voxels(label)

    def gaps(a, b):
        edge = lambda m: [v for v in m if any(move(v, step) not in m for step in steps)]
        return [min(length(v, w) for w in edge(b)) for v in edge(a)]

    def found(a, b):
        """How many components there are, and how many of them the other mask meets."""
        a, count, met = set(a), 0, 0
        while a:
            component = front = {a.pop()}
            while front:
                front = {move(v, step) for v in front for step in around} & a
                component, a = component | front, a - front
            count, met = count + 1, met + bool(component & b)
        return met / count

    there, back = gaps(p, t), gaps(t, p)
    recall, precision = found(t, p), found(p, t)
    dice = 2 * len(p & t) / (len(p) + len(t))
    return {
        "dice": dice,
        "iou": len(p & t) / len(p | t),
        "precision": len(p & t) / len(p),
        "recall": len(p & t) / len(t),
        "f1": dice,
        "hd": max(there + back),
        "hd95": np.percentile(there + back, 95),
        "assd": np.mean(there + back),
        "hd95_directed": max(np.percentile(there, 95), np.percentile(back, 95)),
        "masd": (np.mean(there) + np.mean(back)) / 2,
        "volume_error": (len(p) - len(t)) / len(t),
        "volume_error_ml": (len(p) - len(t)) * math.prod(spacing) / 1000,
        "lesion_recall": recall,
        "lesion_precision": precision,
        "lesion_f1": 2 * recall * precision / (recall + precision) if recall + precision else 0,
    }


@settings(deadline=None)
@given(pairs)
def test_is_the_definition(pair):
    prediction, label = pair
    if prediction.any() and label.any():
        expected = slow(*pair, SPACING[: label.ndim])
        found = of(*pair)
        assert found == pytest.approx(expected)
        assert {type(value) for value in found.values()} == {float}, "JSON and YAML take no NumPy numbers"


@settings(deadline=None)
@given(pairs)
def test_the_two_masks_may_change_places(pair):
    one, other = of(*pair), of(*reversed(pair))
    swapped = {"precision": "recall", "lesion_precision": "lesion_recall"}
    swapped |= {b: a for a, b in swapped.items()}
    for metric in set(ALL) - set(VOLUME):
        assert one[metric] == pytest.approx(other[swapped.get(metric, metric)], nan_ok=True)


def test_equal_masks_are_perfect():
    mask, _ = random_pair()
    assert of(mask, mask) == dict.fromkeys((*OVERLAP, *LESIONS), 1) | dict.fromkeys((*DISTANCES, *VOLUME), 0)


def test_both_empty_is_perfect():
    empty = np.zeros((4, 5, 6), bool)
    assert of(empty, empty) == dict.fromkeys((*OVERLAP, *LESIONS), 1) | dict.fromkeys((*DISTANCES, *VOLUME), 0)


def test_one_empty_has_no_distance():
    mask = cube((6, 6, 6), 1, 1, 1)
    empty = np.zeros_like(mask)
    ml = 27 * 0.7 * 1.3 * 3 / 1000
    nothing = dict.fromkeys((*OVERLAP, *LESIONS), 0) | dict.fromkeys(DISTANCES, np.nan)
    missed = nothing | {"volume_error": -1, "volume_error_ml": -ml}
    invented = nothing | {"volume_error": np.nan, "volume_error_ml": ml}
    assert of(empty, mask) == pytest.approx(missed, nan_ok=True)
    assert of(mask, empty) == pytest.approx(invented, nan_ok=True)


def test_single_voxels():
    a, b = np.zeros((2, 9, 9, 9), bool)
    a[0, 0, 0] = b[8, 4, 2] = True  # one in the corner of the image
    gap = math.hypot(8 * 0.7, 4 * 1.3, 2 * 3.0)
    found = of(a, b)
    assert [found[metric] for metric in DISTANCES] == pytest.approx([gap] * 5)
    assert found["volume_error"] == found["dice"] == found["lesion_f1"] == 0


@pytest.mark.parametrize("axis", range(3))
def test_a_moved_cube_has_moved_that_far(axis):
    corner = [4, 4, 4]
    label = cube((16, 16, 16), *corner, size=4)
    corner[axis] += 3
    assert of(cube((16, 16, 16), *corner, size=4), label)["hd"] == pytest.approx(3 * SPACING[axis])


def test_the_border_of_the_image_cuts_nothing_open_or_shut():
    label, prediction = cube((9, 9), 0, 0, size=5), cube((9, 9), 0, 2, size=5)
    far_from_it = [np.pad(mask, 4) for mask in (prediction, label)]
    assert of(prediction, label) == of(*far_from_it)


@pytest.mark.parametrize("dims", [2, 3])
def test_tree_and_transform_agree(dims, monkeypatch):
    prediction, label = random_pair(shape=(14, 12, 9)[:dims])
    tree = of(prediction, label)
    monkeypatch.setattr(metrics, "MANY_POINTS", 0)
    monkeypatch.delattr(metrics, "KDTree")
    assert of(prediction, label) == pytest.approx(tree, rel=1e-12)


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy")  # MONAI of itself
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 2.0), SPACING])
def test_agrees_with_monai(spacing):
    from monai.metrics import DiceMetric, compute_average_surface_distance, compute_hausdorff_distance

    pair = random_pair(1, (20, 16, 12)[: len(spacing)])
    found = of(*pair, spacing)
    a, b = (torch.from_numpy(mask)[None, None].float() for mask in pair)
    options = {"include_background": True, "spacing": spacing}
    theirs = {
        "dice": DiceMetric(include_background=True)(a, b),
        "hd": compute_hausdorff_distance(a, b, **options),
        "hd95_directed": compute_hausdorff_distance(a, b, percentile=95, **options),
        "assd": compute_average_surface_distance(a, b, symmetric=True, **options),
    }
    for metric, value in theirs.items():
        assert found[metric] == pytest.approx(value.item(), rel=1e-5), metric


def test_agrees_with_simpleitk():
    # Boxes: ITK measures from all voxels of a mask, we from its surface, and not all shapes give the same.
    prediction, label = cube((20, 20, 20), 2, 3, 4, size=9), cube((20, 20, 20), 5, 3, 8, size=11)
    found = of(prediction, label)
    images = [sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (prediction, label)]
    for image in images:
        image.SetSpacing(SPACING[::-1])
    overlap, hausdorff = sitk.LabelOverlapMeasuresImageFilter(), sitk.HausdorffDistanceImageFilter()
    overlap.Execute(*images)
    hausdorff.Execute(*images)
    assert found["dice"] == pytest.approx(overlap.GetDiceCoefficient())
    assert found["iou"] == pytest.approx(overlap.GetJaccardCoefficient())
    assert found["recall"] == pytest.approx(1 - overlap.GetFalseNegativeError())
    assert found["precision"] == pytest.approx(1 - overlap.GetFalseDiscoveryRate())
    assert found["volume_error"] == pytest.approx(np.count_nonzero(prediction) / np.count_nonzero(label) - 1)
    assert found["hd"] == pytest.approx(hausdorff.GetHausdorffDistance())


def test_the_pooled_percentile_is_the_name_without_ending():
    """One direction has few and far points: pooled they hardly count, directed they are all there is."""
    label = cube((40, 40), 0, 0, size=20)
    prediction = label.copy()
    prediction[39, 39] = True
    found = of(prediction, label, (1.0, 1.0))
    assert found["hd95"] == 0 < found["hd"] == pytest.approx(20 * math.sqrt(2))


def test_lesions_count_once_whatever_their_size():
    label = np.zeros((30, 30), bool)
    label[0:10, 0:10] = label[15, 15] = label[20, 20] = label[21, 21] = True  # the last two touch by a corner
    prediction = np.zeros_like(label)
    prediction[9, 9] = prediction[20, 20] = prediction[28, 0] = prediction[28, 2] = True
    found = of(prediction, label)
    assert [found[metric] for metric in LESIONS] == pytest.approx([2 / 3, 2 / 4, 4 / 7])
    half = of(prediction, label, min_overlap=0.5)  # of the large one only a hundredth is found
    assert [half[metric] for metric in LESIONS] == pytest.approx([1 / 3, 2 / 4, 0.4])


def test_a_region_is_a_union():
    rng = np.random.default_rng(0)
    prediction, label = rng.integers(0, 4, (2, 9, 8, 7))
    structures = {"core": [3], "whole": [1, 3]}
    found = measure(prediction, label, spacing=SPACING, structures=structures)
    assert list(found) == ["core", "whole"]
    assert list(found["whole"]) == list(METRICS)
    merge = lambda image: np.isin(image, [1, 3])
    assert found["whole"] == {m: v for m, v in of(merge(prediction), merge(label)).items() if m in METRICS}


def test_ignored_voxels_are_in_neither_mask():
    rng = np.random.default_rng(0)
    prediction, label = rng.integers(0, 3, (2, 9, 8, 7))
    unknown = rng.random(label.shape) < 0.3
    options = {"spacing": SPACING, "structures": {"a": [1], "b": [2]}}
    expected = measure(np.where(unknown, 0, prediction), np.where(unknown, 0, label), **options)
    marked = np.where(unknown, 255, label)
    assert measure(prediction, marked, ignore=255, **options) == expected
    other = np.where(unknown, 1, prediction)  # whatever was predicted there
    assert measure(other, marked, ignore=255, **options) == expected


def test_arguments_are_left_as_they_are():
    prediction, label = np.random.default_rng(0).integers(0, 3, (2, 6, 6))
    before = prediction.copy(), label.copy()
    measure(prediction, label, spacing=(1, 1), structures={"a": [1]}, ignore=2)
    np.testing.assert_array_equal(before, (prediction, label))


def test_all_faults_are_told_at_once():
    with pytest.raises(ValueError, match="were both resampled") as error:
        measure(
            np.zeros((4, 5), int),
            np.zeros((4, 6), int),
            spacing=(1.0,),
            structures={"a": [1, 255]},
            ignore=255,
            metrics=["dicee"],
        )
    for told in (
        "(4, 5)",
        "(4, 6)",
        "spacing (1.0,)",
        "'a' holds the ignored value 255",
        "did you mean 'dice'?",
    ):
        assert told in str(error.value)
