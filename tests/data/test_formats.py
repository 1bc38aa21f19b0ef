import gzip
import re
import struct
import zlib

import h5py
import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from made import h5, nifti, only_errors_that_name, random_affine
from PIL import Image, ImageCms, TiffImagePlugin

from halfmask.data.formats import own_label, read, read_noted, stem, suffix, write_like

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

    assert [suffix(Path(n)) for n in ("a.b.nii.gz", "A.NII", "x.PNG", "a.txt", "nii.gz", "a.h5")] == [
        ".nii.gz", ".nii", ".png", "", "", ".h5",
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


def itk_image(array, affine, *, vector):
    """(C, *spatial) as ITK's image of components or of four axes, at the place that nibabel's affine says."""
    image = sitk.GetImageFromArray(np.transpose(array, (3, 2, 1, 0) if vector else (0, 3, 2, 1)), isVector=vector)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    direction = np.eye(3 if vector else 4)
    direction[:3, :3] = affine[:3, :3] / spacing
    more = [] if vector else [1.0]
    image.SetSpacing([*spacing, *more])
    image.SetOrigin([*affine[:3, 3], *more])
    image.SetDirection(direction.ravel())
    return image


@pytest.mark.parametrize("ending", [".nrrd", ".nhdr", ".mha", ".mhd"])
@pytest.mark.parametrize("vector", [True, False])
@pytest.mark.parametrize("way", AFFINES)
def test_channels_of_itk_files(tmp_path, ending, vector, way):
    """As components of each voxel, or along a fourth axis; the mask has the place of the three others."""
    array, file = voxels(np.int16, 2), tmp_path / f"image{ending}"
    sitk.WriteImage(itk_image(array, AFFINES[way], vector=vector), str(file))
    image, grid = read(file)
    np.testing.assert_array_equal(image, array)
    np.testing.assert_allclose(grid.affine, AFFINES[way], atol=1e-4)
    label = voxels(np.uint8, seed=1)
    out = write_like(tmp_path / "mask", label, file)
    back, own = read(out)
    np.testing.assert_array_equal(back[0], label)
    assert own.shape == grid.shape and own.apart(grid) < 1e-3
    same_place(out, nifti(tmp_path / "same.nii", label, AFFINES[way]))


def test_a_nrrd_whose_last_axis_is_a_list(tmp_path):
    """As 3D Slicer writes sequences: the list may be any axis."""
    array = voxels(np.int16, 2)
    header = (
        "NRRD0004\ntype: short\ndimension: 4\nspace: left-posterior-superior\nsizes: 5 6 7 2\n"
        "space directions: (1,0,0) (0,2,0) (0,0,3) none\nkinds: domain domain domain list\n"
        "endian: little\nencoding: raw\nspace origin: (1,2,3)\n\n"
    )
    (tmp_path / "list.nrrd").write_bytes(header.encode() + np.transpose(array, (0, 3, 2, 1)).astype("<i2").tobytes())
    image, grid = read(tmp_path / "list.nrrd")
    np.testing.assert_array_equal(image, array)
    assert grid.spacing == (1, 2, 3)


def test_a_fourth_axis_turned_into_the_others_is_refused(tmp_path):
    image = sitk.GetImageFromArray(voxels(np.int16, 2), isVector=False)
    turn = np.eye(4)
    turn[2:, 2:] = [[0.6, -0.8], [0.8, 0.6]]
    image.SetDirection(turn.ravel())
    sitk.WriteImage(image, str(tmp_path / "turned.mha"))
    with pytest.raises(ValueError, match="its fourth axis is turned"):
        read(tmp_path / "turned.mha")


RNG = np.random.default_rng(7)
GRAY = RNG.integers(0, 256, (10, 16)).astype(np.uint8)
COLOR = RNG.integers(0, 256, (10, 16, 3)).astype(np.uint8)
INDEX = RNG.integers(0, 3, (10, 16)).astype(np.uint8)
PALETTE = np.array([[0, 0, 0], [255, 0, 10], [0, 255, 20]], np.uint8)


def palette(**options):
    picture = Image.fromarray(INDEX).convert("P")
    picture.putpalette(PALETTE.ravel().tolist())
    picture.putdata(INDEX.ravel().tolist())
    picture.info |= options
    return picture


PICTURES = {  # what Pillow writes, what it shows as an image (height, width, C), what as a label, alpha
    "gray": (Image.fromarray(GRAY), GRAY[..., None], GRAY, False),
    "gray 16": (Image.fromarray(GRAY.astype(np.uint16) * 200), GRAY[..., None].astype(np.uint16) * 200, None, False),
    "gray alpha": (Image.fromarray(np.dstack([GRAY, GRAY[::-1]])), GRAY[..., None], GRAY, True),
    "color": (Image.fromarray(COLOR), COLOR, None, False),
    "color alpha": (Image.fromarray(np.dstack([COLOR, GRAY])), COLOR, None, True),
    "gray as color": (Image.fromarray(np.dstack([GRAY] * 3)), np.dstack([GRAY] * 3), GRAY, False),
    "palette": (palette(), PALETTE[INDEX], INDEX, False),
    "two values": (Image.fromarray(GRAY > 99), (GRAY > 99)[..., None] * 255, (GRAY > 99) * 255, False),
    "CMYK": (Image.fromarray(np.dstack([COLOR, 0 * GRAY])).convert("RGB").convert("CMYK"), COLOR, None, False),
}  # fmt: skip
CANNOT = {(".bmp", "gray 16"), (".bmp", "gray alpha"), (".bmp", "CMYK"), (".png", "CMYK")}


@pytest.mark.parametrize("ending", [".png", ".tif", ".bmp"])
@pytest.mark.parametrize("kind", PICTURES)
def test_kinds_of_pictures(tmp_path, ending, kind):
    if (ending, kind) in CANNOT:
        pytest.skip("there is no such file")
    picture, shown, label, alpha = PICTURES[kind]
    file = tmp_path / f"picture{ending}"
    picture.save(file)
    image, grid, notes = read_noted(file)
    np.testing.assert_array_equal(image[:, 0], np.moveaxis(shown, -1, 0))
    assert (grid.shape, grid.scan, grid.spacing) == ((1, 10, 16), False, (1, 1, 1))
    assert [("alpha" in note.what) for note in notes] == [True] * (alpha and ending != ".bmp"), "there it is padding"
    if label is not None:
        values, own, notes = read_noted(file, label=True)
        np.testing.assert_array_equal(values, label[None, None])
        assert own.apart(grid) == 0
        assert any("three equal channels" in note.what for note in notes) == (kind == "gray as color")
    mask = write_like(tmp_path / "mask", INDEX[None], file)
    assert mask.name == "mask.png"
    np.testing.assert_array_equal(np.asarray(Image.open(mask)), INDEX)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_16_bit_colors_keep_all_their_bits(tmp_path, ending, channels):
    """Pillow would halve them; two channels it does not write, four are colors with alpha."""
    if (ending, channels) == (".png", 2):
        pytest.skip("ITK does not write it")
    array = RNG.integers(0, 65536, (10, 16, channels)).astype(np.uint16)
    source = sitk.GetImageFromArray(array if channels > 1 else array[..., 0], isVector=channels > 1)
    sitk.WriteImage(source, str(tmp_path / f"picture{ending}"))
    image, _, notes = read_noted(tmp_path / f"picture{ending}")
    np.testing.assert_array_equal(image[:, 0], np.moveaxis(array[..., : 3 if channels == 4 else channels], -1, 0))
    assert len(notes) == (channels == 4)


def test_a_palette_with_a_transparent_color(tmp_path):
    palette().save(tmp_path / "clear.png", transparency=0)
    image, _, (note,) = read_noted(tmp_path / "clear.png")
    np.testing.assert_array_equal(image[:, 0], np.moveaxis(PALETTE[INDEX], -1, 0))
    assert "alpha" in note.what
    label, _, notes = read_noted(tmp_path / "clear.png", label=True)
    np.testing.assert_array_equal(label[0, 0], INDEX)
    assert notes == ()


def test_16_bit_gray_with_alpha_is_refused_rather_than_cut(tmp_path):
    """Neither ITK nor Pillow reads it whole, so a PNG of one is made by hand."""
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in RNG.integers(0, 65536, (10, 16, 2)))
    head = struct.pack(">IIBBBBB", 16, 10, 16, 4, 0, 0, 0)
    content = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "deep.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    with pytest.raises(ValueError, match="16-bit gray with alpha"):
        read(tmp_path / "deep.png")


@pytest.mark.parametrize("kind", ["gray", "palette", "two values"])
def test_pages_of_a_tiff_are_slices(tmp_path, kind):
    picture, shown, label, _ = PICTURES[kind]
    flipped = picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    picture.save(tmp_path / "stack.tif", save_all=True, append_images=[flipped, picture])
    (image, grid), (values, own) = read(tmp_path / "stack.tif"), read(tmp_path / "stack.tif", label=True)
    assert grid.shape == (16, 10, 3) and grid.scan and own.apart(grid) == 0
    for page, rows in enumerate((slice(None), slice(None, None, -1), slice(None))):
        np.testing.assert_array_equal(np.transpose(image[..., page]), shown[rows])
        np.testing.assert_array_equal(values[0, ..., page].T, label[rows])
    out = write_like(tmp_path / "mask", values[0].astype(np.uint8), tmp_path / "stack.tif")
    back, own = read(out, label=True)
    np.testing.assert_array_equal(back, values)
    assert out.name == "mask.tiff" and own.apart(grid) == 0


@pytest.mark.parametrize("values", [(0, 70_000), (-1, 3), (-(2**31), 2**31 - 1)])
@pytest.mark.parametrize("pages", [1, 3])
def test_class_numbers_that_png_cannot_hold(tmp_path, values, pages):
    Image.fromarray(GRAY).save(
        tmp_path / "picture.tif", save_all=True, append_images=[Image.fromarray(GRAY)] * (pages - 1)
    )
    grid = read(tmp_path / "picture.tif")[1]
    label = np.where(np.random.default_rng(0).random(grid.shape) < 0.5, *values)
    out = write_like(tmp_path / "mask", label, tmp_path / "picture.tif")
    back, own = read(out, label=True)
    np.testing.assert_array_equal(back[0], label)
    assert out.name == "mask.tiff" and own.shape == grid.shape and own.apart(grid) == 0 and own.scan == grid.scan
    with pytest.raises(ValueError, match="no picture holds numbers from 0 to 4294967296"):
        write_like(tmp_path / "mask", np.where(label > 0, 2**32, 0), tmp_path / "picture.tif")


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize("kind", ["gray", "gray 16", "color", "color alpha", "palette", "two values", "CMYK"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_orientation_tag_is_told_and_not_followed(tmp_path, compression, kind, orientation):
    """Whatever ITK and Pillow make of it: pixels are as stored, for a mask drawn on them lies so."""
    picture, shown, label, alpha = PICTURES[kind]
    file = tmp_path / "picture.tif"
    picture.save(file, tiffinfo={274: orientation}, compression=compression)
    image, grid, notes = read_noted(file)
    np.testing.assert_array_equal(image[:, 0], np.moveaxis(shown, -1, 0))
    assert grid.shape == (1, 10, 16)
    assert [("orientation" in n.what, "alpha" in n.what) for n in notes] == (
        [(True, False)] * (orientation != 1) + [(False, True)] * alpha
    )
    if label is not None:
        np.testing.assert_array_equal(read(file, label=True)[0], label[None, None])
    mask = write_like(tmp_path / "mask", INDEX[None], file)
    np.testing.assert_array_equal(np.asarray(Image.open(mask)), INDEX)


@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_an_orientation_in_exif(tmp_path, ending):
    upright, turned = tmp_path / f"upright{ending}", tmp_path / f"turned{ending}"
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(COLOR).save(upright)
    Image.fromarray(COLOR).save(turned, exif=exif)
    image, _, notes = read_noted(turned)
    np.testing.assert_array_equal(image, read(upright)[0])
    assert ["orientation" in note.what for note in notes] == [True] and read_noted(upright).notes == ()


def test_pages_turned_each_in_its_way(tmp_path):
    first, second = Image.fromarray(GRAY), Image.fromarray(GRAY[::-1])
    with TiffImagePlugin.AppendingTiffWriter(tmp_path / "stack.tif", True) as file:
        for page, orientation in ((first, 6), (second, 3)):
            page.save(file, format="TIFF", tiffinfo={274: orientation})
            file.newFrame()
    image, grid, notes = read_noted(tmp_path / "stack.tif")
    assert grid.shape == (16, 10, 2) and len(notes) == 1
    np.testing.assert_array_equal(image[0].T, [GRAY, GRAY[::-1]])


def test_an_orientation_of_what_pillow_would_cut_is_refused(tmp_path):
    """16-bit colors, which ITK mirrors and Pillow halves."""
    source = sitk.GetImageFromArray(RNG.integers(0, 65536, (10, 16, 3)).astype(np.uint16), isVector=True)
    sitk.WriteImage(source, str(tmp_path / "deep.tif"))
    data = bytearray((tmp_path / "deep.tif").read_bytes())
    place = data.index(struct.pack("<HHIH", 274, 3, 1, 1))
    data[place + 8] = 3
    (tmp_path / "deep.tif").write_bytes(data)
    with pytest.raises(ValueError, match="orientation tag and more bits or channels"):
        read(tmp_path / "deep.tif")


@pytest.mark.parametrize("mode", ["YCbCr", "LAB"])
def test_other_spaces_of_color_become_rgb(tmp_path, mode):
    place = np.linspace(60, 200, 160).reshape(10, 16)
    smooth = np.dstack([place, place[::-1], place[:, ::-1]]).astype(np.uint8)
    picture = Image.fromarray(smooth)
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        ImageCms.applyTransform(picture, ImageCms.buildTransform(*profiles, "RGB", "LAB")).save(tmp_path / "other.tif")
    else:
        picture.convert(mode).save(tmp_path / "other.tif")
    image, _, notes = read_noted(tmp_path / "other.tif")
    assert image.shape == (3, 1, 10, 16) and notes == ()
    assert abs(np.moveaxis(image[:, 0], 0, -1).astype(int) - smooth).max() <= 8, "8 bits of LAB are coarser"


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95, 1])
@pytest.mark.parametrize("kind", ["photo.jpg", "gray.jpg", "pillow.tif", "color.tif", "lzw.tif", "itk.tif", "stack.tif",
                                  "palette.png", "color.png"])  # fmt: skip
def test_truncated_pictures(tmp_path, kind, share):
    """An error that names the file, and no warning: libjpeg fills up what is missing, Pillow tells of EXIF."""
    rng, file = np.random.default_rng(0), tmp_path / kind
    gray = rng.integers(0, 256, (60, 80)).astype(np.uint8)
    name = file.stem
    picture = Image.fromarray(gray if name in ("gray", "pillow", "lzw", "stack") else np.dstack([gray] * 3))
    if name == "itk":
        sitk.WriteImage(sitk.GetImageFromArray(gray), str(file), useCompression=True)
    else:
        more = {"stack": {"save_all": True, "append_images": [picture] * 3}, "lzw": {"compression": "tiff_lzw"}}
        (picture.convert("P") if name == "palette" else picture).save(file, **more.get(name, {}))
    read(file)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share) - 60])
    with pytest.raises(ValueError, match=kind) as error:
        read(file)
    assert "\n" not in str(error.value)
    if file.suffix != ".png":
        assert re.search("truncated|ends too early", str(error.value))


def test_pages_of_unequal_size_are_no_volume(tmp_path):
    """A pyramid; where the smaller ones say that they are copies, the first alone is read."""
    small = Image.fromarray(GRAY[::2, ::2].copy())
    Image.fromarray(GRAY).save(tmp_path / "pyramid.tif", save_all=True, append_images=[small])
    with pytest.raises(ValueError, match=r"its 2 pages differ in size or kind \(10×16 L, 5×8 L\)"):
        read(tmp_path / "pyramid.tif")
    with TiffImagePlugin.AppendingTiffWriter(tmp_path / "told.tif", True) as file:
        for page, copy in ((Image.fromarray(GRAY > 99), 0), (small, 1)):
            page.save(file, format="TIFF", tiffinfo={254: copy})
            file.newFrame()
    image, grid = read(tmp_path / "told.tif")
    assert grid.shape == (1, 10, 16)
    np.testing.assert_array_equal(image[0, 0], (GRAY > 99) * 255)


@pytest.mark.parametrize("shape", [(10, 16), SHAPE])
@pytest.mark.parametrize("channels", [None, "first", "last"])
def test_h5(tmp_path, shape, channels):
    """The label tells whether an axis is one of channels, and which."""
    label = RNG.integers(0, 3, shape).astype(np.uint8)
    array = RNG.normal(size=(2, *shape) if channels else shape)
    file = h5(tmp_path / "case.h5", np.moveaxis(array, 0, -1) if channels == "last" else array, label)
    image, grid, notes = read_noted(file)
    full = (1, *shape) if len(shape) == 2 else shape
    np.testing.assert_array_equal(image, array.astype(np.float32).reshape(-1, *full))
    assert (grid.shape, grid.scan) == (full, len(shape) == 3)
    np.testing.assert_array_equal(grid.affine, np.eye(4))
    assert [("1 mm" in note.what) for note in notes] == [True] * grid.scan
    values, own = read(file, label=True)
    np.testing.assert_array_equal(values, label.reshape(1, *full))
    assert own.shape == grid.shape and own.apart(grid) == 0 and own_label(file) == file

    out = write_like(tmp_path / "out" / "mask", values[0], file)
    with h5py.File(out) as written:
        assert list(written) == ["label"] and written["label"].compression == "gzip"
        np.testing.assert_array_equal(written["label"], label)
    np.testing.assert_array_equal(read(out, label=True)[0], values)
    probability = write_like(tmp_path / "out" / "map", image[0], file)
    np.testing.assert_array_equal(read(probability)[0][0], image[0])


def test_h5_that_cannot_be_read(tmp_path):
    alone = h5(tmp_path / "alone.h5", np.zeros((4, 5)))
    assert own_label(alone) is None and own_label(tmp_path / "missing.h5") is None
    with pytest.raises(ValueError, match=r"alone.h5 .* no data set 'label' .* it has 'image'"):
        read(alone, label=True)
    with pytest.raises(ValueError, match=r"\(2, 3, 4, 5\) is no image's; 2 or 3 axes"):
        read(h5(tmp_path / "four.h5", np.zeros((2, 3, 4, 5))))
    with pytest.raises(ValueError, match="not real numbers"):
        read(h5(tmp_path / "complex.h5", np.zeros((4, 5), complex)))
    with pytest.raises(ValueError, match="it has nothing"):
        read(h5(tmp_path / "empty.h5"))


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
        "text.h5": b"patient;age\n",
        "truncated.h5": h5(folder / "whole.h5", np.zeros((20, 20, 20))).read_bytes()[:1500],
        "no_type.nii": flat[:70] + b"\x4d\x01" + flat[72:],
    }
    for name, data in content.items():
        (folder / name).write_bytes(data)
    return [folder / n for n in (*content, "missing.nii.gz", "missing.png", "missing.nrrd", "missing.h5")]


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
