"""A data set, downloaded, verified, unpacked and laid out: there whole, or not at all."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import yaml
from filelock import FileLock, Timeout

from halfmask.data.atomic import atomic, write_text
from halfmask.data.download.arrange import LAYOUTS
from halfmask.data.download.fetch import check_space, digests, fetch
from halfmask.data.download.table import UNKNOWN, DataSet, Remote
from halfmask.data.download.unpack import is_archive, unpack
from halfmask.progress import say


def get(data_set: DataSet, out: Path, *, pause: float = 1.0) -> Path:
    """Download into ``out``/NAME, and beside it what came, NAME.source.yaml; nothing if it is there.

    Until then the files lie in ``out``/.download-NAME, from which a stopped download goes on.

    Args:
        pause: before the second try of a file; see `fetch`.

    Raises:
        ValueError: a file is not what its checksum says, an archive cannot be unpacked safely, or another process
            is at it.
        OSError: a file cannot be downloaded, or the disk is too small.
    """
    target, coming = out / data_set.name, out / f".download-{data_set.name}"
    if there(data_set, out):
        return target
    out.mkdir(parents=True, exist_ok=True)
    with _alone(out / f".download-{data_set.name}.lock"):
        if not there(data_set, out):
            _get(data_set, out, target, coming, pause)
    return target


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Two that write to one file would each spoil the other's."""
    held = FileLock(lock, timeout=0)
    try:
        held.acquire()
    except Timeout:
        raise ValueError(f"another process downloads it into {lock.parent} already; wait until it has ended, or give "
                         "another --out") from None  # fmt: skip
    try:
        yield
    finally:
        held.release()
        lock.unlink(missing_ok=True)


def _get(data_set: DataSet, out: Path, target: Path, coming: Path, pause: float) -> None:
    coming.mkdir(parents=True, exist_ok=True)
    sizes = sum(file.stat().st_size for file in coming.iterdir())
    check_space(out, max(2 * data_set.megabytes * 1_000_000 - sizes, 0))  # the archives and what they hold
    receipt = out / f"{data_set.name}.source.yaml"
    came = _came(receipt)
    for remote in data_set.files:
        fetch(remote.url, coming / remote.name, pause=pause)
        came[remote.name] = _verified(remote, coming / remote.name, came.get(remote.name), receipt)
    about = {key: getattr(data_set, key) for key in ("name", "license", "page", "cite", "source")}
    write_text(receipt, yaml.safe_dump({**about, "files": came}, sort_keys=False, allow_unicode=True, width=100))
    with atomic(target) as partial:
        for remote in data_set.files:
            _lay_down(coming / remote.name, partial / remote.part)
        try:
            LAYOUTS[data_set.layout](partial, data_set)
        except ValueError as e:
            raise ValueError(f"{data_set.name}: {e}; the downloaded files are in {coming}") from e
    shutil.rmtree(coming)


def there(data_set: DataSet, out: Path) -> bool:
    """Whether the folder is there with anything in it, as it is only whole."""
    target = out / data_set.name
    return target.is_dir() and any(target.iterdir())


def _came(receipt: Path) -> dict[str, dict]:
    """What came the last time, by file."""
    if not receipt.is_file():
        return {}
    return dict(yaml.safe_load(receipt.read_text(encoding="utf-8")).get("files", {}))


def _verified(remote: Remote, file: Path, before: dict | None, receipt: Path) -> dict[str, str | int]:
    """Address, size and SHA-256 of what came; a file that is not as it should be is removed."""
    found, size = digests(file), file.stat().st_size
    kind, _, expected = remote.checksum.partition(":")
    if remote.checksum == UNKNOWN:
        say(f"{remote.name}: nobody published a checksum that was found; its SHA-256 is kept in {receipt}")
        kind, expected = "sha256", before["sha256"] if before else found["sha256"]
    if found[kind] != expected:
        file.unlink()
        whose = f"as the last time ({receipt}; remove it to take the new file)" if remote.checksum == UNKNOWN else ""
        raise ValueError(
            f"{remote.url}: expected {kind} {expected} {whose}".rstrip() + f", got {found[kind]} ({size:,} bytes); the "
            "file is removed. Give the command again; if the same comes, the address holds another file"
        )
    return {"url": remote.url, "bytes": size, "sha256": found["sha256"]}


def _lay_down(file: Path, folder: Path) -> None:
    """What an archive holds, or the file itself."""
    if is_archive(file):
        unpack(file, folder)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, folder / file.name)
