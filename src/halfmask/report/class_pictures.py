"""The cases that each setup was most confidently wrong and right about, and what it looked at in them."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from halfmask.data.batch import IGNORE
from halfmask.data.formats import stem, suffix
from halfmask.data.volume import Grid
from halfmask.evaluation.class_table import Predictions
from halfmask.evaluation.probabilities import decisions, known, one_hot
from halfmask.evaluation.saliency import FOLDER
from halfmask.report.document import folded
from halfmask.report.gather import Entry
from halfmask.report.groups import Group
from halfmask.report.markup import Markup, join, tag
from halfmask.report.pictures import case_image, oriented
from halfmask.report.planes import drawn_shape, planes

OPEN = 3
"""Setups whose pictures are open at once; the rest unfolds."""
SIDE = 256
"""Pixels of a picture's longer side."""
KINDS = {"gradient": "gradient", "grad_cam": "Grad-CAM", "rollout": "attention rollout"}
NAMED = 4
"""Classes of a case that its line names."""


def class_pictures(groups: Sequence[Group]) -> Markup | None:
    """A line a case, of the first run of each setup that has pictures; None if no image can be shown."""
    parts = [(g.title, part) for g in groups if (part := _setup(g)) is not None]
    if not parts:
        return None
    note = (
        "Of each setup the case that its first run gave the least probability to what it is, the median, and the one "
        "it gave the most; saliency from nothing over red and yellow to white."
    )
    rest = [[tag("h3", title), part] for title, part in parts[OPEN:]]
    return join([
        tag("p", note), [[tag("h3", title), part] for title, part in parts[:OPEN]],
        folded(f"Pictures of {len(rest)} more", rest) if rest else None,
    ])  # fmt: skip


def chosen(found: Predictions) -> dict[str, int]:
    """The least, the median and the most probability of the truth among the cases that are known; fewer if equal."""
    sure = truth_probability(found)
    ranked = [int(n) for n in np.argsort(sure, kind="stable")[: int((~np.isnan(sure)).sum())]]
    if not ranked:
        return {}
    least = "Least right" if _right(found, ranked[0]) else "Most confidently wrong"
    picked = {least: ranked[0], "Median": ranked[(len(ranked) - 1) // 2], "Most confidently right": ranked[-1]}
    return {rank: n for k, (rank, n) in enumerate(picked.items()) if n not in list(picked.values())[:k]}


def truth_probability(found: Predictions) -> np.ndarray:
    """(N,), the probability of what each case is; in multi-label the mean over known labels. NaN where unknown."""
    has, p = one_hot(found.truth, len(found.classes)), found.probability
    if not found.multi_label:
        return np.where(known(found.truth), (p * has).sum(1), np.nan)
    there = known(found.truth)
    with np.errstate(invalid="ignore"):
        return np.asarray((np.where(has, p, 1 - p) * there).sum(1) / there.sum(1))


def _right(found: Predictions, n: int) -> bool:
    if not found.multi_label:
        return bool(found.probability[n].argmax() == found.truth[n])
    there = found.truth[n] != IGNORE
    return bool((decisions(found.probability[[n]], True)[0] == (found.truth[n] == 1))[there].all())


def _setup(group: Group) -> Markup | None:
    entry = group.entries[0]
    if entry.classified is None or not entry.prediction.get("images"):
        return None
    lines = []
    for rank, n in chosen(entry.classified).items():
        case = entry.classified.cases[n]
        head = tag("h4", f"{rank}: {case}")
        try:
            shown = _pictures(entry, case)
        except (ValueError, OSError) as e:
            shown = tag("p", f"No picture: {e}.", class_="note")
        lines.append(tag("div", head, tag("p", _said(entry.classified, n), class_="quiet"), shown))
    return tag("div", lines, class_="looked")


def _said(found: Predictions, n: int) -> str:
    """What the case is, and what it was given."""
    p, named = found.probability[n], list(zip(found.classes, found.probability[n], strict=True))
    if found.multi_label:
        has = [name for name, value in zip(found.classes, found.truth[n], strict=True) if value == 1]
        given = [f"{name} {value:.3f}" for name, value in named if value >= 0.5]
        unknown = [name for name, value in zip(found.classes, found.truth[n], strict=True) if value == IGNORE]
        rest = f" Unknown: {', '.join(unknown)}." if unknown else ""
        return f"Is {', '.join(has) or 'none of them'}; taken for {', '.join(given) or 'none of them'}.{rest}"
    first = sorted(named, key=lambda pair: -pair[1])[:NAMED]
    own = f" ({p[found.truth[n]]:.3f})"
    return f"Is {found.classes[found.truth[n]]}{own}; taken for " + ", ".join(f"{a} {v:.3f}" for a, v in first) + "."


def _pictures(entry: Entry, case: str) -> Markup:
    """The image and its heat maps; of a volume the plane that holds most of what is salient, else the middle one."""
    image, grid = case_image(entry, case)
    maps = {name: volume for kind, name in KINDS.items() if (volume := _map(entry, case, kind, grid)) is not None}
    salient = [volume > volume.max() / 2 for volume in maps.values()] if grid.scan else []
    plane = planes(grid, salient)[0]
    flat = plane.of(image)
    h, w = drawn_shape(flat.shape, plane.spacing)
    plain = Image.fromarray(np.ascontiguousarray(flat)).convert("RGB").resize((w, h), Image.Resampling.BILINEAR)
    plain.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    figures = [_figure(plain, plane.name if grid.scan else "image", f"{case}: the image")]
    figures += [_figure(blended(plain, plane.of(v)), name, f"{case}: {name}") for name, v in maps.items()]
    return tag("div", figures, class_="maps")


def _map(entry: Entry, case: str, kind: str, grid: Grid) -> np.ndarray | None:
    """A heat map (*spatial) as the image lies; None if there is none of this image."""
    folder = entry.masks / FOLDER / kind
    files = [p for p in folder.iterdir() if suffix(p) and stem(p) == case] if folder.is_dir() else []
    if not files or not files[0].resolve().is_relative_to(entry.masks.resolve()):
        return None
    return oriented(files[0], grid)


def blended(plain: Image.Image, heat: np.ndarray) -> Image.Image:
    """The image in gray, with a heat map (h, w) of any range over it, the more opaque the more salient."""
    sized = Image.fromarray(np.ascontiguousarray(heat, np.float32)).resize(plain.size, Image.Resampling.BILINEAR)
    values = np.asarray(sized)
    low, high = float(values.min()), float(values.max())
    share = (values - low) / (high - low) if high > low else np.zeros_like(values)
    gray = np.asarray(plain.convert("L"), float)[..., None]
    return Image.fromarray(
        np.rint(gray * (1 - 0.8 * share[..., None]) + hot(share) * 0.8 * share[..., None]).astype(np.uint8)
    )


def hot(share: np.ndarray) -> np.ndarray:
    """Colors (…, 3), 0 to 255, of [0, 1]: black, red, yellow, white, lighter throughout."""
    return 255 * np.clip(np.stack([3 * share, 3 * share - 1, 3 * share - 2], axis=-1), 0, 1)


def _figure(picture: Image.Image, caption: str, told: str) -> Markup:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=85)
    data = f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
    return tag("figure", tag("img", src=data, alt=told, width=picture.width, height=picture.height),
               tag("figcaption", caption))  # fmt: skip
