"""Data against a schema, with every fault told in the words of a study file."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from halfmask.config import nearest

T = TypeVar("T", bound=BaseModel)
Place = tuple[str, ...]
"""Where in the file a value stands: its keys, from the outermost."""

MAPPING = "should be names with values, such as"
EXAMPLES = {
    "prepare": "{dims: 2}",
    "plan": "{patch: [96, 96]}",
    "methods": "{supervised: , fixmatch: {threshold: 0.9}}",
    "networks": "{unet: {width: 16}}",
    "pretraining": "{none: , ImageNet: {init: 'hub:resnet34'}}",
    "recipe": "{steps: 4000, batch: 2+2}",
    "reported": "{source: Table 2, rows: {supervised: [0.69]}}",
    "rows": "{supervised: [0.69]}",
    "labels": "[1, 3, 10%, all]",
    "slices": "[20%, 100%]",
    "seeds": "[0, 1, 2]",
    "draws": "[0, 1, 2]",
    "source": "[A, B]",
    "target": "[C]",
    "predict": "{test_time: entropy}",
}
ROW_EXAMPLES = {
    "methods": "{method: fixmatch, threshold: 0.9}",
    "networks": "{network: unet, width: 16}",
    "pretraining": "{init: 'hub:resnet34'}",
}
"""What a key is like, and a row of one, for who gave something else."""


def parsed(kind: type[T], content: Mapping[str, Any]) -> tuple[T | None, list[str], list[Place]]:
    """The content as ``kind``; or None, all that is wrong with it, and where."""
    try:
        return kind.model_validate(content), [], []
    except ValidationError as e:
        found = [(_told(kind, error), tuple(map(str, error["loc"]))) for error in e.errors()]
        return None, [told for told, _ in found], [place for _, place in found]


def _told(kind: type[BaseModel], error: Any) -> str:
    *around, key = map(str, error["loc"])
    place, given = ".".join([*around, key]), error["input"]
    if error["type"] == "extra_forbidden":
        return f"unknown key {place!r}; {nearest(key, _fields(kind, around))}"
    if error["type"] == "missing":
        return f"the key {place!r} is missing"
    if given is None:
        return f"{place} is empty; it {_wanted(key, around, error)}"
    return f"{place} = {given!r} {_wanted(key, around, error)}"


def _wanted(key: str, around: list[str], error: Any) -> str:
    """What would be right: "should be a list such as [0, 1, 2]"."""
    row = ROW_EXAMPLES.get(around[0]) if around else None
    match error["type"]:
        case "dict_type" | "model_type" | "model_attributes_type":
            return f"{MAPPING} {row or EXAMPLES[key]}"
        case "list_type":
            return f"should be a list such as {EXAMPLES.get(key, '[0.69, null]')}"
        case "too_short":
            return f"should name at least one, such as {EXAMPLES.get(key, '{supervised: }')}"
        case "string_type":
            return "should be text"
        case "path_type":
            return "should be the path of a folder or file"
        case "bool_parsing" | "bool_type":
            return "should be true or false"
        case "float_parsing" | "float_type":
            return "should be a number"
        case "int_parsing" | "int_type" | "int_from_float":
            return "should be a whole number"
    return str(error["msg"]).removeprefix("Value error, ").removeprefix("Input ")


def _fields(kind: type[BaseModel], around: Iterable[str]) -> Iterable[str]:
    """The keys that are known at a place."""
    for part in around:
        annotation = kind.model_fields[part].annotation
        inner = [k for k in (annotation, *typing.get_args(annotation)) if isinstance(k, type)]
        kind = next(k for k in inner if issubclass(k, BaseModel))
    return kind.model_fields
