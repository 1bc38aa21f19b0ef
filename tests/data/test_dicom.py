"""DICOM series and segmentation objects, against SimpleITK's own reader and against hostile files."""

import os
import shutil
import time
import traceback
from dataclasses import replace
from io import BytesIO

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_files import CAPTURE, CT, DIRECTORY, MR, REPORT, WHO, enhanced, header, pixels, save, series, uid
from hypothesis import example, given, settings
from hypothesis import strategies as st
from made import only_errors_that_name
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, RLELossless

from halfmask.data.formats import files_of, read, read_noted, refuse_unfit, write_like
from halfmask.data.formats.dicom.header import read_header
from halfmask.data.formats.dicom.patient import Patient
from halfmask.data.formats.dicom.series import grouped, headers_in
from halfmask.data.index import Case
from halfmask.data.layouts import is_data_set, read_images, read_index
from halfmask.data.layouts.dicom_privacy import told_by_path
from halfmask.data.store import source_key

NAMES = {0: "background", 1: "liver", 2: "tumor"}


def stored(slices=6, rows=5, columns=7, dtype=np.uint16, seed=0, high=4000):
    return np.random.default_rng(seed).integers(0, high, (slices, rows, columns)).astype(dtype)


def by_itk(folder):
    """(x, y, z) and the affine (right, anterior, superior) as SimpleITK's reader of series finds them."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return of_itk(reader.Execute())


def of_itk(image):
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).T, np.diag([-1.0, -1, 1, 1]) @ affine


@pytest.mark.parametrize("suffix", ["", ".dcm", ".17"])
@pytest.mark.parametrize("scale", [(1, 0), (1, -1024), (2, 3), (0.37, -12.5), lambda n: (1 + 0.1 * n, n)])
def test_a_series_lies_where_itk_finds_it(tmp_path, suffix, scale):
    """Oblique, with names in another order than the slices; ITK takes one scale for all slices, so theirs are made."""
    given, turned = stored(), (20, -15, 40)
    files = series(tmp_path / "a", given, turned=turned, scale=scale, suffix=suffix, order=[4, 1, 0, 3, 5, 2])
    array, grid, notes = read_noted(files[2])
    theirs, affine = by_itk(tmp_path / "a")
    np.testing.assert_allclose(grid.affine, affine, atol=1e-4)
    np.testing.assert_allclose(grid.spacing, (0.9, 0.7, 2.0), atol=1e-6)
    slopes = [scale(n) if callable(scale) else scale for n in range(len(given))]
    expected = np.stack(
        [one.astype(float) * slope + intercept for one, (slope, intercept) in zip(given, slopes, strict=True)]
    )
    np.testing.assert_allclose(array[0], expected.T, rtol=1e-5)
    if not callable(scale):
        np.testing.assert_allclose(array[0], theirs, rtol=1e-5)
    whole = all(float(value).is_integer() for pair in slopes for value in pair)
    assert array.dtype == (np.int16 if whole else np.float32) and not notes
    assert sorted(files_of(files[0])) == sorted(files)


def test_an_enhanced_object_is_the_same_volume_as_its_slices(tmp_path):
    """Frames in functional groups, also in reverse order and with a scale each; values against the files' own."""
    given, turned, scale = stored(), (-10, 25, 5), lambda n: (0.5 + n, n)
    slices, grid = read(series(tmp_path / "a", given, turned=turned, scale=scale)[0])
    array, own = read(enhanced(tmp_path / "b" / "e", given, turned=turned, scale=scale))
    np.testing.assert_allclose(array, slices)
    assert own.apart(grid) < 1e-4
    plain = enhanced(tmp_path / "c" / "e", given, turned=turned)
    theirs, affine = of_itk(sitk.ReadImage(str(plain), imageIO="GDCMImageIO"))
    np.testing.assert_array_equal(read(plain)[0][0], theirs)
    np.testing.assert_allclose(read(plain)[1].affine, affine, atol=1e-4)

    data = pydicom.dcmread(tmp_path / "b" / "e")
    data.PerFrameFunctionalGroupsSequence = list(data.PerFrameFunctionalGroupsSequence)[::-1]
    data.PixelData = given[::-1].tobytes()
    back, same = read(save(data, tmp_path / "d" / "e"))
    np.testing.assert_array_equal(back, array)
    assert same.apart(own) < 1e-6


def test_frames_without_groups_follow_the_first(tmp_path):
    data = pixels(header(MR, NumberOfFrames=6, SpacingBetweenSlices=2.0, PixelSpacing=[0.7, 0.9]), stored())
    data.ImagePositionPatient, data.ImageOrientationPatient = [-30, 12, 50], [1, 0, 0, 0, 1, 0]
    array, grid = read(save(data, tmp_path / "m"))
    slices, own = read(series(tmp_path / "a", stored())[0])
    np.testing.assert_array_equal(array, slices)
    assert grid.apart(own) < 1e-6
    with pytest.raises(ValueError, match=r"choose --format nifti"):
        refuse_unfit(tmp_path / "m", None)
    data.SpacingBetweenSlices, data.SliceThickness = 3.0, 2.0  # with gaps between
    assert read(save(data, tmp_path / "gaps"))[1].spacing[2] == pytest.approx(3)
    data.SpacingBetweenSlices = -3.0  # as nuclear medicine tells frames that go the other way
    down = read(save(data, tmp_path / "down"))[1]
    assert down.affine[2, 3] == pytest.approx(50 - 5 * 3) and down.spacing[2] == pytest.approx(3)
    del data.SpacingBetweenSlices
    assert "a slice's thickness is taken" in read_noted(save(data, tmp_path / "thick")).notes[0].what


def test_compressed_and_inverted_files_hold_the_same_numbers(tmp_path):
    given = stored()

    def rle(n, data):
        data.compress(RLELossless, given[n], generate_instance_uid=False)

    def jpeg2000(n, data):
        file = BytesIO()
        Image.fromarray(given[n]).save(file, "JPEG2000", no_jp2=True)
        data.PixelData = encapsulate([file.getvalue()])
        data["PixelData"].VR = "OB"

    plain, _ = read(series(tmp_path / "plain", given, scale=(1, -1000))[0])
    for name, syntax, change in (("rle", RLELossless, rle), ("jpeg2000", JPEG2000Lossless, jpeg2000)):
        for n, one in enumerate(given):
            data = pydicom.dcmread(tmp_path / "plain" / f"IM{n:04d}.dcm")
            assert (data.pixel_array == one).all()
            data.PhotometricInterpretation = "MONOCHROME1"
            change(n, data)
            save(data, tmp_path / name / f"{n}", syntax)
        array, _, notes = read_noted(tmp_path / name / "0")
        np.testing.assert_array_equal(array, plain)
        assert [("MONOCHROME1" in note.what) for note in notes] == [True]
    lossless = sitk.ImageFileWriter()  # lossless JPEG, which pydicom has no decoder for
    lossless.SetImageIO("GDCMImageIO")
    lossless.SetUseCompression(True)
    lossless.SetCompressor("JPEG")
    lossless.SetFileName(str(tmp_path / "jpeg.dcm"))
    lossless.Execute(sitk.GetImageFromArray(given[0]))
    data = pydicom.dcmread(tmp_path / "jpeg.dcm")
    assert data.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.70"
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Modality"):
        setattr(data, keyword, pydicom.dcmread(tmp_path / "plain" / "IM0000.dcm").get(keyword))
    data.RescaleIntercept = -1000
    data.SOPClassUID = CT
    save(data, tmp_path / "jpeg" / "0", data.file_meta.TransferSyntaxUID)
    np.testing.assert_array_equal(read(tmp_path / "jpeg" / "0")[0][0, ..., 0], plain[0, ..., 0])


def test_what_would_give_a_wrong_place_is_refused(tmp_path):
    """A tilted gantry, missing slices and uneven ones; what is only a little off is noted."""
    tilted = series(tmp_path / "tilted", stored(), turned=(10, 0, 0), lean=(0, 2.0 * np.tan(np.radians(12.5))))
    with pytest.raises(ValueError, match=r"tilted.*gantry was tilted by 12.5°.*dcm2niix"):
        read(tilted[0])
    lost = series(tmp_path / "lost", stored(9))
    for n in (3, 4, 6):
        lost[n].unlink()
    with pytest.raises(ValueError, match=r"3 slices are missing: 2 after slice 3 of 6, 1 after slice 4 of 6"):
        read(lost[0])
    move = lambda by: lambda n, data: setattr(data, "ImagePositionPatient", [-30, 12, 50 + 2 * n + by * (n == 3)])
    with pytest.raises(ValueError, match=r"lie unevenly, 1.2 to 2.8 mm apart"):
        read(series(tmp_path / "uneven", stored(), change=move(0.8))[0])
    _, grid, notes = read_noted(series(tmp_path / "little", stored(), change=move(0.1))[0])
    assert "differ a little" in notes[0].what and grid.spacing[2] == pytest.approx(2)
    assert not read_noted(series(tmp_path / "less", stored(), change=move(0.01))[0]).notes


def test_slices_that_lie_aside_are_no_stack(tmp_path):
    """Each shifted another way within its plane: no tilt would straighten them."""
    aside = lambda n, data: setattr(data, "ImagePositionPatient", [-30 + 3 * (n % 2), 12 - 2 * (n == 4), 50 + 2 * n])
    with pytest.raises(ValueError, match=r"shifted within their planes by up to 3\.0 mm"):
        read(series(tmp_path / "a", stored(), change=aside)[0])
    little = lambda n, data: setattr(data, "ImagePositionPatient", [-30 + 0.2 * (n in (2, 3)), 12, 50 + 2 * n])
    assert "shifted a little" in read_noted(series(tmp_path / "b", stored(), change=little)[0]).notes[0].what


def test_slices_that_were_taken_again_are_no_volume_of_their_own(tmp_path):
    """Two of six lie at their places once more, in another acquisition: which of them count, nobody knows."""
    series(tmp_path, stored(), kind=MR, AcquisitionNumber=1)
    for n in (2, 3):
        again = pydicom.dcmread(tmp_path / f"IM{n:04d}.dcm")
        again.SOPInstanceUID, again.AcquisitionNumber, again.PixelData = uid(n), 2, stored(seed=1)[n].tobytes()
        save(again, tmp_path / f"again{n}")
    (case,) = read_index(tmp_path).cases
    with pytest.raises(ValueError, match="lie at the same place and differ"):
        read(case.images[0])


def test_numbers_that_would_be_wrong_are_refused(tmp_path):
    """Of a table in place of a slope, in slices and in frames; of frames with a scale each that only GDCM decodes."""
    table = lambda n, data: setattr(data, "ModalityLUTSequence", [Dataset()])
    frames = pydicom.dcmread(enhanced(tmp_path / "b", stored()))
    table(0, frames)
    for path in (series(tmp_path / "a", stored(), change=table)[0], save(frames, tmp_path / "b")):
        with pytest.raises(ValueError, match="Modality LUT"):
            read(path)
    each = pydicom.dcmread(enhanced(tmp_path / "c", stored(), scale=lambda n: (1 + n, 0)))
    each.PixelData = encapsulate([b"\xff\xd8"] * 6)
    each["PixelData"].VR = "OB"
    with pytest.raises(ValueError, match="each frame has a scale of its own"):
        read(save(each, tmp_path / "c", JPEGLosslessSV1))


def test_a_segmentation_aside_of_its_series_is_refused(tmp_path):
    """By a pixel within the plane, drawn elsewhere, with frames for some slices alone."""
    image = series(tmp_path / "a", stored())[0]
    mask = np.zeros(read(image)[1].shape, np.uint8)
    mask[1:4, 1:4, 2] = 1
    data = pydicom.dcmread(write_like(tmp_path / "a" / "seg", mask, image, names={1: "x"}))
    data.Manufacturer = "another"
    data.PerFrameFunctionalGroupsSequence = list(data.PerFrameFunctionalGroupsSequence)[:4]
    data.NumberOfFrames = 4
    np.testing.assert_array_equal(read(save(data, tmp_path / "a" / "seg.dcm"), label=True)[0][0], mask)
    for frame in data.PerFrameFunctionalGroupsSequence:
        frame.PlanePositionSequence[0].ImagePositionPatient[0] += 0.9
    with pytest.raises(ValueError, match="do not lie on the slices"):
        read(save(data, tmp_path / "a" / "seg.dcm"))


def test_a_segmentation_is_of_the_echo_that_it_was_drawn_on(tmp_path):
    for echo in (1, 2):
        series(tmp_path, stored(seed=echo), kind=MR, name=f"e{echo}_", EchoTime=10.0 * echo)
    image = tmp_path / "e2_0000.dcm"
    write_like(tmp_path / "seg", np.ones(read(image)[1].shape, np.uint8), image, names={1: "x"})
    index = read_index(tmp_path)
    assert [(c.images[0].name[:2], c.labeled) for c in index.cases] == [("e1", False), ("e2", True)]


def test_a_share_counts_from_a_half_on(tmp_path):
    image = series(tmp_path / "a", stored())[0]
    data = pydicom.dcmread(write_like(tmp_path / "seg", np.ones(read(image)[1].shape, np.uint8), image, names={1: "x"}))
    data.SegmentationType, data.SegmentationFractionalType, data.MaximumFractionalValue = (
        "FRACTIONAL",
        "PROBABILITY",
        200,
    )
    data.BitsAllocated, data.BitsStored, data.HighBit = 8, 8, 7
    shares = np.full((6, 5, 7), 99, np.uint8)
    shares[2, 1, 3] = 100
    data.PixelData = shares.tobytes()
    array, _, notes = read_noted(save(data, tmp_path / "seg.dcm"), label=True)
    z = data.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence[0].ImagePositionPatient[2]
    assert np.argwhere(array[0]).tolist() == [[3, 1, (z - 50) / 2]] and "a share" in notes[0].what


def test_the_patient_and_the_classes_of_a_mask_are_spelled_as_they_are(tmp_path):
    own = {"PatientName": "Müller^Zoë", "SpecificCharacterSet": "ISO_IR 100", "PatientID": "ä1"}
    image = series(tmp_path / "a", stored(), **own)[0]
    mask = np.ones(read(image)[1].shape, np.uint8)
    made = pydicom.dcmread(write_like(tmp_path / "seg", mask, image, names={1: "Läsion\\left"}))
    assert (str(made.PatientName), made.PatientID) == (own["PatientName"], "ä1")
    assert made.SegmentSequence[0].SegmentLabel == "Läsion/left"


def test_errors_repeat_nothing_of_a_header(tmp_path):
    """Not in their text, and not in what they come from, which a traceback would show."""
    wrong = lambda n, data: setattr(data["SeriesNumber"], "_value", "Quixotl")
    file = series(tmp_path / "a", stored(1), change=wrong)[0]
    with pytest.raises(ValueError, match="header cannot be read") as error:
        read(file)
    assert "Quixotl" not in "".join(traceback.format_exception(error.value))


def test_a_series_of_two_resolutions_is_two_volumes(tmp_path):
    for n, spacing in enumerate(((2.0, 0.7, 0.9), (2.0, 0.8, 0.9))):
        series(tmp_path, stored(), name=f"{n}_", spacing=spacing, origin=(-30, 12, 50 + 100 * n))
    assert [read(c.images[0])[1].spacing[1] for c in read_index(tmp_path).cases] == pytest.approx([0.7, 0.8])


def test_a_scale_may_be_told_once_for_all_frames(tmp_path):
    data = pydicom.dcmread(enhanced(tmp_path / "e", stored()))
    for frame in data.PerFrameFunctionalGroupsSequence:
        del frame.PixelValueTransformationSequence
    data.RescaleSlope, data.RescaleIntercept = 2, -5
    np.testing.assert_array_equal(read(save(data, tmp_path / "e"))[0][0].T, 2 * stored().astype(int) - 5)


def test_slices_that_are_there_twice(tmp_path):
    files = series(tmp_path / "a", stored())
    once, grid = read(files[0])
    shutil.copy(files[2], tmp_path / "a" / "copy")
    twice, own, notes = read_noted(files[0])
    np.testing.assert_array_equal(twice, once)
    assert own.shape == grid.shape and "twice" in notes[0].what
    data = pydicom.dcmread(files[2])
    data.PixelData = stored(seed=1)[0].tobytes()
    save(data, tmp_path / "a" / "copy")
    with pytest.raises(ValueError, match=r"IM0002.dcm and copy lie at the same place and differ"):
        read(files[0])


def test_the_same_fault_of_many_files_is_told_once(tmp_path):
    series(tmp_path / "a", stored(), change=lambda n, data: setattr(data, "PixelSpacing", [0, 1]))
    (fault,) = read_index(tmp_path).faults
    assert "PixelSpacing is 0" in fault.what and "5 more files" in fault.what


def test_a_slice_that_is_no_dicom_file_is_not_passed_silently(tmp_path):
    """At an end of the stack nothing else would tell that it is missing."""
    files = series(tmp_path, stored())
    files[-1].write_bytes(files[-1].read_bytes()[132:])
    (fault,) = read_index(tmp_path).faults
    assert fault.severity == "error" and fault.file == str(files[-1]) and "without the preamble" in fault.what
    for file in files[:-1]:
        file.unlink()
    with pytest.raises(ValueError, match=r"IM0005.dcm: .*without the preamble"):
        read_index(tmp_path)


def test_files_of_one_name_and_time_in_other_series_are_others(tmp_path):
    """As an archive has them that was unpacked: only what is in them differs."""
    keys = set()
    for n in range(2):
        files = series(tmp_path / f"{n}", stored(seed=n), series=n)
        for file in files:
            os.utime(file, (10**9, 10**9))
        keys.add(source_key(Case("a", (files[0],))))
    assert len(keys) == 2


def test_headers_are_read_once(tmp_path, monkeypatch):
    files, read_files = series(tmp_path, stored()), []
    reading = pydicom.dcmread
    monkeypatch.setattr(pydicom, "dcmread", lambda path, **more: read_files.append(path) or reading(path, **more))
    (case,) = read_index(tmp_path).cases
    source_key(case)
    assert sorted(read_files) == files
    os.utime(files[2], (10**9, 10**9))
    source_key(case)
    assert read_files[len(files) :] == [files[2]]


def test_a_folder_of_many_series_is_sorted_out(tmp_path):
    """Two series, two echoes and another orientation in one; scouts, captures, reports, DICOMDIR and junk left out."""
    folder, time = tmp_path / "all", {"EchoTime": 20.0}
    first = series(folder, stored(), name="a", kind=MR, number=1, series="one", EchoTime=10.0, suffix="")
    series(folder, stored(seed=1), name="b", kind=MR, number=1, series="one", suffix="", **time)
    series(folder, stored(4, seed=2), name="c", kind=MR, number=1, series="one", turned=(90, 0, 0), suffix="", **time)
    series(folder, stored(seed=3), name="d", kind=MR, number=2, series="two")
    scout = {"kind": MR, "number": 3, "series": "scout"}
    for n, turned in enumerate([(0, 0, 0), (90, 0, 0), (0, 90, 0)]):
        series(folder, stored(3), name=f"e{n}", turned=turned, **scout)
    series(folder, stored(1), name="f", number=4, series="topogram", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    save(pixels(header(CAPTURE, series="capture"), stored(1)[0]), folder / "g")
    save(header(REPORT, series="report"), folder / "h")
    save(header(DIRECTORY, series="x"), folder / "DICOMDIR")
    (folder / "notes.txt").write_text("none")
    (folder / "notes").write_text("none")

    index = read_index(folder)
    names = [case.name for case in index.cases]
    patient = index.cases[0].group
    study = names[0].rsplit("-", 2)[0]
    assert names == [f"{study}-1-1", f"{study}-1-2", f"{study}-1-3", f"{study}-2"] and study.startswith(f"{patient}-")
    assert [read(case.images[0])[1].shape[2] for case in index.cases] == [6, 6, 4, 6]
    np.testing.assert_array_equal(read(index.cases[1].images[0])[0][0], stored(seed=1).T)
    (fault,) = index.faults
    assert fault.severity == "warning" and "4 series" in fault.what
    for kind in ("2 localizers", "1 report", "1 secondary capture"):
        assert kind in fault.what
    assert first[0] == index.cases[0].images[0]

    before = source_key(index.cases[0])
    last = pydicom.dcmread(first[-1])
    last.RescaleIntercept = 17
    save(last, first[-1])
    assert source_key(index.cases[0]) != before, "the key depends on every file of the series"
    assert source_key(index.cases[3]) == source_key(read_index(folder).cases[3])


def test_a_series_in_two_folders_is_told(tmp_path):
    files = series(tmp_path / "a" / "1", stored())
    (tmp_path / "a" / "2").mkdir()
    files[5].rename(tmp_path / "a" / "2" / "IM")
    (fault,) = [f for f in read_index(tmp_path / "a").faults if f.severity == "error"]
    assert "one series is spread over 2 folders: 1, 2" in fault.what
    shutil.copytree(tmp_path / "a" / "1", tmp_path / "a" / "2", dirs_exist_ok=True)
    assert "the same series lies in 2 folders" in read_index(tmp_path / "a").faults[0].what


@pytest.mark.parametrize("turned", [(0, 0, 0), (-35, 20, 170), (90, 0, 0)])
def test_a_mask_goes_out_as_a_segmentation_and_comes_back(tmp_path, turned):
    image = series(tmp_path / "image", stored(), turned=turned, order=[3, 0, 1, 2, 5, 4])[0]
    _, grid = read(image)
    mask = np.random.default_rng(1).integers(0, 3, grid.shape).astype(np.uint8)
    mask[:, :, 4] = 0
    out = write_like(tmp_path / "out" / "mask", mask, image, names=NAMES)
    shutil.move(tmp_path / "image", tmp_path / "elsewhere" / "far" / "away")
    array, own, notes = read_noted(out, label=True)
    np.testing.assert_array_equal(array[0], mask)
    assert array.dtype == np.uint8 and own.apart(grid) < 1e-4 and not notes
    data = pydicom.dcmread(out)
    source = pydicom.dcmread(tmp_path / "elsewhere" / "far" / "away" / "IM0000.dcm")
    assert [s.SegmentLabel for s in data.SegmentSequence] == ["liver", "tumor"]
    assert data.ReferencedSeriesSequence[0].SeriesInstanceUID == source.SeriesInstanceUID
    assert len(data.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 6
    assert (data.FrameOfReferenceUID, data.PatientID) == (source.FrameOfReferenceUID, source.PatientID)
    assert data.SegmentationType == "BINARY" and str(data.PatientName) == WHO["PatientName"]


def test_masks_that_are_empty_or_have_strange_numbers(tmp_path):
    image = series(tmp_path / "image", stored())[0]
    _, grid = read(image)
    empty = np.zeros(grid.shape, np.uint8)
    array, own = read(write_like(tmp_path / "out" / "empty", empty, image, names=NAMES), label=True)
    assert not array.any() and array.dtype == np.uint8 and own.apart(grid) < 1e-4
    odd = empty.copy()
    odd[2, 3, 1], odd[0, 0, 5] = 255, 7
    out = write_like(tmp_path / "out" / "odd", odd, image, names={0: "background", 7: "a", 9: "b", 255: "c"})
    np.testing.assert_array_equal(read(out)[0][0], odd)
    assert [s.SegmentNumber for s in pydicom.dcmread(out).SegmentSequence] == [1, 2, 3]
    frames = enhanced(tmp_path / "enhanced" / "e", stored())
    np.testing.assert_array_equal(read(write_like(tmp_path / "out" / "e", odd, frames))[0][0], odd)
    assert write_like(tmp_path / "out" / "map", odd.astype(float), image).name == "map.nii.gz"


def test_what_is_strange_in_a_header_is_neither_told_nor_lost(tmp_path, capfd, caplog):
    """highdicom and pydicom warn of names of one part, of dates and of sexes, and repeat them."""
    odd = {"PatientName": "Quixotl", "PatientBirthDate": "1937", "PatientSex": "X", "StudyDate": "2020-03-01"}

    def spoil(n, data):
        with pydicom.config.disable_value_validation():
            for keyword, value in odd.items():
                delattr(data, keyword)
                setattr(data, keyword, value)
            del data.AccessionNumber, data.StudyID, data.Manufacturer, data.PositionReferenceIndicator

    image = series(tmp_path / "image", stored(), change=spoil)[0]
    out = write_like(tmp_path / "out" / "mask", np.ones(read(image)[1].shape, np.uint8), image)
    assert (read(out)[0] == 1).all()
    with pydicom.config.disable_value_validation():
        data = pydicom.dcmread(out)
        assert {keyword: str(data.get(keyword)) for keyword in odd} == odd
    assert not caplog.text and "".join(capfd.readouterr()) == ""


def test_a_segmentation_with_frames_left_out_is_put_into_its_series(tmp_path):
    """As other programs write them: frames of marked slices alone."""
    image = series(tmp_path / "p" / "scan", stored())[0]
    _, grid = read(image)
    mask = np.zeros(grid.shape, np.uint8)
    mask[1:3, 2:4, 1], mask[2, 2, 4] = 1, 2
    data = pydicom.dcmread(write_like(tmp_path / "full", mask, image, names=NAMES))
    data.Manufacturer = "another"
    kept = [n for n, frame in enumerate(data.pixel_array) if frame.any()]
    data.PixelData = np.packbits(data.pixel_array[kept].ravel(), bitorder="little").tobytes() + b"\0"
    data.PerFrameFunctionalGroupsSequence = [data.PerFrameFunctionalGroupsSequence[n] for n in kept]
    data.NumberOfFrames = len(kept)
    out = save(data, tmp_path / "p" / "drawn" / "seg.dcm")
    array, own, notes = read_noted(out, label=True)
    np.testing.assert_array_equal(array[0], mask)
    assert own.apart(grid) < 1e-4 and not notes
    (case,) = read_index(tmp_path / "p").cases
    assert case.label == out and read_index(tmp_path / "p").labels == {"background": 0, "liver": 1, "tumor": 2}
    far = save(data, tmp_path / "far" / "1" / "2" / "seg.dcm")
    with pytest.raises(ValueError, match="drawn on does not lie near it"):
        read(far)
    data = pydicom.dcmread(get_testdata_file("liver_1frame.dcm"))  # dcmqi's, of a series that is not there
    data.PerFrameFunctionalGroupsSequence = data.PerFrameFunctionalGroupsSequence[:1]
    data.save_as(tmp_path / "far" / "1" / "liver")
    liver = read_noted(tmp_path / "far" / "1" / "liver", label=True)
    assert set(np.unique(liver.array)) == {0, 1} and "far from the series" in liver.notes[0].what


@pytest.mark.parametrize("turned", [(0, 0, 0), (25, -40, 100), (180, 0, 0)])
@pytest.mark.parametrize("kind", ["nifti", "nrrd", "mha"])
@pytest.mark.parametrize("source", ["dicom", "nifti"])
def test_another_format_has_each_voxel_at_the_same_place(tmp_path, turned, kind, source):
    """By SimpleITK, of DICOM and of a NIfTI file whose first axis is turned round."""
    image = series(tmp_path / "image", stored(), turned=turned)[0]
    if source == "nifti":
        volume = sitk.Flip(
            sitk.ReadImage([str(f) for f in sorted((tmp_path / "image").iterdir())]), [True, False, False]
        )
        image = tmp_path / "flipped.nii.gz"
        sitk.WriteImage(volume, str(image))
        turn = np.diag([-1.0, 1, 1, 1])
        turned_round = nibabel.load(image)
        turn[0, 3] = turned_round.shape[0] - 1
        flipped = np.asanyarray(turned_round.dataobj)[::-1]
        nibabel.save(nibabel.Nifti1Image(flipped, turned_round.affine @ turn), image)
    _, grid = read(image)
    mask = np.zeros(grid.shape, np.uint8)
    mask[1, 2, 3] = mask[6, 0, 5] = 1
    out = sitk.ReadImage(str(write_like(tmp_path / "out" / "mask", mask, image, kind=kind)))
    for index in ((1, 2, 3), (6, 0, 5)):
        assert out[index] == 1
        place = (grid.affine @ (*index, 1))[:3] * (-1, -1, 1)
        np.testing.assert_allclose(out.TransformIndexToPhysicalPoint(index), place, atol=1e-3)
    again, own = read(next((tmp_path / "out").iterdir()))
    np.testing.assert_array_equal(again[0], mask)
    assert own.apart(grid) < 1e-3


def test_formats_that_cannot_hold_a_mask_are_refused_at_once(tmp_path):
    image = series(tmp_path / "image", stored())[0]
    one = series(tmp_path / "one", stored(1))[0]
    picture = tmp_path / "p.png"
    Image.fromarray(stored(1)[0].astype(np.uint8)).save(picture)
    for like, kind, why in ((image, "png", "PNG holds one slice"), (picture, "dicom-seg", "nothing to refer to")):
        with pytest.raises(ValueError, match=why) as error:
            refuse_unfit(like, kind)
        assert str(like) in str(error.value)
    refuse_unfit(one, "png")
    mask = (read(one)[0][0] > 2000).astype(np.uint8)
    out = write_like(tmp_path / "out" / "mask", mask, one, kind="png")
    np.testing.assert_array_equal(np.asarray(Image.open(out)), mask[..., 0].T)
    sheared = np.array([[1.0, 0.4, 0, 0], [0, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 4, 5), np.uint8), sheared), tmp_path / "s.nii")
    with pytest.raises(ValueError, match="not at right angles"):
        refuse_unfit(tmp_path / "s.nii", "nrrd")


def test_without_highdicom_it_is_told_before_the_work(tmp_path, monkeypatch):
    image = series(tmp_path / "image", stored())[0]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'halfmask\[dicom\]'"):
        refuse_unfit(image, None)
    refuse_unfit(image, "nifti")


def study(root, who, *descriptions, **told):
    for number, text in enumerate(descriptions, start=1):
        patient = {"PatientName": f"{who}^Zebulon", "PatientID": f"MRN-{who}", "study": who}
        about = {"series": f"{text} {number}", "number": number, "SeriesDescription": text, **patient, **told}
        series(root / f"{number}", stored(seed=number), **about)


def test_channels_are_series_of_a_study_by_their_descriptions(tmp_path):
    for n, who in enumerate(("Quixotl", "Wobblewik")):
        study(tmp_path / str(n), who, "t1 MPRAGE sag", "ax FLAIR fs", "ax T2")
    patterns = {"T1": "mprage|t1", "FLAIR": "flair"}
    index = read_index(tmp_path, channels=patterns)
    assert index.channels == ("T1", "FLAIR") and not index.faults and len({c.group for c in index.cases}) == 2
    assert [p.parent.name for c in index.cases for p in c.images] == ["1", "2"] * 2
    assert [c.name for c in read_images(tmp_path, channels=2, patterns=patterns)] == [c.name for c in index.cases]
    assert len(read_index(tmp_path).cases) == 6
    series(tmp_path / "p", stored(), series="p", SeriesDescription="axial", ProtocolName="brain T1")
    assert len(read_index(tmp_path / "p", channels={"T1": "t1"}).cases) == 1, "by its protocol"
    shutil.rmtree(tmp_path / "p")
    study(tmp_path / "2", "Snorri", "T1 for Snorri", "T1 again", "T2")
    faults = read_index(tmp_path, channels=patterns).faults
    assert ["2 series fit channel T1" in faults[0].what, "no series fits channel FLAIR" in faults[1].what] == [True] * 2
    assert "'T1 again'" in faults[0].what and "…" in faults[0].what and "snorri" not in str(faults).lower()


def test_labels_of_a_tree_are_one_numbering(tmp_path):
    def drawn(names):
        shutil.rmtree(tmp_path, ignore_errors=True)
        for n, told in enumerate(names):
            study(tmp_path / str(n), f"Who{'abcd'[n]}", "scan")
            image = tmp_path / str(n) / "1" / "IM0000.dcm"
            write_like(tmp_path / str(n) / "seg", np.ones(read(image)[1].shape, np.uint8), image, names=told)
        return read_index(tmp_path)

    index = drawn([{1: "liver", 2: "tumor"}, {1: "liver"}])
    assert index.labels == {"background": 0, "liver": 1, "tumor": 2} and all(c.labeled for c in index.cases)
    assert not index.faults
    other = drawn([{1: "liver", 2: "tumor"}, {1: "tumor", 2: "liver"}])
    assert "segment 'liver' has different numbers: 1 in case" in other.faults[0].what
    shutil.copy(tmp_path / "0" / "seg.dcm", tmp_path / "0" / "seg2.dcm")
    assert "2 segmentations refer to it" in read_index(tmp_path).faults[0].what
    shutil.rmtree(tmp_path / "0" / "1")
    assert "without the series" in read_index(tmp_path).faults[0].what


@pytest.mark.parametrize("where", ["Quixotl", "x/QUIXOTL_Z", "a/zebulon.d", "b1937-02-14", "14.02.1937"])
def test_paths_that_tell_a_patient_are_refused_and_not_repeated(tmp_path, where):
    series(tmp_path / "data" / where, stored())
    index = read_index(tmp_path / "data")
    (fault,) = index.faults
    assert fault.severity == "error" and "rename" in fault.remedy and not index.cases
    told = str(fault).lower()
    assert not any(part in told for part in ("quixotl", "zebulon", "1937", "4711"))
    with pytest.raises(ValueError, match="rename") as error:
        read_images(tmp_path / "data" / where / "IM0000.dcm", channels=1)
    assert where.lower() not in str(error.value).lower()


def test_folders_above_tell_a_patient_where_all_below_is_theirs(tmp_path):
    """Results tell whole paths, also those that links lead to; a physician's home among many patients may stay."""
    series(tmp_path / "Quixotl" / "dicom" / "1", stored())
    (fault,) = read_index(tmp_path / "Quixotl" / "dicom").faults
    assert "rename" in fault.remedy and "quixotl" not in str(fault).lower()
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "one").symlink_to(tmp_path / "Quixotl" / "dicom" / "1")
    assert "rename" in read_index(tmp_path / "links").faults[0].remedy
    with pytest.raises(ValueError, match="rename"):
        read_images(tmp_path / "Quixotl" / "dicom" / "1" / "IM0000.dcm", channels=1)
    series(tmp_path / "Quixotl" / "dicom" / "2", stored(), study=2, PatientName="Wobblewik^A", PatientID="2")
    assert not read_index(tmp_path / "Quixotl" / "dicom").faults


def test_short_names_count_as_whole_words(tmp_path):
    """Can, Ali and Tim are names, and scan, quality and time are words."""
    told = {"PatientName": "Can^Ali", "PatientBirthDate": "19800412"}
    uid = "1.2.840.113619.2.55.3.60468811919800412.971"  # holds the birth date by chance
    for where in ("scan/quality", uid, "canal"):
        series(tmp_path / "good" / where, stored(1), series=where, **told)
    assert len(read_index(tmp_path / "good").cases) == 3
    for n, where in enumerate(("can", "x-ALI-7", "CanAli", "alican", "pat12041980", "4711_1980.04.12")):
        series(tmp_path / f"{n}" / where, stored(1), **told)
        assert not read_index(tmp_path / f"{n}").cases, where
    told = {"PatientName": "Li^Wu", "PatientID": "007"}
    series(tmp_path / "b" / "li", stored(1), **told)
    assert len(read_index(tmp_path / "b").cases) == 1
    for n, where in enumerate(("Wu-li", "x/liwu", "LiWu2")):
        series(tmp_path / f"b{n}" / where, stored(1), **told)
        assert not read_index(tmp_path / f"b{n}").cases, where
    hide = Patient("007", "Li^Wu^Mei-Ling").hide
    assert hide("T1 Li, WU 007 lipid 0070") == "T1 …, … … lipid 0070" and hide("sag-meiling_li") == "sag-…_…"


def test_paths_of_many_patients_are_looked_at_quickly(tmp_path):
    """100,000 files of 500 patients took half an hour."""
    given = read_header(series(tmp_path, stored(1))[0])
    who = [Patient(f"{n:05d}", f"Quix{'abcdefghij'[n % 10] * (3 + n // 10)}", born="19370214") for n in range(300)]
    headers = [replace(given, patient=p, path=tmp_path / f"{n}/{k}") for n, p in enumerate(who) for k in range(20)]
    start = time.perf_counter()
    assert told_by_path(tmp_path, headers) is None
    assert time.perf_counter() - start < 2


def test_codes_in_place_of_names_may_stand_in_paths(tmp_path):
    """As in public data sets: the name is the number, or the file says that it was de-identified."""
    for n, told in enumerate(
        ({"PatientIdentityRemoved": "YES"}, {"PatientName": "LIDC-0001", "PatientID": "LIDC-0001"})
    ):
        series(tmp_path / f"{n}" / "LIDC-0001", stored(), study=n, **{"PatientName": "LIDC", **told})
    assert len(read_index(tmp_path).cases) == 2
    shutil.rmtree(tmp_path / "1")
    series(tmp_path / "2" / "MRN-4711-XY", stored(), study=2)
    series(tmp_path / "3", stored(), study=3, PatientName="", PatientID="")
    numbered, nobody, several = read_index(tmp_path).faults
    assert "1 PatientIDs come with several names" in several.what and several.what.count("patient-") == 2
    assert not any(told in str(several) for told in ("4711", "Quixotl", "LIDC"))
    assert numbered.severity == "warning" and "the PatientID of 1 patients" in numbered.what
    assert "4711" not in str(numbered) and "1 studies name no patient" in nobody.what


def hostile(folder):
    """Series of which one file is wrong, each by its name."""

    def wrong(name, **told):
        return series(folder / name, stored(), change=lambda n, data: [setattr(data, k, v) for k, v in told.items()])[0]

    def without(name, *keywords):
        return series(folder / name, stored(), change=lambda n, data: [delattr(data, k) for k in keywords])[0]

    yield wrong("zero", PixelSpacing=[0, 1]), "PixelSpacing is 0"
    yield wrong("flat", ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), "right angle"
    yield without("placeless", "ImagePositionPatient"), "has no ImagePositionPatient"
    yield without("empty", "PixelData"), "no pixel data"
    yield without("orphan", "SeriesInstanceUID"), "no SeriesInstanceUID"
    yield without("rowless", "Rows"), "object without pixels"
    yield wrong("color", SamplesPerPixel=3), "color image"
    yield wrong("less", PixelData=b"\0" * 8), "pixel data"
    short = series(folder / "short", stored())[0]
    short.write_bytes(short.read_bytes()[:-20])
    yield short, "pixel data"
    begun = series(folder / "begun", stored())[0]
    begun.write_bytes(begun.read_bytes()[:200])
    yield begun, "begun"
    text = folder / "text" / "text.dcm"
    text.parent.mkdir()
    text.write_text("no DICOM" * 99)
    yield text, "no DICOM file"
    yield folder / "missing.dcm", "there is no such file"


def test_what_is_wrong_with_a_file_is_told_with_its_name(tmp_path):
    for path, why in hostile(tmp_path):
        with pytest.raises(ValueError, match=why) as error:
            read(path)
        assert str(path) in str(error.value) and "\n" not in str(error.value)
        if path.exists():
            with only_errors_that_name(path.parent):
                read_images(path.parent, channels=1)


@settings(max_examples=60, deadline=None)
@example(place=272, value=b"\\")  # two transfer syntaxes
@given(place=st.integers(0, 1400), value=st.binary(min_size=1, max_size=8))
def test_whatever_bytes_a_file_has(tmp_path_factory, place, value):
    folder = tmp_path_factory.mktemp("bytes")
    path = series(folder / "a", stored(3))[1]
    data = bytearray(path.read_bytes())
    data[place : place + len(value)] = value
    path.write_bytes(data)
    with only_errors_that_name(path):
        read(path)
    with only_errors_that_name(folder):
        read_index(folder)


def test_folders_of_other_files_are_passed_quickly(tmp_path):
    for n in range(5000):
        (tmp_path / f"{n}").write_bytes(b"x" * 200)
    assert not is_data_set(tmp_path)
    with pytest.raises(ValueError, match="holds no data set"):
        read_index(tmp_path)


def test_no_header_gives_more_than_digests(tmp_path):
    series(tmp_path / "a", stored())
    case = read_index(tmp_path).cases[0]
    assert case.group.startswith("patient-") and len(case.group) == 16 and case.name.startswith(case.group + "-")
    shown = repr(case) + repr(grouped(headers_in(tmp_path / "a"))) + repr(headers_in(tmp_path / "a"))
    assert not any(told in shown.replace(str(tmp_path), "") for told in (*WHO.values(), "Quixotl", "Zebulon", "4711"))
    series(tmp_path / "b", stored(), study="another", PatientName="QUIXOTL^ZEBULON^^")
    groups = {c.group for c in read_index(tmp_path).cases}
    assert len(groups) == 1, "one patient, however the name is spelled"
    assert [Case(case.name, case.images, group=case.group)] == read_images(tmp_path / "a", channels=1)
