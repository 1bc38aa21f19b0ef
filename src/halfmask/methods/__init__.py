"""The methods, one a file. The file's name is the method's; nothing is registered."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from dataclasses import dataclass

from halfmask.config import Setting, nearest, settings_of
from halfmask.learning.method import Method

RECOMMENDED = "fixmatch"
"""What `halfmask train auto` trains: of three that were level on the validation cases of three data sets the one that
costs least; see docs/results.md."""


def names(family: str | None = None) -> dict[str, str]:
    """Every method's name and the module that defines it; of one family, as ``semisupervised``, or all."""
    modules = [m.name for m in pkgutil.walk_packages(__path__, __name__ + ".") if not m.ispkg]
    return {m.rpartition(".")[2]: m for m in modules if family in (None, m.split(".")[-2])}


def find(name: str) -> type[Method]:
    """The method in the file ``<name>.py``.

    Raises:
        ValueError: there is none; with the nearest name.
    """
    known = names()
    if name not in known:
        raise ValueError(f"no method is called {name!r}; {nearest(name, known)}")
    module = importlib.import_module(known[name])
    (method,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Method) and value.__module__ == module.__name__
    )
    return method


@dataclass(frozen=True)
class About:
    """What a method says of itself.

    Attributes:
        family: the package that it lies in, ``semisupervised``.
        line: what it does, in one.
        source: the paper that it cites first: authors, venue, year, number.
        text: its docstring.
    """

    name: str
    family: str
    line: str
    source: str
    text: str
    settings: dict[str, Setting]


def about(name: str) -> About:
    """Raises ValueError as `find` does."""
    kind = find(name)
    text = inspect.getdoc(kind) or ""
    line = (inspect.getdoc(inspect.getmodule(kind)) or "").splitlines()[0]
    return About(name, kind.__module__.split(".")[-2], line, _source(text), text, settings_of(kind))


def _source(text: str) -> str:
    """The first "Sohn et al., NeurIPS 2020, arXiv:2001.07685" of a docstring."""
    found = _CITATION.search(" ".join(text.split()))
    return found[0] if found else ""


_CITATION = re.compile(
    r"[A-Z][^.;:()]*(?: et al\.)?[^.;:()]* (?:19|20)\d\d, (?:arXiv:\d{4}\.\d+|doi:10\.[^\s,;)]*[^\s,;).])"
)
