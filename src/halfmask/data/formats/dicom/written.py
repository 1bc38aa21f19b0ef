"""Masks as segmentation objects (SEG), by highdicom."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pack_bits

from halfmask.data.atomic import atomic
from halfmask.data.formats.dicom.header import Told, read_header, told_plainly
from halfmask.data.formats.dicom.image import Source, source_of, whole
from halfmask.data.formats.dicom.segmentation import MAKER, VALUE

OWN = (
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
    "StudyID", "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
"""Of patient and study, copied as they are, past highdicom: it tells of those that it finds strange."""
EMPTY = (*OWN, "Manufacturer", "PositionReferenceIndicator")
"""What DICOM wants to be there, were it empty; files from elsewhere may lack it."""


def refuse_unfit(like: Path) -> None:
    """Raise ValueError, in words that do not name the file, if no segmentation of it can be written.

    What cannot be read at all passes: reading it will tell.
    """
    if importlib.util.find_spec("highdicom") is None:
        raise Told("DICOM segmentations are written by highdicom, which is not installed: pip install "
                   "'halfmask[dicom]', or choose another format, as by --format nifti")  # fmt: skip
    try:
        header = read_header(like)
        if header is None or header.kind == "segmentation":
            raise ValueError
        source = source_of(like)
    except ValueError:
        return
    data = whole(source.series.first.path, pixels=False)
    if source.frames is not None and not source.frames.own:
        raise Told("its frames are not told one by one, so no segmentation can refer to them; choose --format nifti")
    if not data.get("FrameOfReferenceUID") or not data.get("StudyInstanceUID") or not data.get("SOPInstanceUID"):
        raise Told("it has no FrameOfReferenceUID, StudyInstanceUID or SOPInstanceUID, which a segmentation refers to; "
                   "choose --format nifti")  # fmt: skip


def write(path: Path, array: np.ndarray, like: Path, names: Mapping[int, str] | None) -> Path:
    """Write class numbers (x, y, z) as a binary segmentation of the series of ``like``, of the same patient and study.

    Every class of ``names`` is a segment, be it empty; without names, those that there are. Of the first segment all
    frames are there, so that the file tells the whole grid and an empty mask can be told; of the others those that
    show something.
    """
    path = path.with_name(path.name + ".dcm")
    refuse_unfit(like)
    source = source_of(like)
    values = _values(array, names)
    objects = _objects(source)
    frames = _in_frames(array, source)
    masks = np.zeros(frames.shape, np.uint8 if len(values) < 256 else np.uint16)
    for number, value in enumerate(values, start=1):
        masks[frames == value] = number
    segmentation = _segmentation(objects, masks, values, source)
    _without_empty(segmentation)
    with atomic(path) as partial:
        pydicom.dcmwrite(partial, segmentation, enforce_file_format=True)
    return path


def _values(array: np.ndarray, names: Mapping[int, str] | None) -> dict[int, str]:
    """Class number to label, without the background 0."""
    there = [int(v) for v in np.unique(array) if v]
    known = dict(names or {}) or {v: f"class {v}" for v in there or [1]}
    values = {v: known.get(v) or f"class {v}" for v in sorted({*known, *there} - {0})} or {1: "class 1"}
    if min(values) < 0 or max(values) > 65535:
        raise Told(f"a DICOM segmentation holds classes from 1 to 65535, not {min(values)} to {max(values)}")
    return values


def _objects(source: Source) -> list[Dataset]:
    """The source's headers in the order of its slices; nothing of patient and study but what is empty."""
    headers = source.series.headers
    paths = [headers[places[0]].path for places in source.stack.order] if source.frames is None else [headers[0].path]
    found = [whole(path, pixels=False) for path in paths]
    for data in found:
        for keyword in EMPTY:
            if keyword in OWN or keyword not in data:
                setattr(data, keyword, "")
        data.SpecificCharacterSet = "ISO_IR 192"
    return found


def _in_frames(array: np.ndarray, source: Source) -> np.ndarray:
    """(frames, rows, columns) in the order of the source's objects."""
    slices = np.transpose(array)
    if source.frames is None:
        return slices
    return slices[np.argsort([places[0] for places in source.stack.order])]


def _segmentation(objects: list[Dataset], masks: np.ndarray, values: Mapping[int, str], source: Source) -> Any:
    import highdicom
    from highdicom.sr.coding import CodedConcept
    from pydicom.sr.codedict import codes

    import halfmask

    version = getattr(halfmask, "__version__", "0")
    algorithm = highdicom.AlgorithmIdentificationSequence("halfmask", codes.DCM.ArtificialIntelligence, version)
    segments = []
    for number, (value, name) in enumerate(values.items(), start=1):
        label = name.replace("\\", "/")[:64].strip() or f"class {value}"
        segment = highdicom.seg.SegmentDescription(
            number, label, codes.SCT.SpatialAndRelationalConcept, CodedConcept(f"{value}", "99HALFMASK", label),
            "AUTOMATIC", algorithm,
        )  # fmt: skip
        if number != value:
            segment.SegmentDescription = f"{VALUE}{value}"
        segments.append(segment)
    with warnings.catch_warnings(), quiet("highdicom"):
        warnings.filterwarnings("ignore", category=UserWarning, module="(pydicom|highdicom)")
        made = _made_by(highdicom.seg.Segmentation)(
            objects, masks, "BINARY", segments, highdicom.UID(), 1000 + max(source.series.first.number, 0),
            highdicom.UID(), 1, MAKER, MAKER, version, "0",
            omit_empty_frames=False, content_label="SEGMENTATION", content_description="Masks by halfmask",
        )  # fmt: skip
    with told_plainly("the patient in its header"):
        own = whole(source.series.first.path, pixels=False)
        for keyword in OWN:
            if keyword in made or keyword in own:
                if keyword in made:  # an element once made would go on to check its values
                    delattr(made, keyword)
                setattr(made, keyword, str(own.get(keyword) or ""))
    made.SpecificCharacterSet = "ISO_IR 192"
    return made


def _made_by(make: Callable[..., Any]) -> Callable[..., Any]:
    """With whatever it raises told plainly, for its errors repeat values."""

    def made(*told: Any, **more: Any) -> Any:
        try:
            return make(*told, **more)
        except Exception as e:  # of what a header lacks or holds
            raise Told(f"no DICOM segmentation can be made of it ({type(e).__name__}); choose --format nifti") from None

    return made


class quiet:
    """Within, a logger says nothing: highdicom's repeats names that it finds strange."""

    def __init__(self, name: str):
        self.logger = logging.getLogger(name)

    def __enter__(self) -> None:
        self.level = self.logger.level
        self.logger.setLevel(logging.CRITICAL)

    def __exit__(self, *error: object) -> None:
        self.logger.setLevel(self.level)


def _without_empty(made: Any) -> None:
    """Leave out the empty frames of all segments but the first."""
    count, size = int(made.NumberOfFrames), int(made.Rows) * int(made.Columns)
    bits = np.unpackbits(np.frombuffer(made.PixelData, np.uint8), bitorder="little")[: count * size].reshape(
        count, size
    )
    frames = list(made.PerFrameFunctionalGroupsSequence)
    if len(made.SegmentSequence) == 1:
        return
    numbers = [int(f.SegmentIdentificationSequence[0].ReferencedSegmentNumber) for f in frames]
    kept = [n for n in range(count) if numbers[n] == 1 or bits[n].any()]
    if len(kept) < count:
        made.PixelData = pack_bits(bits[kept].reshape(-1), pad=True)
        made.NumberOfFrames = len(kept)
        made.PerFrameFunctionalGroupsSequence = pydicom.Sequence(frames[n] for n in kept)
