"""The numbers of DICOM files: decoded by pydicom, or by GDCM in SimpleITK what it cannot, and rescaled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.pixels import get_decoder

from halfmask.data.formats.dicom.header import Told, told_plainly


def decoded(path: Path, data: Dataset, *, varying: bool = False) -> tuple[np.ndarray, bool]:
    """(frames, rows, columns) of stored numbers, and whether they are rescaled already.

    Args:
        varying: each frame has a scale of its own.
    """
    if not any(keyword in data for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise Told("it has no pixel data")
    if data.get("ModalityLUTSequence"):
        raise Told("its numbers are told by a table (Modality LUT), which is not supported; store them rescaled")
    syntax = data.file_meta.get("TransferSyntaxUID")
    if not isinstance(syntax, pydicom.uid.UID):  # none, or several
        raise Told("it does not tell how its pixels are encoded (TransferSyntaxUID)")
    if not syntax.is_encapsulated or _is_available(syntax):
        with told_plainly("its pixel data"):
            array = np.asarray(data.pixel_array)
        scaled = False
    elif varying:
        raise Told(f"its pixels are encoded as {syntax.name}, which cannot be read where each frame has a scale of its "
                   "own; store it uncompressed")  # fmt: skip
    else:
        try:
            array, scaled = sitk.GetArrayFromImage(sitk.ReadImage(str(path), imageIO="GDCMImageIO")), True
        except RuntimeError:
            raise Told(f"its pixels cannot be decoded from {syntax.name}; store it uncompressed, or the file is "
                       "broken") from None  # fmt: skip
    shape = (int(data.get("NumberOfFrames") or 1), int(data.Rows), int(data.Columns))
    if array.size != np.prod(shape):
        raise Told(f"its pixels have shape {array.shape}, {shape} is expected")
    return array.reshape(shape), scaled


def _is_available(syntax: pydicom.uid.UID) -> bool:
    try:
        return get_decoder(syntax).is_available
    except NotImplementedError:
        return False


class Scaled:
    """Fills (slices, rows, columns) with rescaled slices: whole numbers where all scales are whole, else float32.

    Args:
        bits, signed: of the stored numbers.
        scales: slope and intercept of each slice.
    """

    def __init__(self, shape: tuple[int, int, int], bits: int, signed: bool, scales: Sequence[tuple[float, float]]):
        self.array = np.zeros(shape, _dtype(bits, signed, scales))

    def put(self, place: int, stored: np.ndarray, scale: tuple[float, float], *, scaled: bool) -> None:
        slope, intercept = (1.0, 0.0) if scaled else scale
        if stored.dtype.kind == "f" and self.array.dtype.kind != "f":
            if scaled and (stored == np.rint(stored)).all():
                stored = stored.astype(np.int64)
            else:  # numbers with a point, which the header does not tell of
                self.array = self.array.astype(np.float32)
        if self.array.dtype.kind == "f":
            self.array[place] = stored.astype(np.float64) * slope + intercept
            return
        values = stored.astype(np.int64) * int(slope) + int(intercept)
        limits = np.iinfo(self.array.dtype)
        if values.min() < limits.min or values.max() > limits.max:
            raise Told(f"it holds numbers from {values.min()} to {values.max()}, more than its BitsStored allows")
        self.array[place] = values

    def whole(self) -> np.ndarray:
        """(C=1, x, y, z), in 16 bits where whole numbers fit."""
        array, int16 = self.array, np.iinfo(np.int16)
        if array.dtype in (np.uint16, np.int32) and int16.min <= array.min() and array.max() <= int16.max:
            array = array.astype(np.int16)
        return np.transpose(array)[None]


def _dtype(bits: int, signed: bool, scales: Sequence[tuple[float, float]]) -> type[np.number]:
    if any(not (s.is_integer() and i.is_integer()) for s, i in scales):
        return np.float32
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed and bits else (0, (1 << bits) - 1)
    ends = [int(s) * end + int(i) for s, i in set(scales) for end in (low, high)]
    for dtype in (np.uint8, np.int16, np.uint16, np.int32):
        if np.iinfo(dtype).min <= min(ends) and max(ends) <= np.iinfo(dtype).max:
            return dtype
    return np.float32
