"""One file over HTTP: resumed where it broke off, tried again, verified."""

from __future__ import annotations

import contextlib
import email.message
import hashlib
import http.client
import json
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from halfmask import __version__
from halfmask.data.atomic import write_text
from halfmask.progress import Progress, say

CHUNK = 1 << 20
TRIES = 5
"""Without a byte between them."""
TIMEOUT = 60
"""Seconds without an answer or a byte."""
SPARE = 100_000_000
"""Bytes that are left free on the disk."""


class Changed(Exception):
    """The file at the address is not the one that a part was taken of."""


_BROKEN = (urllib.error.URLError, ssl.SSLError, ConnectionError, TimeoutError, http.client.HTTPException)
_LATER = {408, 425, 429, 500, 502, 503, 504}
"""Answers of a server that may be another in a moment."""


def fetch(url: str, path: Path, *, pause: float = 1.0) -> None:
    """Download to ``path``; what a stopped download left beside it (NAME.part) is gone on with.

    A part is gone on with only if the server says that the file is the same (ETag, date, size), else from its start.

    Args:
        pause: seconds before the second try; doubled each time.

    Raises:
        OSError: the server refuses, or answers no more.
    """
    part, notes = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.part.json")
    tries = 0
    while not path.exists():
        before = _size(part)
        try:
            if _go_on(url, part, notes):
                part.replace(path)
                notes.unlink(missing_ok=True)
                return
            reason = "the connection broke off"
        except Changed:
            part.unlink(missing_ok=True)
            reason = "another file lies there now, so it is begun anew"
        except urllib.error.HTTPError as e:
            if e.code not in _LATER:
                raise OSError(f"{url} cannot be downloaded: the server answers {e.code} {e.reason}") from e
            reason = f"the server answers {e.code} {e.reason}"
        except _BROKEN as e:
            reason = str(getattr(e, "reason", e)) or type(e).__name__
        tries = 1 if _size(part) > before else tries + 1
        if tries >= TRIES:
            raise OSError(
                f"{url} cannot be downloaded: {reason}, {TRIES} times without a byte; "
                f"{_size(part):,} bytes are kept and gone on with when the command is given again"
            )
        say(f"{path.name}: {reason}")
        time.sleep(pause * 2 ** (tries - 1))


def _go_on(url: str, part: Path, notes: Path) -> bool:
    """Ask for what is missing and write it; whether the file is then whole."""
    known = _noted(notes, url) if part.exists() else None
    if known is None:
        part.unlink(missing_ok=True)
    have = _size(part)
    headers = {"User-Agent": f"halfmask/{__version__}", "Accept-Encoding": "identity"}
    if have and known is not None:
        headers["Range"] = f"bytes={have}-"
        if validator := known["etag"] or known["modified"]:
            headers["If-Range"] = validator
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as e:
        if e.code != 416 or known is None:
            raise
        if have == known["size"]:
            return True
        raise Changed from e  # the part is longer than the file
    with response:
        told = _told(url, response.headers, partial=response.status == 206)
        if response.status == 206:
            start = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
            if start is None or int(start[1]) != have or told != known:
                raise Changed
        else:
            have = 0
        _check_space(part, have, told["size"])
        write_text(notes, json.dumps(told))
        with open(part, "ab" if have else "wb") as file, _progress(part, have, told["size"]) as progress:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                have += len(chunk)
                while progress is not None and progress.done < have // 1_000_000:
                    progress.advance()
    return told["size"] is None or have == told["size"]


def _told(url: str, headers: email.message.Message, *, partial: bool) -> dict[str, Any]:
    """What a server says of a file, by which to know it again; a weak ETag does not tell its bytes."""
    etag = headers.get("ETag", "")
    whole = re.search(r"/(\d+)$", headers.get("Content-Range", "")) if partial else None
    length = whole[1] if whole else headers.get("Content-Length")
    return {
        "url": url,
        "etag": "" if etag.startswith("W/") else etag,
        "modified": headers.get("Last-Modified", ""),
        "size": int(length) if length else None,
    }


def _noted(notes: Path, url: str) -> dict[str, Any] | None:
    with contextlib.suppress(OSError, ValueError, TypeError):
        known = json.loads(notes.read_text())
        if known["url"] == url and {"etag", "modified", "size"} <= set(known):
            return known
    return None


def _progress(part: Path, have: int, size: int | None) -> contextlib.AbstractContextManager[Progress | None]:
    """Counts megabytes, so that its rate is in MB/s."""
    if size is None:
        return contextlib.nullcontext()
    return Progress(f"{part.stem} (MB)", max(size // 1_000_000, 1), done=have // 1_000_000)


def _check_space(part: Path, have: int, size: int | None) -> None:
    check_space(part.parent, (size or have) - have)


def check_space(folder: Path, needed: int) -> None:
    """So many bytes are free there, and `SPARE` beside them.

    Raises:
        OSError: they are not.
    """
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE:
        raise OSError(
            f"{needed / 1e9:.2f} GB are needed in {folder} and {free / 1e9:.2f} GB are free; make room or give another "
            "--out"
        )


def digests(path: Path) -> dict[str, str]:
    """MD5 and SHA-256 of a file, in one reading."""
    found = {"md5": hashlib.md5(usedforsecurity=False), "sha256": hashlib.sha256()}
    for chunk in _chunks(path):
        for digest in found.values():
            digest.update(chunk)
    return {name: digest.hexdigest() for name, digest in found.items()}


def _chunks(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
