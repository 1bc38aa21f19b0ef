"""Pictures as Pillow reads them, page by page, in the rows and columns that the file stores and not turned."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageFile

Image.MAX_IMAGE_PIXELS = None  # slides are larger than what Pillow takes for an attack

_ORIENTATION, _WIDTH, _HEIGHT, _BITS, _SAMPLES, _SUBFILE = 274, 256, 257, 258, 277, 254
"""Tags of TIFF; https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf"""

_BACK = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""What undoes the turn that Pillow gives a TIFF, by its orientation."""


@dataclass(frozen=True)
class Page:
    """One page: its place in the file, (height, width) as stored, Pillow's mode, and its orientation (1 is upright)."""

    number: int
    size: tuple[int, int]
    mode: str
    orientation: int


@contextlib.contextmanager
def opened(path: Path) -> Iterator[ImageFile.ImageFile | None]:
    """The picture in Pillow, its header only; None if Pillow does not know it."""
    with contextlib.ExitStack() as stack:
        try:  # an open file, for of a path Pillow maps raw pixels, and then turns them wrongly
            file = stack.enter_context(path.open("rb"))
            image = stack.enter_context(Image.open(file, formats=("PNG", "JPEG", "TIFF", "BMP")))
        except (OSError, ValueError, SyntaxError):  # ITK knows more kinds, or tells what is wrong
            image = None
        yield image


def pages_of(image: ImageFile.ImageFile) -> list[Page]:
    """The pages of a TIFF, without those that call themselves smaller copies of others; else the one picture.

    Raises:
        ValueError: the pages differ in size or kind.
    """
    if image.format != "TIFF":
        return [Page(0, (image.height, image.width), image.mode, _exif_orientation(image))]
    pages: list[Page] = []
    copies: list[Page] = []
    for number in itertools.count():
        try:
            image.seek(number)
        except EOFError:
            break
        tags = image.tag_v2  # type: ignore[attr-defined]
        page = Page(number, (tags[_HEIGHT], tags[_WIDTH]), image.mode, tags.get(_ORIENTATION, 1))
        (copies if tags.get(_SUBFILE, 0) & 1 else pages).append(page)
    pages = pages or copies[:1]
    kinds = sorted({f"{height}×{width} {page.mode}" for page in pages for height, width in [page.size]})
    if len(kinds) > 1:
        raise ValueError(
            f"its {len(pages)} pages differ in size or kind ({', '.join(kinds)}), so they are no slices of one volume; "
            "store the one that counts as a file of its own"
        )
    image.seek(pages[0].number)
    return pages


def is_cut(image: ImageFile.ImageFile) -> bool:
    """Whether Pillow cuts the colors of a TIFF to 8 bits or leaves samples out."""
    tags = getattr(image, "tag_v2", {})
    bands = len(image.getbands())
    return tags.get(_SAMPLES, 1) != bands or (bands > 1 and max(tags.get(_BITS, (1,))) > 8)


def read(image: ImageFile.ImageFile, pages: Sequence[Page], *, indices: bool) -> np.ndarray:
    """(*pages, height, width, C), the pages' axis only if there are several.

    Args:
        indices: of a palette give these, and not its colors.
    """
    frames = []
    for page in pages:
        if len(pages) > 1:
            image.seek(page.number)
        image.load()
        turned = image.format == "TIFF" and page.orientation in _BACK
        frames.append(_pixels(image.transpose(_BACK[page.orientation]) if turned else image, indices))
    return frames[0] if len(frames) == 1 else np.stack(frames)


def _pixels(image: Image.Image, indices: bool) -> np.ndarray:
    """(height, width, C) of one page."""
    if image.mode in ("P", "PA"):
        clear = image.mode == "PA" or "transparency" in image.info
        image = image.getchannel(0) if indices else image.convert("RGBA" if clear else "RGB")
    elif image.mode in ("CMYK", "YCbCr"):
        image = image.convert("RGB")
    elif image.mode == "LAB":
        lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        image = ImageCms.buildTransform(lab, rgb, "LAB", "RGB").apply(image)
    pixels = np.asarray(image)
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * 255  # as other programs read bilevel pictures
    return pixels.reshape(*pixels.shape[:2], -1)


def _exif_orientation(image: ImageFile.ImageFile) -> int:
    if "exif" not in image.info:  # asked for it, a PNG would be decoded
        return 1
    return image.getexif().get(_ORIENTATION, 1)
