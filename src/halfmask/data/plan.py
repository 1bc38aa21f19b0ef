"""The plan: every choice that preparation, training and prediction share, in a file a person can edit."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from halfmask.config import nearest
from halfmask.data.atomic import write_text


class Plan(BaseModel):
    """What `prepare` decided and `train` and `predict` obey; the fields are the keys of plan.yaml.

    Attributes:
        task: "segmentation", or "classification" of whole images, which are brought to the patch's size.
        channels: their names, in order.
        labels: class name to the value in the label files; the class number is the place in this list. Of whole
            images the values are those places.
        columns: of the data set's table that whole images' classes come from.
        regions: unions of classes to report on, by name, as lists of class names; they may overlap.
        outputs: what networks are trained to say: "classes", of which each voxel (or image) has one, or "regions",
            each by itself. Masks hold classes and figures are of the regions either way. "labels" are classes of whole
            images of which one may have several, each by itself.
        ignore_value: the value in the label files of voxels that nobody annotated.
        dims: 2 (slices along the first axis) or 3.
        orientation: where the axes of prepared images run to, e.g. SPL; None for pictures.
        spacing: of prepared images along those axes, mm; None keeps each image's own.
        normalization: for each channel "zscore" (by the image's own foreground), "ct" (clipped and scaled by
            ``intensities``), "cohort" (scaled by them, not clipped: colors keep what they are), or "share" (of the sum
            of all channels, then as "zscore").
        intensities: for each channel low and high clip, mean and sd over the foreground of all images.
        patch: what one training step sees, in voxels; two numbers in 2D.
        labeled, unlabeled: images of each kind in a batch.
        pooling: strides from one level of the network to the next.
        kernels: of the convolutions at each level.
        flips: axes along which mirroring is allowed.
        network: of `halfmask.networks`, with ``network_settings``.
        brain: how raw scans of heads are made brains before all else, as `halfmask.brain.settings` has it; {} for
            all its steps as they come, None for images that are used as they are.
        why: the reasons, for the reader.
    """

    model_config = ConfigDict(extra="forbid")

    task: Literal["segmentation", "classification"] = "segmentation"
    channels: list[str]
    labels: dict[str, int]
    columns: list[str] = []
    regions: dict[str, list[str]] = {}
    outputs: Literal["classes", "regions", "labels"] = "classes"
    ignore_value: int | None = None
    dims: Literal[2, 3]
    orientation: str | None
    spacing: tuple[float | None, float | None, float | None]
    normalization: list[Literal["zscore", "ct", "cohort", "share"]]
    intensities: list[tuple[float, float, float, float]] | None = None
    patch: tuple[int, ...]
    labeled: int
    unlabeled: int
    pooling: list[tuple[int, ...]]
    kernels: list[tuple[int, ...]]
    flips: tuple[bool, ...]
    network: str = "unet"
    network_settings: dict[str, Any] = {}
    memory_gib: float = 8.0
    brain: dict[str, Any] | None = None
    why: list[str] = []

    @property
    def classes(self) -> int:
        """K, background included."""
        return len(self.labels)

    @property
    def classifies(self) -> bool:
        """Whether whole images are told apart, not voxels."""
        return self.task == "classification"

    @property
    def axis_spacing(self) -> tuple[float, ...]:
        """Of a patch's axes, mm; 1 where images keep their own."""
        return tuple(1.0 if mm is None else mm for mm in self.spacing[3 - self.dims :])

    @property
    def exclusive(self) -> bool:
        """Whether each voxel, or image, is one output's alone."""
        return self.outputs == "classes"

    @property
    def output_names(self) -> list[str]:
        """Of the maps that networks put out, in order."""
        return list(self.regions if self.outputs == "regions" else self.labels)

    @property
    def members(self) -> np.ndarray:
        """(K, R), boolean: which class lies in which region."""
        return np.array([[name in parts for parts in self.regions.values()] for name in self.labels])

    @property
    def structures(self) -> dict[str, tuple[int, ...]]:
        """What is measured: name to class numbers; the regions if there are any, else each class but background."""
        numbers = {name: k for k, name in enumerate(self.labels)}
        if self.regions:
            return {name: tuple(numbers[part] for part in parts) for name, parts in self.regions.items()}
        return {name: (k,) for name, k in numbers.items() if k}

    def preparation_key(self) -> str:
        """A digest of what the prepared cases depend on: another key, and they are made anew."""
        parts = ["labels", "ignore_value", "dims", "orientation", "spacing", "normalization", "intensities"]
        parts += ["task", "columns", "patch"] if self.classifies else []
        return hashlib.blake2b(
            json.dumps(self.model_dump(mode="json", include=set(parts)), sort_keys=True).encode(), digest_size=8
        ).hexdigest()

    @field_validator("orientation")
    @classmethod
    def _names_three_axes(cls, value: str | None) -> str | None:
        pairs = ("RL", "AP", "SI")
        named = [i for code in value or "" for i, pair in enumerate(pairs) if code in pair]
        if value is not None and (len(value) != 3 or sorted(named) != [0, 1, 2]):
            raise ValueError(f"{value!r} does not name three axes by R or L, A or P, S or I, e.g. SPL")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Plan:
        faults = []
        wanted = "labels" if len(self.columns) > 1 else "classes"
        if self.classifies != bool(self.columns) or (self.outputs != wanted and "labels" in (wanted, self.outputs)):
            faults.append(f"task: {self.task} does not go with outputs {self.outputs} and columns {self.columns}")
        if self.classifies and self.regions:
            faults.append(f"regions: whole images have none, got {', '.join(self.regions)}")
        if len(set(self.labels.values())) < len(self.labels):
            faults.append(f"labels: two classes have one value: {self.labels}")
        if 0 in self.labels.values() and next(iter(self.labels.values()), 0) != 0:
            faults.append(f"labels: 0 is the background and comes first, got {self.labels}")
        if len(self.labels) < 2:
            faults.append(f"labels: at least background and one class are needed, got {self.labels}")
        if len(self.labels) > 255:
            faults.append(f"labels: at most 255 classes can be stored, got {len(self.labels)}")
        if self.ignore_value in self.labels.values():
            faults.append(f"ignore_value {self.ignore_value} is a class's value: {self.labels}")
        faults += [f"regions: {name} has no class" for name, parts in self.regions.items() if not parts]
        if self.outputs == "regions" and not self.regions:
            faults.append("outputs: there are no regions to train on; name some, or write classes")
        for name, parts in self.regions.items():
            faults += [f"regions: {name}: no class is called {p!r}; {nearest(p, self.labels)}"
                       for p in parts if p not in self.labels]  # fmt: skip
        lengths = {"patch": self.patch, "flips": self.flips}
        lengths |= {f"pooling[{i}]": p for i, p in enumerate(self.pooling)}
        lengths |= {f"kernels[{i}]": p for i, p in enumerate(self.kernels)}
        faults += [f"{name} has {len(v)} numbers, dims is {self.dims}"
                   for name, v in lengths.items() if len(v) != self.dims]  # fmt: skip
        positive = {"spacing": self.spacing, **{name: v for name, v in lengths.items() if name != "flips"}}
        faults += [f"{name} must be above 0, got {v}"
                   for name, v in positive.items() if any(n is not None and n <= 0 for n in v)]  # fmt: skip
        if len(self.kernels) != len(self.pooling) + 1:
            faults.append(f"{len(self.kernels)} kernels for {len(self.pooling)} poolings; one more is needed")
        if len(self.normalization) != len(self.channels):
            faults.append(f"{len(self.normalization)} normalizations for {len(self.channels)} channels")
        faults += [f"normalization {kind!r} needs intensities, one row a channel"
                   for kind in ("ct", "cohort")
                   if kind in self.normalization and len(self.intensities or ()) != len(self.channels)]  # fmt: skip
        if self.labeled < 1 or self.unlabeled < 0:
            faults.append(f"a batch of {self.labeled} labeled and {self.unlabeled} unlabeled images is none")
        if faults:
            raise ValueError("\n".join(faults))
        return self


def read_plan(file: Path) -> Plan:
    """Read plan.yaml. Raises ValueError with every fault in it."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as e:
        raise ValueError(f"{file} is no valid YAML: {e}") from e
    return plan_of(content, where=str(file))


def plan_of(content: Any, *, where: str) -> Plan:
    """A plan from plain data, with every fault told in the user's terms."""
    try:
        return Plan.model_validate(content)
    except ValidationError as e:
        lines = []
        for error in e.errors():
            key = ".".join(map(str, error["loc"]))
            if error["type"] == "extra_forbidden":
                lines.append(f"no key is called {key!r}; {nearest(key, Plan.model_fields)}")
            else:
                lines.append(f"{key + ': ' if key else ''}{error['msg'].removeprefix('Value error, ')}")
        raise ValueError(f"{where}:\n  " + "\n  ".join("\n".join(lines).splitlines())) from None


def write_plan(plan: Plan, file: Path) -> None:
    """Write plan.yaml, short lists on one line."""
    head = "# The plan of this store. Edit it and run `halfmask prepare` again: what depends on it is made anew.\n"
    content = plan.model_dump(mode="json")
    why = yaml.safe_dump({"why": content.pop("why")}, allow_unicode=True, width=110)
    body = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
    write_text(file, head + body + why)
