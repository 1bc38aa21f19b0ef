"""Made-up DICOM files for the tests: series of any geometry, enhanced objects, segmentations, reports."""

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT, MR, ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"
CAPTURE, REPORT, DIRECTORY = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.88.11", "1.2.840.10008.1.3.10"

WHO = {"PatientName": "Quixotl^Zebulon", "PatientID": "MRN-4711-XY", "PatientBirthDate": "19370214"}
"""A name, a number and a date that appear nowhere by chance."""


def uid(*told):
    return generate_uid(entropy_srcs=list(map(str, told)))


def turn(degrees=(0, 0, 0)):
    """A rotation about x, then y, then z."""
    a, b, c = np.radians(degrees)
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return z @ y @ x


def header(kind=CT, *, study="study", series="series", number=1, **more):
    """What all objects have; more by keyword."""
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = kind, uid(study, series, str(more), kind)
    data.StudyInstanceUID, data.SeriesInstanceUID = uid(study), uid(study, series)
    data.FrameOfReferenceUID, data.SeriesNumber = uid(study, "frame"), number
    data.Modality = {CT: "CT", MR: "MR", ENHANCED_MR: "MR", CAPTURE: "OT", REPORT: "SR"}.get(kind, "OT")
    data.StudyDate, data.StudyTime, data.AccessionNumber, data.StudyID = "20200301", "1200", "A1", "1"
    data.ReferringPhysicianName, data.Manufacturer, data.PatientSex = "", "Maker", "O"
    data.PositionReferenceIndicator = ""
    for keyword, value in {**WHO, **more}.items():
        setattr(data, keyword, value)
    return data


def save(data, path, syntax=ExplicitVRLittleEndian):
    path.parent.mkdir(parents=True, exist_ok=True)
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    pydicom.dcmwrite(path, data, enforce_file_format=True)
    return path


def pixels(data, stored):
    """Stored numbers (rows, columns) or (frames, rows, columns)."""
    data.Rows, data.Columns = stored.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, data.get("PhotometricInterpretation", "MONOCHROME2")
    data.BitsAllocated = data.BitsStored = 8 * stored.dtype.itemsize
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(stored.dtype.kind == "i")
    data.PixelData = stored.tobytes()
    return data


def series(
    folder, stored, *, turned=(0, 0, 0), spacing=(2.0, 0.7, 0.9), origin=(-30.0, 12.0, 50.0), lean=(0.0, 0.0),
    scale=(1, 0), suffix=".dcm", kind=CT, order=None, change=None, name="IM", **told,
):  # fmt: skip
    """Write a series: one file a slice of (slices, rows, columns); returns the files in the order of the slices.

    Args:
        spacing: mm across, between rows and between columns.
        lean: mm that each slice is shifted along the rows and down the columns.
        scale: slope and intercept, or a function of the slice's number.
        order: the number in each slice's file name; the slices' own unless given.
        change: what to do to each slice's header, given its number.
    """
    axes = turn(turned)
    files = []
    for n, one in enumerate(stored):
        data = header(kind, **told)
        data.SOPInstanceUID, data.InstanceNumber = uid(folder, str(told), name, n), n + 1
        place = np.array(origin) + axes @ (n * lean[0], n * lean[1], n * spacing[0])
        data.ImagePositionPatient = [f"{v:.6f}" for v in place]
        data.ImageOrientationPatient = [f"{v:.9f}" for v in (*axes[:, 0], *axes[:, 1])]
        data.PixelSpacing, data.SliceThickness = list(spacing[1:]), spacing[0]
        slope, intercept = scale(n) if callable(scale) else scale
        data.RescaleSlope, data.RescaleIntercept, data.RescaleType = f"{slope:.6g}", f"{intercept:.6g}", "US"
        pixels(data, one)
        if change is not None:
            change(n, data)
        files.append(save(data, folder / f"{name}{(order or range(len(stored)))[n]:04d}{suffix}"))
    return files


def enhanced(
    path, stored, *, turned=(0, 0, 0), spacing=(2.0, 0.7, 0.9), origin=(-30.0, 12.0, 50.0), scale=None, **told
):
    """One enhanced MR object of (frames, rows, columns), with places and scales in functional groups."""
    axes = turn(turned)
    data = header(ENHANCED_MR, **told)
    data.InstanceNumber, data.NumberOfFrames, data.ImageType = 1, len(stored), ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    shared, measures, plane = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = list(spacing[1:]), spacing[0]
    plane.ImageOrientationPatient = [f"{v:.9f}" for v in (*axes[:, 0], *axes[:, 1])]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    data.SharedFunctionalGroupsSequence, frames = [shared], []
    for n in range(len(stored)):
        frame, position, values, content = Dataset(), Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [f"{v:.6f}" for v in np.array(origin) + axes[:, 2] * n * spacing[0]]
        slope, intercept = scale(n) if scale else (1, 0)
        values.RescaleSlope, values.RescaleIntercept, values.RescaleType = f"{slope:.6g}", f"{intercept:.6g}", "US"
        content.DimensionIndexValues = [n + 1]
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = [position], [values]
        frame.FrameContentSequence = [content]
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = frames
    return save(pixels(data, stored), path)
