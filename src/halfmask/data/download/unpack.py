"""Archives, unpacked so that nothing lands outside their folder."""

from __future__ import annotations

import gzip
import lzma
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from halfmask.data.download.fetch import CHUNK, check_space

_BROKEN = (
    tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError,
    RuntimeError, NotImplementedError,
)  # fmt: skip
"""Among them what tarfile's "data" refuses, and zip archives with a password or of an unknown method."""


def is_archive(path: Path) -> bool:
    return path.name.endswith((".tar", ".tar.gz", ".tgz", ".zip"))


def unpack(path: Path, folder: Path) -> None:
    """Unpack a tar or zip archive into a folder.

    Raises:
        ValueError: it is broken, or a file or link of it would lie outside of the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if path.name.endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    if _leaves(name):
                        raise ValueError(f"{path} cannot be unpacked: {name!r} would lie outside of the folder")
                check_space(folder, sum(member.file_size for member in archive.infolist()))
                archive.extractall(folder)
        else:
            if not hasattr(tarfile, "data_filter"):
                raise ValueError("Python 3.11.4 or later is needed to unpack tar archives safely; update it")
            with tarfile.open(path) as archive:
                check_space(folder, sum(member.size for member in archive))
                archive.extractall(folder, filter="data")
                while archive.fileobj is not None and archive.fileobj.read(CHUNK):  # to gzip's own checksum, at the end
                    pass
    except _BROKEN as e:
        raise ValueError(f"{path} cannot be unpacked: {e}; remove it before you try again") from e


def _leaves(name: str) -> bool:
    """Whether a member's path is absolute or goes up, as any system reads it."""
    return any(
        kind(name).is_absolute() or kind(name).drive or ".." in kind(name).parts
        for kind in (PurePosixPath, PureWindowsPath)
    )
