import math

import numpy as np
import pytest
import SimpleITK as sitk
from sklearn.metrics import normalized_mutual_info_score

from halfmask.brain import skull
from halfmask.brain.bias import corrected, log_bias_field
from halfmask.brain.image import as_array, as_image, like
from halfmask.brain.normalization import QUANTILES, landmarks, learn, scale
from halfmask.brain.quality import beats_neighbors, cut_off, shared_information, suspicions
from halfmask.brain.reference import template
from halfmask.brain.registration import Registration, align, center_of, middle_of, place
from halfmask.brain.subject import Subject
from halfmask.data.volume import Grid


@pytest.fixture(scope="module")
def brain():
    return template(3.0).image


def moved(image, degrees, mm):
    """The image with its head elsewhere, and the transform from where it was to there."""
    move = sitk.Euler3DTransform(center_of(image), *np.radians(degrees).tolist(), list(mm))
    return sitk.Resample(image, image, move.GetInverse(), sitk.sitkLinear, 0.0), move


def apart(found, truth, image):
    points = [
        image.TransformContinuousIndexToPhysicalPoint(p) for p in np.argwhere(as_array(image) > 0)[::500].tolist()
    ]
    return np.linalg.norm(
        [np.subtract(found.TransformPoint(p), truth.TransformPoint(p)) for p in points], axis=1
    ).mean()


def test_a_moved_modality_is_found_again_though_its_contrast_is_another(brain):
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # as for subjects side by side: sums come out the same
    other, move = moved(255 - brain, (6, -4, 5), (8, -5, 6))
    found = align(brain, other)
    assert apart(found.transform, move, brain) < 1.0
    assert found.degrees == pytest.approx(math.hypot(6, 4, 5), rel=0.1)
    middle = center_of(brain)
    assert found.shift(middle) == pytest.approx(math.hypot(8, 5, 6), abs=1.0)
    assert align(brain, other).transform.GetParameters() == found.transform.GetParameters()  # whenever it is done


def test_a_brain_is_placed_rigidly_though_it_is_smaller():
    brain = template(3.0).image
    small = sitk.Image(brain)
    small.SetSpacing([s * 0.85 for s in brain.GetSpacing()])
    nod = sitk.Euler3DTransform(center_of(small), 0.35, 0.05, -0.1, [5.0, 10.0, -20.0])
    there = sitk.Image(small)
    there.SetOrigin(nod.TransformPoint(small.GetOrigin()))
    there.SetDirection(
        (np.reshape(nod.GetMatrix(), (3, 3)) @ np.reshape(small.GetDirection(), (3, 3))).ravel().tolist()
    )
    middles = middle_of(sitk.Cast(brain > 0, sitk.sitkUInt8)), middle_of(sitk.Cast(there > 0, sitk.sitkUInt8))
    found = place(brain, there, middles)
    np.testing.assert_allclose(np.reshape(found.transform.GetMatrix(), (3, 3)), np.reshape(nod.GetMatrix(), (3, 3)),
                               atol=0.03)  # fmt: skip
    assert np.linalg.det(np.reshape(found.transform.GetMatrix(), (3, 3))) == pytest.approx(1)
    assert np.linalg.norm(np.subtract(found.transform.TransformPoint(middles[0]), middles[1])) < 2


def test_points_of_the_result_go_to_the_first_modality_and_on_to_another():
    ball = np.zeros((20, 20, 20), np.float32)
    ball[4:8, 4:8, 4:8] = 1
    one = as_image(ball, Grid(ball.shape, np.eye(4)))
    turned = sitk.Euler3DTransform((-10.0, -10.0, 10.0), 0.0, 0.0, math.pi / 2)
    there = sitk.Resample(one, one, turned.GetInverse())
    up = sitk.Euler3DTransform((0.0, 0.0, 0.0), 0.0, 0.0, 0.0, (0.0, -9.0, 0.0))
    subject = Subject({"T1": one, "FLAIR": there}, {"FLAIR": Registration(turned, 1.0)}, to_first=Registration(up, 1.0))
    point = (-4.0, 2.0, 5.0)
    assert subject.way("T1").TransformPoint(point) == pytest.approx((-4, -7, 5))
    assert subject.way("FLAIR").TransformPoint(point) == pytest.approx(turned.TransformPoint((-4.0, -7.0, 5.0)))
    subject.mask = sitk.Cast(one, sitk.sitkUInt8)
    np.testing.assert_array_equal(as_array(subject.mask_on("FLAIR")), as_array(there) > 0.5)


def test_an_uneven_brain_becomes_even():
    brain = template(6.0).image
    tissue = as_array(brain)
    inside = tissue > 0
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in tissue.shape), indexing="ij")
    field = 0.4 * x - 0.3 * y**2 + 0.2 * z * x
    uneven = like((tissue * np.exp(field)).astype(np.float32), brain)
    found = log_bias_field(uneven, like(inside.astype(np.uint8), brain))
    assert np.corrcoef(as_array(found)[inside], field[inside])[0, 1] > 0.93
    even = as_array(corrected(uneven, found))
    relative = lambda a: np.std(np.log(a[inside] / tissue[inside]))
    assert relative(even) < 0.35 * relative(as_array(uneven))


def test_a_bias_field_weakens_what_lies_above_the_least_value():
    rng = np.random.default_rng(0)
    tissue, field = rng.uniform(0, 9, (2, 4, 4, 4)).astype(np.float32)
    image = lambda a: as_image(a, Grid(a.shape, np.eye(4)))
    even = lambda a: as_array(corrected(image(a), image(field)))
    np.testing.assert_allclose(even(tissue), tissue / np.exp(field), rtol=1e-5)
    low = tissue - tissue.min() - 5
    np.testing.assert_allclose(even(low) + 5, (low + 5) / np.exp(field), atol=1e-5)


def test_landmarks_are_means_and_map_as_by_hand():
    rng = np.random.default_rng(0)
    cohort = [{"T1": landmarks(rng.gamma(shape, 100, 5000))} for shape in (2, 5, 9)]
    standard = learn(cohort)["T1"]
    by_hand = [np.mean([(c["T1"][k] - c["T1"][0]) / (c["T1"][-1] - c["T1"][0]) for c in cohort])
               for k in range(len(QUANTILES))]  # fmt: skip
    np.testing.assert_allclose(standard, by_hand, atol=1e-5)
    own = cohort[0]["T1"]
    np.testing.assert_allclose(scale(own, own, standard), standard, atol=1e-6)
    between = (own[3] + own[4]) / 2
    assert scale(np.array([between]), own, standard)[0] == pytest.approx((standard[3] + standard[4]) / 2)
    assert scale(np.array([own[0] - 50, own[-1] + 50]), own, standard).tolist() == [0, 1]
    few = np.repeat([0.0, 5, 10], [50, 30, 20])  # quantiles fall together
    assert scale(np.array([0.0, 5, 10]), landmarks(few), standard) == pytest.approx([0, standard[6], standard[9]])


def test_the_second_map_after_percentiles_is_the_whole_map():
    rng = np.random.default_rng(1)
    values = rng.gamma(3, 80, 2000)
    own = landmarks(values)
    standard = np.linspace(0, 1, len(QUANTILES)) ** 2
    shares = (own - own[0]) / (own[-1] - own[0])
    np.testing.assert_allclose(scale(scale(values, own), shares, standard), scale(values, own, standard), atol=1e-6)


def test_scans_of_one_brain_with_other_gains_come_out_alike():
    rng = np.random.default_rng(2)
    tissue = np.concatenate([rng.normal(m, 5, 3000) for m in (30, 70, 100)])
    scans = [tissue * 3 + 20, tissue**1.3, tissue * 0.1]
    standard = learn([{"T1": landmarks(s)} for s in scans])["T1"]
    brought = [scale(s, landmarks(s), standard) for s in scans]
    plain = [scale(s, landmarks(s)) for s in scans]
    far = lambda each: max(np.abs(a - b).mean() for a in each for b in each)
    assert far(brought) < 0.2 * far(plain)
    assert scale(np.full(10, 5.0), landmarks(np.full(10, 5.0))).tolist() == [0] * 10


def test_shared_information_equals_scikit_learns():
    rng = np.random.default_rng(0)
    one = rng.random(4000)
    for other in (one, one + rng.normal(0, 0.3, 4000), rng.random(4000)):
        ends = [np.percentile(a, (0.5, 99.5)) for a in (one, other)]
        cut = [np.digitize(a, np.linspace(*e, 49)[1:-1]) for a, e in zip((one, other), ends, strict=True)]
        assert shared_information(one, other) == pytest.approx(normalized_mutual_info_score(*cut), abs=1e-6)


def test_a_misplaced_modality_does_not_beat_its_neighbors(brain):
    first = as_array(brain)
    inside = first > 0
    assert beats_neighbors(first, 255 - first, inside, 3.0)
    assert not beats_neighbors(first, np.roll(255 - first, 2, 0), inside, 3.0)


def test_a_brain_is_cut_off_where_its_surface_lies_on_the_border():
    cube = np.zeros((20, 20, 20), np.uint8)
    cube[5:15, 5:15, 5:15] = 1
    image = lambda mask: as_image(mask, Grid(mask.shape, np.diag([1, 1, 3.0, 1])))
    assert cut_off(image(cube)) == 0
    assert cut_off(image(cube[:, :, 5:])) == pytest.approx(100 / (2 * 100 + 4 * 300))  # mm²
    assert cut_off(image(cube[5:])) == pytest.approx(300 / (2 * 100 + 4 * 300))


GOOD = {
    "milliliters": 1400.0, "stripped": True, "cut": 0.0, "aligned": {"FLAIR": None}, "centers": (0.0, 0.0, 0.0),
    "shared": {"FLAIR": 0.1}, "in_place": {"FLAIR": True}, "unseen": {"T1": 0.0, "FLAIR": 0.0}, "to_reference": None,
    "overlapping": 0.99, "lost": 0.0,
}  # fmt: skip


@pytest.mark.parametrize(("changed", "says"), [
    ({"milliliters": 600.0}, "600 ml"),
    ({"milliliters": 2500.0}, "2500 ml"),
    ({"milliliters": 3500.0, "stripped": False,
      "to_reference": Registration(sitk.Euler3DTransform(), 1.0)}, "with its skull"),
    ({"cut": 0.1}, "10% of the brain's surface"),
    ({"aligned": {"FLAIR": Registration(sitk.Euler3DTransform((0, 0, 0), 0.0, 0.0, 0.0, (0.0, 40.0, 0.0)), 1.0)}},
     "FLAIR was moved by 40 mm"),
    ({"shared": {"FLAIR": 0.01}}, "shares little"),
    ({"in_place": {"FLAIR": False}}, "not well registered"),
    ({"unseen": {"T1": 0.0, "FLAIR": 0.2}}, "20% of the brain lies outside what FLAIR shows"),
    ({"to_reference": Registration(sitk.Euler3DTransform((0, 0, 0), 1.0, 0.0, 0.0), 1.0)}, "turned by 57°"),
    ({"overlapping": 0.7}, "70% of the brain lies in the reference's"),
    ({"lost": 0.3}, "30% of the labeled voxels"),
])  # fmt: skip
def test_each_suspicion_is_told_with_its_figure(changed, says):
    assert suspicions(**GOOD) == []
    (found,) = suspicions(**(GOOD | changed))
    assert says in found


def test_air_is_told_from_a_head_and_from_a_brain_that_is_stripped_already(brain):
    rng = np.random.default_rng(0)
    tissue = as_array(brain)
    noisy = like((tissue + rng.rayleigh(6, tissue.shape)).astype(np.float32), brain)
    for image in (brain, noisy):
        found = as_array(skull.not_air(image)) > 0
        dice = 2 * (found & (tissue > 0)).sum() / (found.sum() + (tissue > 0).sum())
        assert dice > 0.95


@pytest.mark.parametrize(("by", "command", "mask"), [
    ("hd-bet", "hd-bet", "brain_bet.nii.gz"), ("synthstrip", "mri_synthstrip", "mask.nii.gz"),
])  # fmt: skip
def test_another_tool_is_called_by_its_command(by, command, mask, brain, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command in skull.missing_tool(by)
    tool = tmp_path / command
    tool.write_text(f'#!/bin/sh\n/bin/cp head.nii.gz {mask}\necho "$@" > {tmp_path}/told\n')
    tool.chmod(0o755)
    assert skull.missing_tool(by) is None
    found = as_array(skull.brain_mask(brain, by)) > 0
    truth = as_array(brain) > 0
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.95
    assert "-i head.nii.gz" in (tmp_path / "told").read_text()
    tool.write_text("#!/bin/sh\necho no weights >&2\nexit 3\n")
    with pytest.raises(ValueError, match=r"exit code 3\): no weights"):
        skull.brain_mask(brain, by)
