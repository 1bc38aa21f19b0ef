"""Writes the pages on the methods, one each, from their docstrings and code; MkDocs calls it."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from mkdocs.structure.files import File, Files

from halfmask import methods


def on_config(config: Any) -> Any:
    """List the pages beside the one on how to choose."""
    pages = ["methods/index.md", *(f"methods/{name}.md" for name in sorted(methods.names()))]
    place = next(n for n, entry in enumerate(config.nav) if "choosing-a-method.md" in entry.values())
    config.nav.insert(place + 1, {"All methods": pages})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add ``methods/index.md`` and ``methods/NAME.md``."""
    found = [methods.about(name) for name in sorted(methods.names())]
    pages = {"index": _overview(found)} | {about.name: _page(about) for about in found}
    for name, text in pages.items():
        files.append(File.generated(config, f"methods/{name}.md", content=text))
    return files


def _overview(found: list[methods.About]) -> str:
    rows = [f"| [{a.name}]({a.name}.md) | {_after_name(a.line)} | {a.source} |" for a in found]
    head = ["# All methods", "", "| method | what it does | source |", "|---|---|---|"]
    return "\n".join([*head, *rows, ""])


def _page(about: methods.About) -> str:
    kind = methods.find(about.name)
    code = inspect.getsource(importlib.import_module(kind.__module__))
    return f"""\
# {about.name}

{about.line}

::: {kind.__module__}.{kind.__name__}
    options:
      members: []
      show_bases: false
      show_root_heading: false
      show_root_toc_entry: false

## The whole of it

```python
{code.rstrip()}
```
"""


def _after_name(line: str) -> str:
    return line.partition(": ")[2] or line
