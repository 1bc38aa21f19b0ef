"""Regular expressions by which users choose among a data set's files, from text."""

from __future__ import annotations

import re


def named_patterns(text: str) -> dict[str, str]:
    """ "T1=mprage|t1w,FLAIR" by name; a name alone is its own expression.

    Raises:
        ValueError: it is not different names, or one is no regular expression.
    """
    pairs = [part.strip().partition("=") for part in text.split(",") if part.strip()]
    found = {name.strip(): pattern.strip() if equals else re.escape(name) for name, equals, pattern in pairs}
    if not found or not all(found) or not all(found.values()) or len(found) < len(pairs):
        raise ValueError(f"--channels is different names such as T1=mprage|t1w,FLAIR, got {text!r}")
    for name, pattern in found.items():
        checked(pattern, f"--channels: {pattern!r} of {name}")
    return found


def checked(pattern: str, what: str) -> str:
    """A regular expression.

    Args:
        what: it is called in the error.
    """
    try:
        re.compile(pattern)
    except re.error as e:
        raise ValueError(f"{what} is no regular expression: {e}") from e
    return pattern
