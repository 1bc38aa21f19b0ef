"""The frame of every page: one HTML file that needs no other."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from halfmask import __version__
from halfmask.report.markup import Markup, tag

Section = tuple[str, str, Markup]
"""Its id, its heading, what it holds."""


@dataclass(frozen=True)
class Page:
    """The page, what it says first, and what it had to go without."""

    html: str
    summary: str
    missing: list[str]


def document(heading: str, above: Iterable[Any], sections: Sequence[Section], source: str) -> str:
    """A whole page.

    Args:
        heading: the title of the window.
        above: what stands before the contents.
        sections: at least one.
        source: what the page was made from, as its last line tells.
    """
    style = Markup(files("halfmask.report").joinpath("style.css").read_text(encoding="utf-8"))
    head = tag(
        "head", tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"), tag("title", heading), tag("style", style),
    )  # fmt: skip
    contents = tag("nav", tag("ul", [tag("li", tag("a", said, href=f"#{key}")) for key, said, _ in sections]),
                   aria_label="Contents")  # fmt: skip
    body = tag(
        "body",
        tag("a", "To the figures", href=f"#{sections[0][0]}", class_="skip"),
        tag("header", list(above), contents),
        tag("main", [tag("section", tag("h2", told, id=key), part, aria_labelledby=key)
                     for key, told, part in sections]),
        tag("footer", tag("p", f"Made by halfmask {__version__} on {time.strftime('%Y-%m-%d %H:%M')} from "
            f"{source}. For research; not for diagnosis.")),
    )  # fmt: skip
    return "<!DOCTYPE html>\n" + tag("html", head, body, lang="en") + "\n"


def scrolled(caption: str, *content: Any) -> Markup:
    """A wide table in a box of its own that scrolls, by keys too."""
    return tag("div", *content, class_="scroll", tabindex=0, role="region", aria_label=caption)


def rows_head(text: str, columns: int) -> Markup:
    """What heads a group of rows; it stays in sight where the table scrolls."""
    return tag("th", tag("span", text), scope="rowgroup", colspan=columns)


def folded(summary: str, *content: Any) -> Markup:
    """What unfolds when asked for."""
    return tag("details", tag("summary", summary), *content)
