"""The methods, one a file. The file's name is the method's; nothing is registered."""

from __future__ import annotations

import importlib
import pkgutil

from halfmask.config import nearest
from halfmask.learning.method import Method


def names() -> dict[str, str]:
    """Every method's name and the module that defines it."""
    modules = pkgutil.walk_packages(__path__, __name__ + ".")
    return {m.name.rpartition(".")[2]: m.name for m in modules if not m.ispkg}


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
