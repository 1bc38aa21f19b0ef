"""Pictures: PNG, JPEG, TIFF and BMP, by SimpleITK, and by Pillow where ITK takes one kind for another."""

from __future__ import annotations

import contextlib
import struct
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from PIL import ImageFile

from halfmask.data.formats import itk, raster
from halfmask.data.formats.reading import Note, Reading
from halfmask.data.volume import Grid

ALPHA = Note("has an alpha channel, which is left out", "store it without, or the channel as an image of its own")
EQUAL = Note("is a color picture of three equal channels, of which one is read", "store one channel of class numbers")
TURNED = Note(
    "has an orientation tag, which is not followed",
    "make sure that its mask is drawn on the rows and columns as they are stored, or store it upright without the tag",
)

_ITK_ERRS = ("1", "P", "PA", "LA", "CMYK", "YCbCr", "LAB")
"""Pillow's names of what ITK reads as colors, as RGBA, shifted or not at all: bilevel, palettes, gray with alpha, …
Of BMP it takes gray for color and the padding of 32 bits for a channel; of JPEG it fills up what is missing; of TIFF
it mirrors what has an orientation tag, or makes RGBA of it."""


def read(path: Path, *, label: bool) -> Reading:
    """Read (C, 1, height, width), or (C, width, height, pages) of a TIFF of several pages.

    Alpha is left out and an orientation tag not followed, with a note of each. A label's palette indices are its
    values, an image's palette gives colors.
    """
    with _told_if_truncated(path):
        pixels, notes = _pixels(path, label)
    if ALPHA in notes:
        pixels = pixels[..., :-1]
    if label and pixels.shape[-1] == 3 and (pixels == pixels[..., :1]).all():
        pixels = pixels[..., :1]
        notes.append(EQUAL)
    return Reading(itk.turned(pixels), _grid(pixels.shape[:-1]), tuple(notes))


def write_like(path: Path, array: np.ndarray, like: Path) -> Path:
    """Write (*spatial) as PNG, or as TIFF what PNG cannot hold: float, many pages, numbers below 0 or above 65535."""
    with _told_if_truncated(like):
        flat = len(_size(like)) == 2
    source = None
    with contextlib.suppress(RuntimeError):  # a kind that ITK cannot read: the size of its print is lost
        source = itk.header(like)
    return _write(path, array, flat=flat, source=source)


def write_flat(path: Path, array: np.ndarray) -> Path:
    """Write (height, width) as PNG, or as TIFF what PNG cannot hold."""
    return _write(path, array[None], flat=True, source=None)


def _write(path: Path, array: np.ndarray, *, flat: bool, source: sitk.ImageFileReader | None) -> Path:
    ending = ".png" if flat else ".tiff"
    if np.issubdtype(array.dtype, np.floating):
        ending = ".tiff"
    elif array.dtype != np.uint8:
        dtype = _whole(array)
        array, ending = array.astype(dtype), ending if dtype == np.uint16 else ".tiff"
    return itk.write(path.with_name(path.name + ending), array, flat=flat, source=source)


def _whole(array: np.ndarray) -> type[np.integer]:
    """The dtype of pictures, beside uint8, that holds these whole numbers: PNG has uint16, TIFF int32."""
    low, high = int(array.min()), int(array.max())
    for dtype in (np.uint16, np.int32):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return dtype
    raise ValueError(f"no picture holds numbers from {low} to {high}; 32 bits with a sign are the most")


@contextlib.contextmanager
def _told_if_truncated(path: Path) -> Iterator[None]:
    """Pillow warns of a header that ends too early and may then fail by something else: make one error of it."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            yield
        except (OSError, ValueError, RuntimeError, TypeError, SyntaxError, LookupError, struct.error) as e:
            if _truncated(told):
                raise EOFError from e
            if isinstance(e, (OSError, ValueError, RuntimeError)):
                raise
            raise ValueError(f"its header is broken ({e})") from e
        if _truncated(told) and path.suffix.lower() in (".tif", ".tiff"):  # of JPEG it is the camera's notes alone
            raise EOFError


def _truncated(told: list[warnings.WarningMessage]) -> bool:
    return any(str(w.message).startswith(("Truncated File Read", "Corrupt EXIF data")) for w in told)


def _pixels(path: Path, label: bool) -> tuple[np.ndarray, list[Note]]:
    """(*pages, height, width, C), alpha last if there is a note of it."""
    notes: list[Note] = []
    with raster.opened(path) as image:
        if image is None:
            return itk.components_last(sitk.ReadImage(str(path))), notes
        pages = raster.pages_of(image)
        alpha = image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
        if any(page.orientation != 1 for page in pages):
            notes.append(TURNED)
        if _is_for_pillow(image, pages):
            pixels = raster.read(image, pages, indices=label)
        else:
            pixels = itk.components_last(sitk.ReadImage(str(path)))
    if alpha and pixels.shape[-1] in (2, 4):
        notes.append(ALPHA)
    return pixels, notes


def _is_for_pillow(image: ImageFile.ImageFile, pages: Sequence[raster.Page]) -> bool:
    if "LA;16" in str(image.tile[:1]):  # Pillow would cut it to 8 bits, ITK does not know it
        raise ValueError("it is 16-bit gray with alpha, which cannot be read; store it without alpha")
    if image.format == "TIFF" and any(page.orientation != 1 for page in pages):
        if raster.is_cut(image):
            raise ValueError("it has an orientation tag and more bits or channels than can be read so; store it "
                             "upright without the tag")  # fmt: skip
        return True
    cleared = image.mode in ("L", "I;16") and "transparency" in image.info  # ITK fails on gray with a transparent value
    colors = image.format == "TIFF" and image.mode == "RGB" and not raster.is_cut(image)
    return cleared or colors or image.mode in _ITK_ERRS or image.format in ("BMP", "JPEG", "MPO")


def _size(path: Path) -> tuple[int, ...]:
    """(height, width) or (pages, height, width)."""
    with raster.opened(path) as image:
        if image is None:
            return tuple(reversed(itk.header(path).GetSize()))
        pages = raster.pages_of(image)
        return pages[0].size if len(pages) == 1 else (len(pages), *pages[0].size)


def _grid(shape: tuple[int, ...]) -> Grid:
    """What a picture says of its size is that of its print (72 dots per inch), so its pixels count as 1 mm."""
    if len(shape) == 2:
        return Grid((1, *shape), np.eye(4), scan=False)
    pages, height, width = shape
    return Grid((width, height, pages), np.diag([-1.0, -1.0, 1.0, 1.0]))
