"""Settings: keywords of a constructor are its settings, and their types and defaults live only there."""

from __future__ import annotations

import difflib
import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError


@dataclass(frozen=True)
class Setting:
    """One setting: its name, its type and its default."""

    name: str
    type: Any
    default: Any


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown name: ``did you mean 'x'?``, or all that are known."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known) or 'none'}"


def settings_of(made: Callable[..., Any]) -> dict[str, Setting]:
    """The keyword-only parameters of a constructor or function, by name, in their order."""
    hints = typing.get_type_hints(made.__init__ if inspect.isclass(made) else made)
    return {
        name: Setting(name, hints.get(name, Any), p.default)
        for name, p in inspect.signature(made).parameters.items()
        if p.kind is p.KEYWORD_ONLY
    }


def read_settings(made: Callable[..., Any], given: Mapping[str, Any], *, of: str) -> dict[str, Any]:
    """Check ``given`` against the settings of ``made`` and convert text (``"0.5"``) to the setting's type.

    Args:
        of: what the settings belong to, for the error: ``method 'fixmatch'``.

    Raises:
        ValueError: naming every unknown key with the nearest known, and every value of a wrong type.
    """
    known, faults, result = settings_of(made), [], {}
    for name, value in given.items():
        if name not in known:
            faults.append(f"{of} has no setting {name!r}; {nearest(name, known)}")
            continue
        try:
            result[name] = TypeAdapter(
                known[name].type, config=ConfigDict(arbitrary_types_allowed=True)
            ).validate_python(value)
        except ValidationError as e:
            expected = getattr(known[name].type, "__name__", str(known[name].type))
            faults.append(f"{of}: {name} = {value!r} is no {expected} ({e.errors()[0]['msg']})")
    if faults:
        raise ValueError("\n".join(faults))
    return result
