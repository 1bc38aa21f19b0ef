import nibabel
import numpy as np
import pytest
from scipy import ndimage

from halfmask.data.phantom import draw_head, make_heads

COARSE = {"T1": (2.5, 2.5, 2.5), "FLAIR": (2.0, 2.0, 5.0)}


@pytest.fixture(scope="module")
def head():
    return draw_head(1, spacing=COARSE, detail=2.5)


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def onto(scan, other, matrix):
    """Of each voxel of ``other``, what ``scan`` shows there; ``matrix`` leads from other's millimeters to scan's."""
    voxels = np.linalg.inv(scan.affine) @ matrix @ other.affine
    return ndimage.affine_transform(scan.image.astype(float), voxels[:3, :3], voxels[:3, 3], other.image.shape, order=1)


def test_each_scan_has_its_own_grid_to_left_posterior_superior(head):
    for channel, scan in head.scans.items():
        assert nibabel.aff2axcodes(scan.affine) == ("L", "P", "S")
        np.testing.assert_allclose(np.linalg.norm(scan.affine[:3, :3], axis=0), COARSE[channel])
    assert head.brain.shape == head.scans["T1"].image.shape
    assert head.lesions.shape == head.scans["FLAIR"].image.shape != head.brain.shape


def test_the_brain_is_whole_within_the_scan_and_scalp_and_air_around_it(head):
    volume = np.count_nonzero(head.brain) * 2.5**3 / 1e6
    assert 1.2 < volume < 1.8  # liters
    assert not any(np.take(head.brain, (0, -1), axis).any() for axis in range(3))
    t1 = head.scans["T1"].image
    white = np.median(t1[head.brain > 0])
    away = ndimage.distance_transform_edt(head.brain == 0, sampling=2.5)
    above = np.arange(t1.shape[2]) > np.argwhere(head.brain)[:, 2].mean()
    bone, scalp, air = (
        np.median(t1[(away > low) & (away < high) & above]) for low, high in ((1, 3), (9, 13), (40, 60))
    )
    assert air < 0.2 * white and bone < 0.4 * white < scalp


def test_the_transforms_are_those_of_the_scans(head):
    t1, flair = head.scans["T1"], head.scans["FLAIR"]
    # Fluid is dark on both, so within the brain they agree where they lie on each other.
    brain = head.brain > 0
    agree = lambda matrix: np.corrcoef(onto(flair, t1, matrix)[brain], t1.image[brain])[0, 1]
    assert agree(np.linalg.inv(head.flair_to_t1)) > agree(np.eye(4)) + 0.2
    assert agree(np.linalg.inv(head.flair_to_t1)) > agree(head.flair_to_t1) + 0.2
    middle = head.t1_to_template @ t1.affine @ [*np.argwhere(head.brain).mean(0), 1]
    np.testing.assert_allclose(middle[:3], [0, -18, 8], atol=8)
    turn = head.t1_to_template[:3, :3]
    assert 0.9 < np.cbrt(np.linalg.det(turn)) < 1.25


def test_lesions_are_bright_on_flair_and_in_the_brain(head):
    flair = head.scans["FLAIR"].image
    inside = onto(
        type(head.scans["T1"])(head.brain, head.scans["T1"].affine), head.scans["FLAIR"], head.flair_to_t1
    ) > 0.5  # fmt: skip
    assert np.mean(inside[head.lesions > 0]) > 0.98
    assert flair[head.lesions > 0].mean() > 1.15 * flair[inside].mean()


def test_files_hold_what_was_drawn(tmp_path, head):
    folder = make_heads(tmp_path / "heads", subjects=2, spacing=COARSE, detail=2.5)
    image = nibabel.load(folder / "subject_001_FLAIR.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), head.scans["FLAIR"].image)
    np.testing.assert_allclose(image.affine, head.scans["FLAIR"].affine, atol=1e-5)
    np.testing.assert_allclose(
        np.loadtxt(folder / "truth" / "subject_001_flair_to_t1.txt"), head.flair_to_t1, atol=1e-6
    )
    kinds = ("T1.nii.gz", "FLAIR.nii.gz", "lesions.nii.gz", "brain.nii.gz", "flair_to_t1.txt", "t1_to_template.txt")
    assert {path.name for path in folder.rglob("subject_000*")} == {f"subject_000_{kind}" for kind in kinds}


@pytest.mark.filterwarnings("ignore:.*torch.jit.load.* is deprecated")
def test_a_skull_stripper_for_patients_finds_the_brain(head):
    bet = pytest.importorskip("deepbet.bet", reason="needs halfmask[brain]")
    scan = head.scans["T1"]
    found = bet.BrainExtraction(no_gpu=True).run(nibabel.Nifti1Image(scan.image, scan.affine))[1]
    assert dice(np.asarray(found.dataobj) > 0.5, head.brain > 0) > 0.93
