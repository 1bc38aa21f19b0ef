"""Study files as plain data: YAML whose names are text, each given once, and whose 1e-4 is a number."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

TEXT, MERGE, FLOAT = (f"tag:yaml.org,2002:{name}" for name in ("str", "merge", "float"))


class _Loader(yaml.SafeLoader):
    """YAML 1.1 with what makes it err in a study file put right.

    Names are the text that is written, so an arm may be called 7 or 2020-01-01, and the setting ``on`` is no truth.
    Of a name given twice YAML would silently take the last.
    """

    def __init__(self, content: str):
        super().__init__(content)
        self.faults: list[str] = []

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self.faults.append(f"line {line}: a key is a name, got a list or a mapping")
            elif key.tag != MERGE:
                key.tag = TEXT
                if key.value in lines:
                    self.faults.append(
                        f"line {line}: the key {key.value!r} is given twice, in line {lines[key.value]} before"
                    )
                lines[key.value] = line
        return node


_Loader.add_implicit_resolver(FLOAT, re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$", re.ASCII), list("-+0123456789"))


def read_plain(file: Path) -> dict[str, Any]:
    """The content of a study file.

    Raises:
        ValueError: it cannot be read, is no YAML, or names something twice.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as e:
        raise ValueError(f"{file} is no text in UTF-8; save it as that ({e})") from e
    except OSError as e:
        raise ValueError(f"the study file {file} cannot be read: {e.strerror}") from e
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        faults = loader.faults
        content = loader.construct_document(node) if node and not faults else None
        if _holds_itself(content, ()):
            faults = ["an alias (*name) stands within what it repeats; write out what is meant"]
    except yaml.YAMLError as e:
        raise ValueError(f"{file} is no YAML: {_reason(e)}") from e
    except RecursionError as e:
        raise ValueError(f"{file} nests deeper than any study does") from e
    if faults:
        raise ValueError("\n".join(f"{file}: {fault}" for fault in faults))
    if not isinstance(content, dict):
        got = "an empty file" if content is None else "a list" if isinstance(content, list) else repr(content)
        raise ValueError(f"{file}: expected keys such as name, methods and labels, got {got}")
    return content


def _reason(error: yaml.YAMLError) -> str:
    """What YAML says, with the line."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return str(error)
    mark = error.problem_mark or error.context_mark
    said = ", ".join(filter(None, (error.context, error.problem)))
    return f"line {mark.line + 1}: {said}\n{mark.get_snippet()}" if mark else said


def _holds_itself(content: Any, around: tuple[int, ...]) -> bool:
    if not isinstance(content, dict | list):
        return False
    inner = content.values() if isinstance(content, dict) else content
    return id(content) in around or any(_holds_itself(value, (*around, id(content))) for value in inner)
