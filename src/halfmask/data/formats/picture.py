"""Pictures: PNG, JPEG, TIFF and BMP, by SimpleITK, and by Pillow where ITK takes one kind for another."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from PIL import Image, ImageFile, ImageSequence

from halfmask.data.formats import itk
from halfmask.data.formats.reading import Note, Reading
from halfmask.data.volume import Grid

Image.MAX_IMAGE_PIXELS = None  # slides are larger than what Pillow takes for an attack

ALPHA = Note("has an alpha channel, which is left out", "store it without, or the channel as an image of its own")
EQUAL = Note("is a color picture of three equal channels, of which one is read", "store one channel of class numbers")

_ITK_ERRS = ("1", "P", "PA", "LA", "CMYK")
"""Pillow's names of what ITK reads as colors, as RGBA, shifted or not at all: bilevel, palettes, gray with alpha.
Of BMP it takes gray for color and the padding of 32 bits for a channel."""


def read(path: Path, *, label: bool) -> Reading:
    """Read (C, 1, height, width), or (C, width, height, pages) of a TIFF of several pages.

    Alpha is left out, with a note. A label's palette indices are its values, an image's palette gives colors.
    """
    pixels, alpha = _pixels(path, label)
    notes = []
    if alpha:
        pixels = pixels[..., :-1]
        notes.append(ALPHA)
    if label and pixels.shape[-1] == 3 and (pixels == pixels[..., :1]).all():
        pixels = pixels[..., :1]
        notes.append(EQUAL)
    return Reading(itk.turned(pixels), _grid(pixels.shape[:-1]), tuple(notes))


def write_like(path: Path, array: np.ndarray, like: Path) -> Path:
    """Write (*spatial) as PNG, or as TIFF what PNG cannot hold: float and many pages."""
    flat = len(_size(like)) == 2
    if np.issubdtype(array.dtype, np.integer) and array.dtype != np.uint8:
        array = array.astype(np.uint16)  # the only other one that PNG has
    ending = ".png" if flat and np.issubdtype(array.dtype, np.integer) else ".tiff"
    source = None
    with contextlib.suppress(RuntimeError):  # a kind that ITK cannot read: the size of its print is lost
        source = itk.header(like)
    return itk.write(path.with_name(path.name + ending), array, flat=flat, source=source)


def _pixels(path: Path, label: bool) -> tuple[np.ndarray, bool]:
    """(*pages, height, width, C) and whether the last channel is alpha."""
    with _opened(path) as image:
        alpha = image is not None and (image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info)
        if image is not None and _is_for_pillow(image):
            frames = [_frame(frame, label) for frame in ImageSequence.Iterator(image)]
            pixels = frames[0] if len(frames) == 1 else np.stack(frames)
        else:
            pixels = itk.components_last(sitk.ReadImage(str(path)))
    return pixels, alpha and pixels.shape[-1] in (2, 4)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[ImageFile.ImageFile | None]:
    """The picture in Pillow, its header only; None if Pillow does not know it."""
    try:
        image = Image.open(path, formats=("PNG", "JPEG", "TIFF", "BMP"))
    except (OSError, ValueError, SyntaxError):  # ITK knows more kinds, or tells what is wrong
        yield None
        return
    with image:
        yield image


def _is_for_pillow(image: ImageFile.ImageFile) -> bool:
    if "LA;16" in str(image.tile[:1]):  # Pillow would cut it to 8 bits, ITK does not know it
        raise ValueError("it is 16-bit gray with alpha, which cannot be read; store it without alpha")
    cleared = image.mode in ("L", "I;16") and "transparency" in image.info  # ITK fails on gray with a transparent value
    return cleared or image.mode in _ITK_ERRS or image.format == "BMP"


def _frame(image: Image.Image, label: bool) -> np.ndarray:
    """(height, width, C) of one page."""
    if image.mode in ("P", "PA"):
        clear = image.mode == "PA" or "transparency" in image.info
        image = image.getchannel(0) if label else image.convert("RGBA" if clear else "RGB")
    elif image.mode == "CMYK":
        image = image.convert("RGB")
    pixels = np.asarray(image)
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * 255  # as other programs read bilevel pictures
    return pixels.reshape(*pixels.shape[:2], -1)


def _size(path: Path) -> tuple[int, ...]:
    """(height, width) or (pages, height, width)."""
    with _opened(path) as image:
        if image is not None and _is_for_pillow(image):
            pages = getattr(image, "n_frames", 1)
            return (image.height, image.width) if pages == 1 else (pages, image.height, image.width)
    return tuple(reversed(itk.header(path).GetSize()))


def _grid(shape: tuple[int, ...]) -> Grid:
    """What a picture says of its size is that of its print (72 dots per inch), so its pixels count as 1 mm."""
    if len(shape) == 2:
        return Grid((1, *shape), np.eye(4), scan=False)
    pages, height, width = shape
    return Grid((width, height, pages), np.diag([-1.0, -1.0, 1.0, 1.0]))
