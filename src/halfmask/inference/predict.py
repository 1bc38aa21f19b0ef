"""Masks for images, each in its own geometry and format."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from halfmask.data.atomic import write_text
from halfmask.data.formats import Kind, refuse_unfit, stem, suffix, write_like
from halfmask.data.index import Case
from halfmask.data.plan import Plan
from halfmask.data.preprocess import Prepared, file_values, preprocess, read_case
from halfmask.data.regions import class_scores, largest
from halfmask.data.split import domains_of
from halfmask.data.volume import Grid
from halfmask.inference.sliding_window import Predict, mirrored, sliding_window
from halfmask.networks.domain_norm import Side
from halfmask.progress import Progress, say

ABOUT = "prediction.json"
"""The file beside the masks that says what their values mean."""


@dataclass(frozen=True)
class Predictor:
    """A trained network with all that its use needs.

    Attributes:
        predict: probabilities (B, K, *spatial) of normalized windows, on ``device``.
        flips: average over the mirrorings that the plan allows.
        overlap: of neighboring windows.
        clusters: K, where the probabilities are not of the plan's classes but of clusters without a name.
        source: the domains that are of the source's side. All others are of the target's, as is an image whose domain
            nobody knows: it is the target that the network was adapted to.
        meet: makes the network ready for one prepared image (C, *shape), on ``device``, and its side, as long as the
            context lasts; None for one that is the same for all.
    """

    predict: Predict
    plan: Plan
    device: torch.device
    flips: bool = False
    overlap: float = 0.5
    clusters: int | None = None
    source: Collection[str] = ()
    meet: Callable[[Tensor, Side], AbstractContextManager[None]] | None = None

    @property
    def exclusive(self) -> bool:
        """Whether each voxel is of one class or cluster alone."""
        return self.plan.exclusive or self.clusters is not None

    @property
    def names(self) -> list[str]:
        """What each of the probabilities is of."""
        return self.plan.output_names if self.clusters is None else [f"cluster {k}" for k in range(self.clusters)]

    @property
    def values(self) -> dict[int, str]:
        """What each number in a mask means."""
        if self.clusters is not None:
            return dict(enumerate(self.names))
        return {value: name for name, value in self.plan.labels.items()}

    def decide(self, probability: Tensor) -> np.ndarray:
        """Class or cluster numbers (*shape), uint8, from what `probability` gave."""
        if self.exclusive:
            return probability.max(0).indices.to(torch.uint8).cpu().numpy()
        return largest(class_scores(list(probability.float().cpu().numpy()), self.plan.members))

    def side(self, domain: str | None) -> Side:
        """Whose statistics an image of a domain is normalized by."""
        return "source" if domain in self.source else "target"

    def probability(self, image: np.ndarray, domain: str | None = None) -> Tensor:
        """(K, *shape) of a normalized prepared image (C, *shape), K the plan's outputs, or the clusters."""
        whole = torch.from_numpy(image).to(self.device)  # not in inference mode: who meets it may want gradients
        predict = mirrored(self.predict, self.plan.flips) if self.flips else self.predict
        with self.meet(whole, self.side(domain)) if self.meet else nullcontext(), torch.inference_mode():
            return sliding_window(
                whole,
                predict,
                patch=self.plan.patch,
                overlap=self.overlap,
                batch=4 if self.plan.dims == 3 else 16,
            )


def predict_cases(
    cases: Sequence[Case],
    predictor: Predictor,
    out: Path,
    *,
    probability: bool = False,
    entropy: bool = False,
    kind: Kind | None = None,
    about: dict[str, Any] | None = None,
) -> list[Path]:
    """Write a mask for each case into ``out``, in the geometry of its (first) image and in its format or another.

    A case that cannot be predicted does not keep the others from it.

    Args:
        probability: also write each class's probability, into ``out/probability/CLASS``.
        entropy: also write the entropy, 0 sure to 1 undecided, into ``out/entropy``.
        kind: the format of masks and maps; each image's own if None.
        about: what to note beside the masks.

    Returns: the masks' paths.

    Raises:
        ValueError: at the end, with every case that failed; at once, if a mask would overwrite an image or a
            format cannot hold the masks.
    """
    refuse_among(cases, out)
    refuse_formats(cases, kind)
    out.mkdir(parents=True, exist_ok=True)
    plan, written, failed = predictor.plan, [], []
    described = {"labels": plan.labels, "regions": plan.regions, "ignore": plan.ignore_value, **(about or {})}
    described |= {} if predictor.clusters is None else {"clusters": predictor.clusters}
    described["cases"] = [case.name for case in cases]
    described["images"] = {case.name: [str(p.resolve()) for p in case.images] for case in cases}
    described |= {"domains": domains} if (domains := domains_of(cases)) else {}
    write_text(out / ABOUT, json.dumps(described, indent=1))
    with Progress("predict", len(cases)) as progress:
        for case in cases:
            try:
                mask = _predict(case, predictor, out, probability, entropy, kind)
                written.append(mask)
                remove_others(out, case, mask)
            except ValueError as e:
                failed.append(str(e))
                say(f"failed: {e}")
                remove_others(out, case, None)
            progress.advance()
    if failed:
        raise ValueError(f"{len(failed)} of {len(cases)} cases were not predicted:\n" + "\n".join(failed))
    return written


def refuse_formats(cases: Sequence[Case], kind: Kind | None) -> None:
    """Raise ValueError if masks of some cases cannot be written in a format; what cannot be read will fail later."""
    faults = []
    for case in cases:
        try:
            refuse_unfit(case.images[0], kind)
        except ValueError as e:
            faults.append(f"case {case.name!r}: {e}")
    if faults:
        some = f"\nand {len(faults) - 5} more" if len(faults) > 5 else ""
        raise ValueError("\n".join(faults[:5]) + some)


def remove_others(out: Path, case: Case, mask: Path | None) -> None:
    """Another run's mask of this case, in whatever format, would pass for this one's."""
    for old in [p for p in out.iterdir() if suffix(p) and stem(p) == case.name and p != mask]:
        old.unlink()


def refuse_among(cases: Sequence[Case], out: Path) -> None:
    """Raise ValueError if the folder ``out`` for what is predicted holds images of the cases."""
    own = lambda case: {folder for p in case.images for folder in (p.parent.resolve(), p.resolve().parent)}
    clash = [c.name for c in cases if out.resolve() in own(c)]  # links: neither they nor what they lead to
    if clash:
        raise ValueError(f"{out} holds the images themselves ({clash[0]!r}, …); choose another folder")


def _predict(case: Case, predictor: Predictor, out: Path, probability: bool, entropy: bool, kind: Kind | None) -> Path:
    plan, like = predictor.plan, case.images[0]
    image, _, grid = read_case(case, label=False)
    check_like(case, image, grid, plan)
    prepared = preprocess(image, None, grid, plan)
    p = predictor.probability(prepared.normalized(), case.domain)
    around = 0 if predictor.clusters is None else _around(predictor.decide(p))
    if probability:
        for number, (name, one) in enumerate(zip(predictor.names, p, strict=True)):
            outside = number == around if predictor.exclusive else plan.members[0, number]  # the box: background
            folder = out / "probability" / name.replace("/", "_")
            _write_map(folder, case, prepared, one, kind, fill=float(outside))
    if entropy:
        _write_map(out / "entropy", case, prepared, uncertainty(p, exclusive=predictor.exclusive), kind, fill=0.0)
    if prepared.frame.shape == prepared.frame.kept:  # nothing to resample: bring class numbers back, not scores
        classes = prepared.frame.place(predictor.decide(p), fill=around)
    else:
        members = None if predictor.exclusive else plan.members
        classes = prepared.frame.restore_classes(p.float().cpu().numpy(), members, fill=around)
    values = file_values(classes, plan) if predictor.clusters is None else classes
    return write_like(out / case.name, values, like, names=predictor.values, kind=kind)


def _around(clusters: np.ndarray) -> int:
    """The cluster for what lies outside the box that was looked at: the one most frequent on the box's sides."""
    sides = [clusters.take(at, axis).ravel() for axis, n in enumerate(clusters.shape) if n > 1 for at in (0, -1)]
    return int(np.bincount(np.concatenate(sides or [clusters.ravel()])).argmax())


def check_like(case: Case, image: np.ndarray, grid: Grid, plan: Plan) -> None:
    """Raise ValueError unless an image (C, *spatial) is of the kind that the plan was made for."""
    if len(image) != len(plan.channels):
        raise ValueError(
            f"case {case.name!r}: has {len(image)} channels, the model was trained on {len(plan.channels)} "
            f"({', '.join(plan.channels)})"
        )
    if grid.scan != (plan.orientation is not None):
        came, expected = ("a scan", "pictures") if grid.scan else ("a picture", "scans")
        raise ValueError(
            f"case {case.name!r}: {case.images[0].name} is {came}, the model was trained on {expected}; give it such"
        )


def uncertainty(probability: Tensor, *, exclusive: bool) -> Tensor:
    """Entropy (*spatial) of probabilities (K, *spatial), from 0, sure, to 1, undecided; the mean over regions."""
    entropy = lambda p: -(p * p.clamp(min=1e-12).log())
    p = probability.float()
    share = entropy(p).sum(0) / math.log(len(p)) if exclusive else (entropy(p) + entropy(1 - p)).mean(0) / math.log(2)
    return share.clamp(0, 1)


def _write_map(folder: Path, case: Case, prepared: Prepared, values: Tensor, kind: Kind | None, *, fill: float) -> None:
    whole = prepared.frame.restore(values.float().cpu().numpy(), fill=fill)
    remove_others(folder, case, write_like(folder / case.name, whole, case.images[0], kind=kind))
