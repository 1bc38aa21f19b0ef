"""The header of one DICOM file: whose it is, of which series, of what kind and where it lies."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset

from halfmask.data.formats.dicom.patient import Patient

_DIRECTORY = "1.2.840.10008.1.3.10"
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_SEGMENTATION = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
_FLAT = ("CR", "DX", "MG", "US", "IVUS", "XA", "RF", "ES", "GM", "SM", "OP", "XC", "PX", "IO", "OT", "ECG")
"""Modalities whose images lie nowhere in the patient's space."""

VOLUMES = (
    "EchoTime", "EchoNumbers", "TemporalPositionIdentifier", "ImageType", "DiffusionBValue",
    "DiffusionGradientOrientation", "TriggerTime", "AcquisitionNumber", "AcquisitionTime", "InversionTime",
)  # fmt: skip
"""What may differ between volumes of one series that lie at the same place: echoes, time points, phases, weightings."""

TAGS = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription",
    "ProtocolName", "Modality", "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate",
    "PatientIdentityRemoved", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation",
    "BitsStored", "PixelRepresentation", "RescaleSlope", "RescaleIntercept", "ImagePositionPatient",
    "ImageOrientationPatient", "PixelSpacing", "SpacingBetweenSlices", "SliceThickness", "SpecificCharacterSet",
    *VOLUMES,
)  # fmt: skip


@dataclass(frozen=True)
class Header:
    """What is to be known of a file before its pixels are read.

    Attributes:
        uid: of the object itself; series, study: that it belongs to.
        kind: "image", "segmentation", or in words what else it is.
        number: of the series within its study; 0 if it has none.
        orientation: 6 cosines along the rows and down the columns; position: of the first pixel's center in mm, to the
            left, posterior and superior; spacing: mm between rows and between columns. None where the header has none,
            as that of a multi-frame object, which tells it of each frame.
        frames: 0 where their number is not told, as of files that hold one slice.
        across: mm from slice to slice, or if that is not told, a slice's thickness.
        bits, signed: of the stored numbers, which ``slope`` and ``intercept`` scale.
        volume: values of `VOLUMES`.
    """

    path: Path
    uid: str
    series: str
    study: str
    kind: str
    number: int
    description: str = field(repr=False)
    protocol: str = field(repr=False)
    patient: Patient = field(repr=False)
    rows: int
    columns: int
    frames: int
    inverted: bool
    bits: int
    signed: bool
    slope: float
    intercept: float
    orientation: tuple[float, ...] | None
    position: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    across: float | None
    volume: tuple[str, ...]

    @property
    def multi(self) -> bool:
        """Whether its frames are a volume by themselves; else the file is one slice of a series."""
        return self.frames > 1 or (self.frames == 1 and self.orientation is None)


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do: 128 bytes of anything and DICM."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return False
        with open(path, "rb", buffering=0) as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def read_header(path: Path) -> Header | None:
    """The header of a DICOM file; None of a directory of files (DICOMDIR) and of what is no DICOM file.

    Raises:
        ValueError: it ends too early, or holds what it must not; the text does not name the file.
    """
    if not is_dicom(path):
        return None
    with told_plainly("its header"):
        data = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(TAGS))
        if str(data.get("SOPClassUID", data.file_meta.get("MediaStorageSOPClassUID", ""))) == _DIRECTORY:
            return None
        return _header(path, data)


class told_plainly:
    """Turns whatever pydicom raises into a ValueError, and its warnings into nothing, for both may repeat values.

    A ValueError of ours goes through.
    """

    def __init__(self, what: str):
        self.what = what
        self.stack = ExitStack()

    def __enter__(self) -> None:
        self.stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", category=UserWarning)
        self.stack.enter_context(pydicom.config.disable_value_validation())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self.stack.close()
        if error is None or not isinstance(error, Exception) or isinstance(error, Told):
            return
        if isinstance(error, EOFError) or "end of file" in str(error).lower():
            raise Told(f"{self.what} ends too early (a copy that broke off?)") from None
        raise Told(f"{self.what} cannot be read ({type(error).__name__})") from None


class Told(ValueError):
    """An error in our own words, which repeat nothing that the file says of a patient."""


def numbers(value: Any, count: int, what: str) -> tuple[float, ...] | None:
    """So many finite numbers; None if there is no value."""
    if value is None or value == "":
        return None
    found = tuple(float(v) for v in (value if isinstance(value, Iterable) and not isinstance(value, str) else [value]))
    if len(found) != count or not all(map(math.isfinite, found)):
        raise Told(f"its {what} is {len(found)} numbers, {count} finite ones are expected")
    return found


def spacing_of(value: Any) -> tuple[float, ...] | None:
    """mm between rows and between columns."""
    found = numbers(value, 2, "PixelSpacing")
    if found is not None and min(found) <= 0:
        raise Told(f"its PixelSpacing is {found[0]:g}\\{found[1]:g} mm; numbers above 0 are expected")
    return found


def orientation_of(value: Any) -> tuple[float, ...] | None:
    """Two directions of length 1 at a right angle."""
    found = numbers(value, 6, "ImageOrientationPatient")
    if found is not None:
        row, column = found[:3], found[3:]
        dot = lambda a, b: sum(x * y for x, y in zip(a, b, strict=True))
        if max(abs(dot(row, row) - 1), abs(dot(column, column) - 1), abs(dot(row, column))) > 1e-2:
            raise Told("its ImageOrientationPatient is not two directions of length 1 at a right angle")
    return found


def across_of(data: Dataset) -> float | None:
    """mm from slice to slice if it is told, or a slice's thickness."""
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        found = numbers(data.get(keyword), 1, keyword)
        if found is not None and found[0] != 0:
            return abs(found[0])  # of nuclear medicine it has a sign
    return None


def _header(path: Path, data: Dataset) -> Header:
    text = lambda keyword: str(data.get(keyword) or "").strip()
    whole = lambda keyword, default=0: int(data.get(keyword) or default)
    uid, series, study = (text(k) for k in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"))
    if not series:
        raise Told("it has no SeriesInstanceUID, so it belongs to no series")
    patient = Patient(text("PatientID"), text("PatientName"), text("IssuerOfPatientID"), text("PatientBirthDate"),
                      text("PatientIdentityRemoved").upper() == "YES")  # fmt: skip
    slope, intercept = (numbers(data.get(k), 1, k) for k in ("RescaleSlope", "RescaleIntercept"))
    kind = _kind(data)
    placed = kind == "image"
    return Header(
        path, uid, series, study, kind, whole("SeriesNumber"), text("SeriesDescription"), text("ProtocolName"), patient,
        rows=whole("Rows"), columns=whole("Columns"), frames=whole("NumberOfFrames"),
        inverted=text("PhotometricInterpretation") == "MONOCHROME1",
        bits=whole("BitsStored"), signed=whole("PixelRepresentation") == 1,
        slope=slope[0] if slope else 1.0, intercept=intercept[0] if intercept else 0.0,
        orientation=orientation_of(data.get("ImageOrientationPatient")) if placed else None,
        position=numbers(data.get("ImagePositionPatient"), 3, "ImagePositionPatient") if placed else None,
        spacing=spacing_of(data.get("PixelSpacing")) if placed else None,
        across=across_of(data) if placed else None,
        volume=tuple(text(keyword) for keyword in VOLUMES),
    )  # fmt: skip


def _kind(data: Dataset) -> str:
    """Of one file; what only its series tells (three planes of a scout) is not known here."""
    uid, modality = str(data.get("SOPClassUID", "")), str(data.get("Modality", ""))
    if uid in _SEGMENTATION:
        return "segmentation"
    if not data.get("Rows") or not data.get("Columns"):
        return {"SR": "report", "PR": "presentation state", "KO": "selection of images"}.get(
            modality, "object without pixels"
        )
    if uid.startswith(_SECONDARY_CAPTURE):
        return "secondary capture"
    if int(data.get("SamplesPerPixel") or 1) > 1 or not str(
        data.get("PhotometricInterpretation") or "MONOCHROME2"
    ).startswith("MONOCHROME"):
        return "color image"
    if "LOCALIZER" in str(data.get("ImageType") or "").upper():
        return "localizer"
    if modality in _FLAT:
        return f"{modality} image"
    return "dose map" if modality == "RTDOSE" else "image"
