import gzip

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from made import nifti, only_errors_that_name, random_affine

from halfmask.data.formats import read, stem, suffix, write_like

SHAPE = (5, 6, 7)
AFFINES = {
    "RAS": np.diag([1.0, 2.0, 3.0, 1.0]),
    "LPS": np.diag([-1.0, -2.0, 3.0, 1.0]) + np.eye(4, k=3) * 4,
    "oblique": random_affine(np.random.default_rng(1)),
}


def voxels(dtype, *lead, seed=0):
    return np.random.default_rng(seed).integers(0, 200, (*lead, *SHAPE)).astype(dtype)


def same_place(one, other):
    """Whether SimpleITK finds two files on one grid."""
    one, other = sitk.ReadImage(str(one)), sitk.ReadImage(str(other))
    for get in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(one, get)()[:3], getattr(other, get)()[:3], atol=1e-5)


def test_names():
    from pathlib import Path

    assert [suffix(Path(n)) for n in ("a.b.nii.gz", "A.NII", "x.PNG", "a.txt", "nii.gz")] == [
        ".nii.gz", ".nii", ".png", "", "",
    ]  # fmt: skip
    assert stem(Path("p.1_a.nii.gz")) == "p.1_a"


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("way", AFFINES)
@pytest.mark.parametrize("channels", [None, 3])
def test_a_nifti_mask_goes_back_where_its_image_lies(tmp_path, ending, way, channels):
    affine, array = AFFINES[way], voxels(np.int16, *([channels] if channels else []))
    source = nibabel.Nifti1Image(np.moveaxis(array, 0, -1) if channels else array, affine)
    source.set_sform(affine, code=4)
    source.set_qform(affine, code=1)
    source.header["descrip"], source.header["cal_max"] = b"seven", 80
    nibabel.save(source, tmp_path / f"image{ending}")

    image, grid = read(tmp_path / f"image{ending}")
    np.testing.assert_array_equal(image, array if channels else array[None])
    np.testing.assert_allclose(grid.affine, affine, atol=1e-5)
    again = read(tmp_path / f"image{ending}")[1]
    assert again.shape == grid.shape == SHAPE and again.apart(grid) == 0

    label = voxels(np.uint8, seed=1)
    out = write_like(tmp_path / "out" / "mask", label, tmp_path / f"image{ending}")
    assert out.name == f"mask{ending}" and [p.name for p in out.parent.iterdir()] == [out.name]
    written = nibabel.load(out)
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), label)
    np.testing.assert_array_equal(written.affine, nibabel.load(tmp_path / f"image{ending}").affine)
    header = written.header
    assert header.get_data_dtype() == np.uint8 and header["cal_max"] == 0
    assert (int(header["sform_code"]), int(header["qform_code"])) == (4, 1)
    assert header["descrip"].item() == b"seven"
    if not channels:
        same_place(out, tmp_path / f"image{ending}")


def test_scaled_numbers_are_read_and_their_scale_is_not_the_masks(tmp_path):
    image = nibabel.Nifti1Image(voxels(np.int16), np.eye(4))
    image.header.set_slope_inter(0.5, -1000)
    nibabel.save(image, tmp_path / "ct.nii.gz")
    array, _ = read(tmp_path / "ct.nii.gz")
    raw = nibabel.load(tmp_path / "ct.nii.gz")
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array[0], raw.get_fdata().astype(np.float32))
    label = voxels(np.uint8, seed=1)
    out = write_like(tmp_path / "mask", label, tmp_path / "ct.nii.gz")
    np.testing.assert_array_equal(nibabel.load(out).get_fdata(), label)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("like", ["image.nii", "image.mha"])
def test_floats_go_out_as_float32(tmp_path, dtype, like):
    affine = nifti(tmp_path / "image.nii", voxels(np.int16))
    sitk.WriteImage(sitk.ReadImage(str(affine)), str(tmp_path / "image.mha"))
    map_ = voxels(dtype) / dtype(200)
    out, _ = read(write_like(tmp_path / "map", map_, tmp_path / like))
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out[0], map_.astype(np.float32))


def test_a_slice_as_nifti(tmp_path):
    affine = np.diag([2.0, 3.0, 8.0, 1.0])
    flat = nifti(tmp_path / "flat.nii.gz", voxels(np.int16)[..., 0], affine)
    image, grid = read(flat)
    assert image.shape == (1, 5, 6, 1) and grid.shape == (5, 6, 1) and grid.scan
    out = write_like(tmp_path / "mask", image[0], flat)
    np.testing.assert_array_equal(np.squeeze(nibabel.load(out).get_fdata()), image[0, ..., 0])


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), ending=st.sampled_from([".nrrd", ".mha", ".nhdr", ".mhd"]))
def test_itk_reads_the_same_geometry_from_the_same_file(tmp_path_factory, seed, ending):
    """ITK's own reader turns the NIfTI file into another format; we must then find the voxels at the same place."""
    folder, rng = tmp_path_factory.mktemp("itk"), np.random.default_rng(seed)
    affine = random_affine(rng, oblique=bool(seed % 2))
    source = nifti(folder / "image.nii", voxels(np.int16), affine)
    sitk.WriteImage(sitk.ReadImage(str(source)), str(folder / f"image{ending}"))
    (one, grid), (other, ours) = read(source), read(folder / f"image{ending}")
    np.testing.assert_array_equal(one, other)
    assert grid.shape == ours.shape and grid.apart(ours) < 1e-3
    assert ours.apart(read(folder / f"image{ending}")[1]) == 0

    label = voxels(np.uint8, seed=1)
    out = write_like(folder / "out" / "mask", label, folder / f"image{ending}")
    assert list(out.parent.iterdir()) == [out], "one file holds all of it"
    same_place(out, folder / f"image{ending}")
    written = sitk.ReadImage(str(out))
    np.testing.assert_array_equal(np.transpose(sitk.GetArrayFromImage(written)), label)
    assert written.GetPixelID() == sitk.sitkUInt8


@pytest.mark.parametrize(
    ("ending", "mask"),
    [(".png", ".png"), (".jpg", ".png"), (".tif", ".png"), (".bmp", ".png"), (".mha", ".mha"), (".nrrd", ".nrrd")],
)
@pytest.mark.parametrize("color", [False, True])
def test_pictures(tmp_path, ending, mask, color):
    if ending == ".bmp" and not color:
        pytest.skip("ITK reads gray BMP as color")
    rng = np.random.default_rng(0)
    source = rng.integers(0, 255, (10, 16, 3) if color else (10, 16)).astype(np.uint8)
    written = sitk.GetImageFromArray(source, isVector=color)
    if mask != ".png":  # other formats know millimeters
        written.SetSpacing((0.5, 0.25))
        written.SetOrigin((3, 4))
    sitk.WriteImage(written, str(tmp_path / f"picture{ending}"))
    array, grid = read(tmp_path / f"picture{ending}")
    assert array.shape == (3 if color else 1, 1, 10, 16)
    assert grid.shape == (1, 10, 16) and not grid.scan
    assert grid.spacing[1:] == ((1, 1) if mask == ".png" else (0.25, 0.5))
    if ending != ".jpg":  # which loses
        np.testing.assert_array_equal(array[:, 0], np.moveaxis(source, -1, 0) if color else source[None])

    for label, ending_ in ((source[None, ..., 0] if color else source[None], mask),
                           (rng.random((1, 10, 16), np.float32), mask.replace("png", "tiff")),
                           (rng.integers(0, 999, (1, 10, 16)).astype(np.int16), mask)):  # fmt: skip
        out = write_like(tmp_path / "mask", label, tmp_path / f"picture{ending}")
        assert out.name == f"mask{ending_}"
        back, own = read(out)
        np.testing.assert_array_equal(back[0], label)
        assert own.shape == grid.shape and own.apart(grid) == 0


def test_what_a_picture_says_of_its_print_is_no_spacing(tmp_path):
    """Cameras write 72 or 300 dots per inch into JPEGs; the mask beside it is a PNG without."""
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((8, 9), np.uint8)), str(tmp_path / "photo.jpg"))
    data = bytearray((tmp_path / "photo.jpg").read_bytes())
    assert data[6:10] == b"JFIF"
    data[13:18] = b"\x01\x00\x48\x00\x48"  # 72 dots per inch
    (tmp_path / "photo.jpg").write_bytes(data)
    assert read(tmp_path / "photo.jpg")[1].spacing == (1, 1, 1)


def test_a_tiff_of_many_pages_is_a_scan(tmp_path):
    source = voxels(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(np.transpose(source)), str(tmp_path / "stack.tif"))
    array, grid = read(tmp_path / "stack.tif")
    np.testing.assert_array_equal(array[0], source)
    out = write_like(tmp_path / "mask", source, tmp_path / "stack.tif")
    back, own = read(out)
    np.testing.assert_array_equal(back, array)
    assert own.apart(grid) == 0


def broken(folder):
    """Files that are none, by the reason."""
    whole = nifti(folder / "whole.nii.gz", np.random.default_rng(0).normal(size=(20, 20, 20))).read_bytes()
    flat = gzip.decompress(whole)
    content = {
        "truncated.nii.gz": whole[: len(whole) // 2],
        "truncated.nii": flat[: len(flat) // 2],
        "header_only.nii": flat[:200],
        "zero.nii.gz": b"",
        "zero.nii": b"",
        "zero.nrrd": b"",
        "zero.png": b"",
        "text.nii.gz": b"patient;age\n7;33\n",
        "text.nii": b"patient;age\n7;33\n" * 40,
        "gzipped_text.nii.gz": gzip.compress(b"patient;age\n" * 100),
        "text.mha": b"patient;age\n",
        "text.jpg": b"patient;age\n",
        "no_type.nii": flat[:70] + b"\x4d\x01" + flat[72:],
    }
    for name, data in content.items():
        (folder / name).write_bytes(data)
    return [folder / n for n in (*content, "missing.nii.gz", "missing.png", "missing.nrrd")]


def test_what_is_no_image_is_refused_by_name(tmp_path):
    for path in broken(tmp_path):
        with pytest.raises(ValueError, match=path.name) as error:
            read(path)
        assert "\n" not in str(error.value), "one line, without ITK's source file"
        if "missing" in path.name:
            assert "there is no such file" in str(error.value)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy on what nibabel finds in the affine
@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, 351), value=st.binary(min_size=1, max_size=8))
def test_whatever_bytes_a_header_has(tmp_path_factory, place, value):
    folder = tmp_path_factory.mktemp("header")
    path = nifti(folder / "image.nii", voxels(np.int16))
    data = bytearray(path.read_bytes())
    data[place : place + len(value)] = value
    path.write_bytes(data)
    with only_errors_that_name(path):
        array, grid = read(path)
        assert array.shape[1:] == grid.shape
