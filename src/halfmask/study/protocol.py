"""The study file: what is compared, on which data, with how many labels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from halfmask.config import Count, nearest

T = TypeVar("T", bound=BaseModel)


def _share(value: Any) -> Any:
    """ "10%" is 0.1."""
    text = str(value).strip()
    return float(text[:-1]) / 100 if text.endswith("%") else value


def _labels(value: Any) -> Any:
    """A budget as `halfmask train --labels` takes it: "3", "10%", "0.1"; "all" for every label."""
    text = str(value).strip()
    if text != "all" and not (text.isdigit() and value is not True) and not 0 < _number(_share(text)) <= 1:
        raise ValueError("should be a count such as 3, a share such as 10% or 0.1, or all")
    return text


def _folds(value: Any) -> Any:
    if value != "all" and not (isinstance(value, list) and value and all(type(v) is int and v >= 0 for v in value)):
        raise ValueError("should be a list of numbers such as [0, 1], or all")
    return value


def _batch(value: Any) -> Any:
    if not re.fullmatch(r"[1-9]\d*(\+\d+)?", str(value)):
        raise ValueError("should be labeled+unlabeled images such as 2+2")
    return str(value)


def _number(value: Any) -> float:
    try:
        return float(value)
    except ValueError:
        return float("nan")


Labels = Annotated[str, BeforeValidator(_labels)]
Slices = Annotated[float, BeforeValidator(_share), Field(gt=0, le=1)]
Number = Annotated[int, Field(ge=0)]
Row = dict[str, Any]
Rows = dict[str, Row | None]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Preparation(_Part):
    """Options of ``halfmask prepare``, by the same names."""

    group: str | None = None
    test: float | None = None
    seed: int | None = None
    dims: Literal[2, 3] | None = None
    spacing: str | None = None
    memory: float | None = None
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
    schedule: Literal["poly", "cosine", "constant"] | None = None
    clip: Annotated[float, Field(gt=0, allow_inf_nan=True)] | None = None


class Reported(_Part):
    """What a paper printed: by arm a figure a budget, in their order."""

    source: str
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
    """

    name: str
    question: str | None = None
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
    draws: Annotated[list[Number], Field(min_length=1)] | None = None
    seeds: Annotated[list[Number], Field(min_length=1)] = [0]
    recipe: Training = Training()
    as_the_papers: bool = False
    precision: Literal["auto", "32", "bf16"] = "auto"
    validations: Number = 10
    checkpoint: Literal["last", "best"] = "last"
    measured_on: Literal["test", "fold"] = "test"
    baseline: str | None = None
    reported: Reported | None = None


def read_study(file: Path) -> Study:
    """Read a study file.

    Raises:
        ValueError: with all that is wrong in it, and for unknown keys the nearest known.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as e:
        raise ValueError(f"{file} is no YAML: {e}") from e
    if not isinstance(content, dict):
        raise ValueError(f"{file}: expected keys such as name, methods and labels, got {type(content).__name__}")
    return study_of(content, where=str(file))


def study_of(content: Mapping[str, Any], *, where: str) -> Study:
    """A study from plain data; see `read_study`."""
    from halfmask.study.grid import faults_of  # which needs the methods, so torch

    content = _with_text_keys(content)
    study, faults, guilty = parsed(Study, content)
    # The rest is looked at without the keys at fault, so that all is told at once.
    rest = study or parsed(Study, {"name": "", **{k: v for k, v in content.items() if k not in guilty}})[0]
    if rest is not None:
        faults += faults_of(rest)
    if faults:
        raise ValueError("\n".join(f"{where}: {fault}" for fault in dict.fromkeys(faults)))
    assert study is not None
    return study


def parsed(kind: type[T], content: Mapping[str, Any]) -> tuple[T | None, list[str], set[str]]:
    """The content as ``kind``; or None, all that is wrong with it, and the keys at fault."""
    try:
        return kind.model_validate(content), [], set()
    except ValidationError as e:
        return None, [_told(kind, error) for error in e.errors()], {str(error["loc"][0]) for error in e.errors()}


def _told(kind: type[BaseModel], error: Any) -> str:
    place = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"unknown key {place!r}; {nearest(str(error['loc'][-1]), _fields(kind, error['loc'][:-1]))}"
    if error["type"] == "missing":
        return f"the key {place!r} is missing"
    return f"{place} = {error['input']!r} {str(error['msg']).removeprefix('Value error, ').removeprefix('Input ')}"


def _fields(kind: type[BaseModel], place: Iterable[Any]) -> Iterable[str]:
    """The keys that are known at a place."""
    for part in place:
        inner = kind.model_fields[str(part)].annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            kind = inner
        elif part == "reported":
            kind = Reported
    return kind.model_fields


def _with_text_keys(content: Any) -> Any:
    """Names are text, whatever YAML takes them for: an arm may be called 7, and the setting ``on`` is no truth."""
    if isinstance(content, Mapping):
        name = lambda key: {True: "on", False: "off"}[key] if isinstance(key, bool) else str(key)
        return {name(key): _with_text_keys(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_with_text_keys(value) for value in content]
    return content
