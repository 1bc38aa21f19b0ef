"""The study file: what is compared, on which data, with how many labels."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from halfmask.config import Count
from halfmask.data.layouts.patterns import named_patterns
from halfmask.study.plain import read_plain
from halfmask.study.schema import Place, parsed

ROWS = frozenset({"methods", "networks", "pretraining"})
"""Keys whose values are a label and settings each."""


def _share(value: Any) -> Any:
    """ "10%" is 0.1."""
    text = str(value).strip()
    return _number(text[:-1]) / 100 if text.endswith("%") else value


def _labels(value: Any) -> Any:
    """A budget, in one spelling each: "3" for a count, "10%" for a share, 0.1 too; "all" for every label."""
    text = str(value).strip()
    if text == "all":
        return text
    if re.fullmatch(r"\d+", text, re.ASCII) and int(text) > 0:
        return str(int(text))
    share = _number(_share(text))
    if isinstance(value, bool) or not 0 < share <= 1:
        raise ValueError("should be a count such as 3, a share such as 10% or 0.1, or all")
    return f"{100 * share:.10g}%"


def _slices(value: Any) -> Any:
    share = _number(_share(value))
    if not 0 < share <= 1:
        raise ValueError("should be a share of the slices such as 20% or 0.2")
    return share


def _folds(value: Any) -> Any:
    if value != "all" and not (isinstance(value, list) and value and all(type(v) is int and v >= 0 for v in value)):
        raise ValueError("should be a list of numbers such as [0, 1], or all")
    return value


def _batch(value: Any) -> Any:
    text = str(value).replace(" ", "")
    if not re.fullmatch(r"[1-9]\d*(\+\d+)?", text, re.ASCII):
        raise ValueError("should be labeled+unlabeled images such as 2+2")
    return text


def _spacing(value: Any) -> Any:
    """As `halfmask prepare --spacing` takes it: "10,2,2"; a list is as good."""
    parts = value if isinstance(value, list) else str(value).split(",")
    if len(parts) not in (2, 3) or not all(0 < _number(part) < math.inf for part in parts):
        raise ValueError("should be two or three numbers above 0, in mm, such as '10,2,2'")
    return ",".join(str(part).strip() for part in parts)


def _columns(value: Any) -> Any:
    """As `halfmask prepare --classes` takes it: "mel,nevus"; a list is as good."""
    return ",".join(map(str, value)) if isinstance(value, list) else value


def _channels(value: Any) -> Any:
    """As `halfmask prepare --channels` takes it: "T1=mprage|t1w,FLAIR"; a list, or a mapping, is as good."""
    if isinstance(value, dict):
        value = [name if pattern is None else f"{name}={pattern}" for name, pattern in value.items()]
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    named_patterns(text)
    return text


def _listed(value: Any) -> Any:
    """One domain is a list of one."""
    return value if value is None or isinstance(value, list | dict) else [value]


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as e:
        raise ValueError(f"is no regular expression: {e}") from e
    return value


def _text(value: Any) -> Any:
    """A name may look like a number or a date."""
    return value if value is None or isinstance(value, dict | list) else str(value)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


Labels = Annotated[str, BeforeValidator(_labels)]
Slices = Annotated[float, BeforeValidator(_slices)]
Text = Annotated[str, BeforeValidator(_text)]
Domains = Annotated[list[Text], Field(min_length=1), BeforeValidator(_listed)]
Number = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Row = dict[str, Any]
Rows = dict[str, Row | None]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_truth(cls, value: Any, about: Any) -> Any:
        """True counts as 1 in Python, and in YAML yes and on are true."""
        given = value if isinstance(value, list) else [value]
        if any(v is True or v is False for v in given) and "bool" not in str(cls.model_fields[about.field_name]):
            raise ValueError("has a truth (true, yes, on) where none is expected")
        return value


class Preparation(_Part):
    """Options of ``halfmask prepare``, by the same names."""

    group: Annotated[str, AfterValidator(_pattern)] | None = None
    domain: Annotated[str, AfterValidator(_pattern)] | None = None
    channels: Annotated[str, BeforeValidator(_channels)] | None = None
    label: Annotated[str, AfterValidator(_pattern)] | None = None
    classes: Annotated[Text, BeforeValidator(_columns)] | None = None
    test: Annotated[float, Field(ge=0, lt=1)] | None = None
    seed: Seed | None = None
    dims: Literal[2, 3] | None = None
    spacing: Annotated[str, BeforeValidator(_spacing)] | None = None
    memory: Annotated[float, Field(gt=0)] | None = None
    ignore_value: int | None = None
    folds: Count | None = None
    stratify: bool | None = None


class Training(_Part):
    """Options of ``halfmask train`` that say how, by the same names; None leaves the choice open."""

    steps: Count | None = None
    batch: Annotated[str, BeforeValidator(_batch)] | None = None
    optimizer: Literal["sgd", "adam", "adamw"] | None = None
    rate: Annotated[float, Field(gt=0)] | None = None
    momentum: Annotated[float, Field(ge=0, lt=1)] | None = None
    weight_decay: Annotated[float, Field(ge=0)] | None = None
    schedule: Literal["poly", "cosine", "step", "constant"] | None = None
    clip: Annotated[float, Field(gt=0, allow_inf_nan=True)] | None = None


class Prediction(_Part):
    """Options of ``halfmask predict``, by the same names."""

    test_time: Literal["statistics", "entropy"] | None = None
    test_time_steps: Count | None = None
    test_time_rate: Annotated[float, Field(gt=0)] | None = None
    flips: bool | None = None


class Reported(_Part):
    """What a paper printed: by arm a figure a budget, in their order."""

    source: Text
    metric: str = "dice"
    rows: dict[str, list[float | None]]


class Study(_Part):
    """A comparison: every row (method, network, pre-training) with every budget, fold, draw and seed.

    The fields are the keys of the file.

    Attributes:
        question: what it is to answer, for the report.
        data: the data set; ``prepare`` and ``plan`` (fields of plan.yaml) say how it is prepared.
        methods: a label and settings each; see `halfmask.study.grid` for the keys that are no settings.
        networks: a label and settings each; the plan's network unless given.
        pretraining: a label each, and what pre-trains or where weights are.
        labels: budgets; slices: shares of slices that keep their labels, across ``slice_axis``.
        folds: numbers, or "all".
        draws: of labels; each seed has its own unless given.
        recipe: the same for all; with ``as_the_papers`` each method's own fills the gaps.
        checkpoint: what is measured, the last step or the best in validation.
        measured_on: the sealed test cases, or in cross-validation those that each fold holds out.
        baseline: the arm that others are set against.
        source, target: in domain adaptation the domains whose labels are read, and whose images are learned from
            without; a row of ``methods`` may have its own. What is measured is shown by domain.
        ceiling: the arm that was trained on labels of the target, for the share of the gap that others close.
    """

    name: Text
    question: Text | None = None
    data: Path | None = None
    prepare: Preparation = Preparation()
    plan: dict[str, Any] = {}
    methods: Annotated[Rows, Field(min_length=1)]
    networks: Rows = {}
    pretraining: Rows = {}
    labels: Annotated[list[Labels], Field(min_length=1)] = ["all"]
    slices: Annotated[list[Slices], Field(min_length=1)] = [1.0]
    slice_axis: Literal[0, 1, 2] = 0
    folds: Annotated[Any, BeforeValidator(_folds)] = [0]
    draws: Annotated[list[Seed], Field(min_length=1)] | None = None
    seeds: Annotated[list[Seed], Field(min_length=1)] = [0]
    source: Domains | None = None
    target: Domains | None = None
    recipe: Training = Training()
    as_the_papers: bool = False
    precision: Annotated[Literal["auto", "32", "bf16"], BeforeValidator(_text)] = "auto"
    validations: Number = 10
    checkpoint: Literal["last", "best"] = "last"
    measured_on: Literal["test", "fold"] = "test"
    baseline: Text | None = None
    ceiling: Text | None = None
    reported: Reported | None = None

    @property
    def classifies(self) -> bool:
        """Whether whole images are told apart, not voxels."""
        return self.prepare.classes is not None


def read_study(file: Path) -> Study:
    """Read a study file.

    Raises:
        ValueError: with all that is wrong in it, and for unknown keys the nearest known.
    """
    content = read_plain(file)
    rows = content.get("pretraining")
    for row in rows.values() if isinstance(rows, dict) else ():
        if isinstance(row, dict) and isinstance(row.get("init"), str) and not row["init"].startswith("hub:"):
            row["init"] = str(file.parent / row["init"])  # weights lie beside the study, as its data does
    return study_of(content, where=str(file))


def study_of(content: Mapping[str, Any], *, where: str) -> Study:
    """A study from plain data; see `read_study`."""
    from halfmask.study.faults import faults_of  # which needs the methods, so torch

    study, faults, guilty = parsed(Study, content)
    # The rest is looked at without what is at fault, so that all is told at once.
    rest = study or parsed(Study, _without(content, guilty))[0]
    if rest is not None:
        faults += faults_of(rest, dropped={place[0] for place in guilty})
    if faults:
        raise ValueError("\n".join(f"{where}: {fault}" for fault in dict.fromkeys(faults)))
    assert study is not None
    return study


def _without(content: Mapping[str, Any], guilty: Sequence[Place]) -> dict[str, Any]:
    """The content without the keys at fault; of methods, networks and pretraining only the rows at fault go."""
    lost = {place[0] for place in guilty if place[0] not in ROWS or len(place) == 1}
    rows = {place[:2] for place in guilty if len(place) > 1}
    kept: dict[str, Any] = {key: value for key, value in content.items() if key not in lost}
    for what in ROWS & kept.keys():
        kept[what] = {label: row for label, row in kept[what].items() if (what, label) not in rows}
    return {"name": "", **kept, "methods": kept.get("methods") or {"supervised": None}}
