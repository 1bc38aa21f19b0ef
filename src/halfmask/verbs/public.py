"""Public data sets: what there is, and getting one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from halfmask.verbs.arguments import Doc, require

if TYPE_CHECKING:
    from halfmask.data.download.table import DataSet


def list_data(
    name: Annotated[str | None, Doc("One of them, to tell all of.")] = None,
    /,
) -> None:
    """List public data sets that `get` downloads, with size and license, and pages of others."""
    from halfmask.data.download.table import find, read_table

    if name is not None:
        return _tell(find(name))
    sets, pages = read_table()
    width = max(map(len, [*sets, *pages]))
    for each in sets.values():
        size = ("> " if each.megabytes and not each.sized else "") + _size(each.megabytes)
        print(f"{each.name:<{width}}  {size:>8}  {each.about}  [{each.license}]")
    print("\nNot offered here, but on their pages:")
    for page in pages.values():
        print(f"{page.name:<{width}}  {page.about}: {page.page}")
    return None


def get_data(
    name: Annotated[str, Doc("As `halfmask data list` gives it.")],
    /,
    *,
    out: Annotated[Path, Doc("The folder to make the data set in.")] = Path("data"),
    accept: Annotated[bool, Doc("Accept the terms, which are shown before anything is downloaded.")] = False,
    mirror: Annotated[str | None, Doc("Another address under which the same files lie.")] = None,
) -> Path:
    """Download a public data set, verify it and lay it out for `check`; goes on where it was stopped."""
    from halfmask.data.download.get import get, there
    from halfmask.data.download.table import find

    require(
        (mirror is None or mirror.startswith(("http://", "https://")), f"--mirror begins with http, got {mirror!r}")
    )
    data_set = find(name)
    if mirror is not None:
        data_set = data_set.from_mirror(mirror)
    if there(data_set, out):
        print(f"{out / data_set.name} is there already; remove it to download it anew")
    else:
        _tell(data_set)
        if not accept and not _agreed():
            raise ValueError("read the terms above, and give --accept if you keep to them; nothing was downloaded")
        get(data_set, out)
        print(f"{data_set.name} is in {out / data_set.name}, what came and from where in {data_set.name}.source.yaml")
    print(f"next: halfmask check {out / data_set.name}")
    return out / data_set.name


def _tell(data_set: DataSet) -> None:
    print(f"{data_set.name}: {data_set.about}")
    print(f"license: {data_set.license}; the terms stand on {data_set.page}")
    print(f"cite: {data_set.cite}")
    print(f"known from: {data_set.source}")
    for file in data_set.files:
        print(
            f"  {file.url} ({_size(file.megabytes)}, {file.checksum if file.checksum != 'unknown' else 'no checksum'})"
        )


def _agreed() -> bool:
    """Asked for on a terminal."""
    return sys.stdin.isatty() and input("Do you keep to these terms? [y/N] ").strip().lower() in ("y", "yes")


def _size(megabytes: int) -> str:
    if megabytes == 0:
        return "size ?"
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes} MB"
