import resource

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from halfmask.brain.image import as_array, as_image, grid_of, isotropic, modalities, resampled_label, write_image
from halfmask.data.index import Case
from halfmask.data.volume import Grid


@pytest.fixture
def oblique():
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", (10, -20, 30), degrees=True).as_matrix() @ np.diag([-0.7, -0.9, 3.0])
    affine[:3, 3] = (50, 60, -40)
    return Grid((12, 10, 6), affine)


def test_an_image_lies_where_nibabel_and_itk_say(oblique, tmp_path):
    array = np.random.default_rng(0).random(oblique.shape).astype(np.float32)
    image = as_image(array, oblique)
    np.testing.assert_array_equal(as_array(image), array)
    np.testing.assert_allclose(grid_of(image).affine, oblique.affine, atol=1e-5)
    sitk.WriteImage(image, str(tmp_path / "image.nii.gz"))
    np.testing.assert_allclose(nibabel.load(tmp_path / "image.nii.gz").affine, oblique.affine, atol=1e-4)


def test_a_full_disk_is_told_and_leaves_nothing(oblique, tmp_path):
    image = as_image(np.random.default_rng(0).random(oblique.shape).astype(np.float32), oblique)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            write_image(tmp_path / "image.nii.gz", image)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())
    write_image(tmp_path / "image.nii.gz", image)
    back = nibabel.load(tmp_path / "image.nii.gz")
    np.testing.assert_array_equal(back.get_fdata(dtype=np.float32), as_array(image))
    np.testing.assert_allclose(back.affine, oblique.affine, atol=1e-4)


def test_cubic_voxels_cover_the_same_view(oblique):
    image = as_image(np.ones(oblique.shape, np.float32), oblique)
    cubes = isotropic(image, 1.0)
    assert cubes.GetSpacing() == (1.0, 1.0, 1.0)
    outer = lambda i, ends: sorted(
        np.dot(i.TransformContinuousIndexToPhysicalPoint(corner), np.reshape(image.GetDirection(), (3, 3))[:, 2])
        for corner in [[e if a == 2 else 0 for a in range(3)] for e in ends]
    )
    for view in (image, cubes):  # the third axis: 6 slices of 3 mm
        low, high = outer(view, (-0.5, view.GetSize()[2] - 0.5))
        assert high - low == pytest.approx(18, abs=0.1)
    assert outer(image, (-0.5, 5.5)) == pytest.approx(outer(cubes, (-0.5, cubes.GetSize()[2] - 0.5)), abs=1.0)


def test_a_sheared_grid_is_refused():
    affine = np.eye(4)
    affine[0, 2] = 0.3
    with pytest.raises(ValueError, match="right angles"):
        as_image(np.zeros((3, 3, 3)), Grid((3, 3, 3), affine))


def test_a_label_keeps_its_values_and_stays_in_place(oblique):
    label = np.zeros(oblique.shape, np.uint8)
    label[3:8, 3:7, 2:5] = 7
    label[5:7, 4:6, 3] = 255
    image = as_image(label.astype(np.float32), oblique)
    same = resampled_label(label, oblique, image, sitk.Transform(3, sitk.sitkIdentity))
    np.testing.assert_array_equal(same, label)
    fine = isotropic(image, 0.5)
    found = resampled_label(label, oblique, fine, sitk.Transform(3, sitk.sitkIdentity))
    assert set(np.unique(found)) == {0, 7, 255}
    voxel = np.prod(oblique.spacing)
    assert (found > 0).sum() * 0.125 == pytest.approx((label > 0).sum() * voxel, rel=0.15)


@pytest.mark.parametrize(("voxels", "says"), [
    (np.zeros((4, 4, 1)), "single slice"),
    (np.full((4, 4, 4), np.nan), "NaN"),
    (np.zeros((4, 4, 4, 2)), "2 images, 1 are expected"),
])  # fmt: skip
def test_what_is_no_scan_of_a_head_is_told_by_case(tmp_path, voxels, says):
    nibabel.save(nibabel.Nifti1Image(voxels.astype(np.float32), np.eye(4)), tmp_path / "a.nii.gz")
    with pytest.raises(ValueError, match=f"case 'a'.*{says}"):
        modalities(Case("a", (tmp_path / "a.nii.gz",)), ["T1"])
