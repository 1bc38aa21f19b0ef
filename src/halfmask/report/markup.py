"""HTML and SVG made of elements; all text is escaped unless it is markup already."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Any


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


VOID = {"meta", "br", "wbr", "img"}
"""Elements that have no end tag."""


def tag(name: str, /, *children: Any, **attributes: Any) -> Markup:
    """An element. Of attribute names a last ``_`` is dropped and others become ``-``; None and False leave it out."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(_text(value))}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    end = "" if name in VOID else f"</{name}>"
    return Markup(f"<{name}{told}>{join(children)}{end}")


def breakable(name: str) -> Markup:
    """A name that may go over to the next line after each ``_``."""
    return Markup(html.escape(name).replace("_", "_<wbr>"))


def join(children: Iterable[Any]) -> Markup:
    """Children one after the other: markup as it is, None as nothing, lists as what they hold, all else escaped."""
    return Markup("".join(map(_child, children)))


def _child(child: Any) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, list | tuple):
        return join(child)
    return html.escape(_text(child))


def _text(value: Any) -> str:
    """Coordinates with two decimals at most: a page may hold thousands."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
