"""What the verbs' arguments mean, and how text becomes them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal


@dataclass(frozen=True)
class Doc:
    """What an argument means; the command line shows it as help."""

    text: str


Group = Annotated[
    str | None,
    Doc(r"Regular expression on case names; its first parenthesis is the patient or site: '(patient\d+)'."),
]
Domain = Annotated[
    str | None,
    Doc(r"The same for the scanner or site, where the data set names none: '^(3T|7T)'."),
]
Classes = Annotated[
    str | None,
    Doc("To tell whole images apart: the CSV table's column of classes, or several columns of 0 and 1, as mel,nevus."),
]
Channels = Annotated[
    str | None,
    Doc(
        "The images of a case, in order, where there is a choice: names, each with a regular expression on the BIDS "
        "suffix, the DICOM series' description or the end of the file's name: T1=mprage|t1w,FLAIR."
    ),
]
Format = Annotated[
    Literal["nifti", "nrrd", "mha", "png", "dicom-seg"] | None,
    Doc("Of masks and maps, in each image's own geometry; the image's own format unless given."),
]
Label = Annotated[
    str | None,
    Doc(
        "Which masks are the labels, where there is a choice: a regular expression on the path of a BIDS mask (its "
        "pipeline, label-… or desc-…) or on the end of the file's name: lesion."
    ),
]
Workers = Annotated[int | None, Doc("Processes that work at once; all cores unless given.")]
Device = Annotated[Literal["auto", "cpu", "cuda"], Doc("Where to compute; auto is cuda where there is one.")]

# What a training is told, with labels or without.
Steps = Annotated[int | None, Doc("Of training.")]
Network = Annotated[
    str | None,
    Doc(
        "unet, residual_unet, vnet, resnet_unet, swin_unet, swin_unetr or unetr; to pre-train and classify also "
        "resnet18, resnet50, vit_ti16 or vit_b16; the plan's unless given."
    ),
]
Optimizer = Annotated[Literal["sgd", "adam", "adamw"] | None, Doc("The optimizer.")]
Rate = Annotated[float | None, Doc("The learning rate at the start.")]
Momentum = Annotated[float | None, Doc("Of sgd, in [0, 1).")]
WeightDecay = Annotated[float | None, Doc("L2 for sgd and adam, decoupled for adamw.")]
Schedule = Annotated[Literal["poly", "cosine", "step", "constant"] | None, Doc("Of the rate.")]
Clip = Annotated[float | None, Doc("The largest norm of a gradient; inf for no limit.")]
Settings = Annotated[list[str] | None, Doc("A setting of the method or network, as weight=0.5 or network.width=16.")]
Init = Annotated[
    Path | None,
    Doc("Weights to start from: a run, a file (nnU-Net, nnssl, MONAI, torchvision, timm, Swin), or hub:NAME."),
]
Resume = Annotated[bool, Doc("Go on with the run in --out after any stop.")]
Precision = Annotated[Literal["auto", "32", "bf16"], Doc("auto is bf16 on CUDA, else 32.")]
Devices = Annotated[
    int | None, Doc("Of this computer to train on together, a process each; the batch grows with them.")
]
Compile = Annotated[bool | None, Doc("Compile the networks; done on CUDA unless given.")]
SaveSeconds = Annotated[float, Doc("Time between checkpoints.")]
Threads = Annotated[int, Doc("That read batches ahead.")]
Cache = Annotated[
    float, Doc("Share of memory in which cases are held whole, if they fit; with 0 all is read from the store.")
]

_RANGES: Mapping[str, tuple[Callable[[float], bool], str]] = {
    "seed": (lambda n: n >= 0, "0 or more"),
    "steps": (lambda n: n >= 1, "at least 1"),
    "batch": (lambda n: n >= 1, "at least 1"),
    "rate": (lambda x: 0 < x < math.inf, "a number above 0"),
    "momentum": (lambda x: 0 <= x < 1, "a number in [0, 1)"),
    "weight_decay": (lambda x: 0 <= x < math.inf, "a number, 0 or more"),
    "clip": (lambda x: x > 0, "a number above 0"),
    "validations": (lambda n: n >= 0, "0 or more"),
    "save_seconds": (lambda x: x >= 0, "0 or more"),
    "threads": (lambda n: n >= 0, "0 or more"),
    "cache": (lambda x: 0 <= x <= 1, "a share in [0, 1]"),
    "devices": (lambda n: n >= 1, "at least 1"),
    "test_time_steps": (lambda n: n >= 1, "at least 1"),
    "test_time_rate": (lambda x: 0 < x < math.inf, "a number above 0"),
}


def in_range(**given: float | None) -> list[tuple[bool, str]]:
    """For `require`: each number that was given lies where its option wants it."""
    return [
        (value is None or holds(value), f"--{name.replace('_', '-')} is {told}, got {value}")
        for name, value in given.items()
        for holds, told in [_RANGES[name]]
    ]


def worker_count(count: int | None) -> int:
    """As many as were asked for, else as many as there are cores for this process."""
    if count is not None:
        return count
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def require(*rules: tuple[bool, str]) -> None:
    """Tell of all that does not hold at once."""
    if faults := [fault for holds, fault in rules if not holds]:
        raise ValueError("\n".join(faults))


def budget(text: str | None) -> int | float | None:
    """ "8" is a count, "0.1" and "10%" are shares."""
    if text is None:
        return None
    try:
        value = float(text[:-1]) / 100 if text.endswith("%") else int(text) if text.isdigit() else float(text)
        if math.isfinite(value):
            return value
    except ValueError:
        pass
    raise ValueError(f"--labels is a count such as 8 or a share such as 0.1 or 10%, got {text!r}")


def names(text: str | None) -> tuple[str, ...]:
    """ "melanoma, nevus" as two names."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def channels(text: str | None) -> dict[str, str] | None:
    """ "T1=mprage|t1w,FLAIR" by name; a name alone is its own expression."""
    from halfmask.data.layouts.patterns import named_patterns

    return None if text is None else named_patterns(text)


def expression(text: str | None, option: str) -> str | None:
    """The text of a regular expression, checked."""
    from halfmask.data.layouts.patterns import checked

    return None if text is None else checked(text, f"--{option}: {text!r}")


def millimeters(text: str | None) -> tuple[float, ...] | None:
    """ "10,2,2" or "2,2": two or three numbers above 0."""
    if text is None:
        return None
    try:
        numbers = tuple(map(float, text.split(",")))
        if len(numbers) in (2, 3) and all(0 < n < math.inf for n in numbers):
            return numbers
    except ValueError:
        pass
    raise ValueError(f"--spacing is two or three numbers above 0 such as 10,2,2, got {text!r}")


def halves(text: str | None) -> tuple[int | None, int | None]:
    """ "2+2": labeled and unlabeled images a step; None leaves it to the recipe."""
    if text is None:
        return None, None
    labeled, plus, unlabeled = text.partition("+")
    if not (labeled.isdigit() and int(labeled) > 0 and (unlabeled.isdigit() if plus else True)):
        raise ValueError(f"--batch is labeled+unlabeled images such as 2+2, got {text!r}")
    return int(labeled), int(unlabeled) if plus else None


def settings(pairs: list[str] | None) -> Mapping[str, str]:
    """["name=value", …] as a mapping."""
    wrong = [p for p in pairs or () if "=" not in p]
    if wrong:
        raise ValueError(f"--set takes name=value, got {', '.join(map(repr, wrong))}")
    return {name.strip(): value.strip() for name, _, value in (p.partition("=") for p in pairs or ())}


def plan_fields(pairs: list[str] | None) -> dict[str, Any]:
    """Settings whose values are as in plan.yaml; "96,96" is a list too."""
    import yaml

    read = yaml.safe_load
    try:
        return {
            name: read(f"[{text}]") if isinstance(value := read(text), str) and "," in text else value
            for name, text in settings(pairs).items()
        }
    except yaml.YAMLError as e:
        raise ValueError(f"--set takes values as plan.yaml has them: {e}") from e
