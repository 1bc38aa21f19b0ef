"""The table of public data sets: what they are, where their files lie, and on what terms."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from halfmask.config import nearest

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Remote:
    """A file to download.

    Attributes:
        checksum: "md5:…" or "sha256:…" as its source publishes it, or `UNKNOWN`.
        megabytes: about; 0 if not known.
        part: the split that it belongs to: train, val or test; "" for a file of all.
    """

    name: str
    url: str
    checksum: str
    megabytes: int = 0
    part: str = ""


@dataclass(frozen=True)
class DataSet:
    """A data set that can be downloaded.

    Attributes:
        layout: how its files become a data set; the name of a function in `arrange`.
        source: where its addresses and checksums were taken from.
        classes: of whole images, in the order of their numbers.
    """

    name: str
    about: str
    license: str
    page: str
    cite: str
    source: str
    layout: str
    files: tuple[Remote, ...]
    classes: tuple[str, ...] = ()

    @property
    def sized(self) -> bool:
        """Whether the size of every file is known."""
        return all(file.megabytes for file in self.files)

    @property
    def megabytes(self) -> int:
        """About; 0 if the size of no file is known."""
        return sum(file.megabytes for file in self.files)

    def from_mirror(self, base: str) -> DataSet:
        """The same files under another base address."""
        files = (Remote(**{**vars(f), "url": f"{base.rstrip('/')}/{f.name}"}) for f in self.files)
        return DataSet(**{**vars(self), "files": tuple(files)})


@dataclass(frozen=True)
class Page:
    """A data set that has to be asked for on its page."""

    name: str
    about: str
    page: str


def read_table() -> tuple[dict[str, DataSet], dict[str, Page]]:
    """The data sets to download, and those to ask for, by name."""
    table = yaml.safe_load(Path(__file__).with_name("sets.yaml").read_text(encoding="utf-8"))
    sets = {name: _data_set(name, entry, table["families"]) for name, entry in table["sets"].items()}
    return sets, {name: Page(name, **entry) for name, entry in table["pages"].items()}


def find(name: str) -> DataSet:
    """The data set of that name, whatever its case; the Decathlon's tasks by their first part too (Task04).

    Raises:
        ValueError: there is none, or it has to be asked for on its page.
    """
    sets, pages = read_table()
    wanted = name.casefold()
    found = [s for s in sets.values() if wanted in (s.name.casefold(), s.name.casefold().partition("_")[0])]
    if found:
        return found[0]
    if asked := [p for p in pages.values() if p.name.casefold() == wanted]:
        raise ValueError(f"{asked[0].name} is not offered here; its terms and its files are on {asked[0].page}")
    raise ValueError(f"no data set is called {name!r}; {nearest(name, [*sets, *pages])}")


def _data_set(name: str, entry: dict[str, Any], families: dict[str, Any]) -> DataSet:
    told = {**families.get(entry.get("family", ""), {}), **entry}
    files = tuple(Remote(url=f"{told['base']}/{file['name']}", **file) for file in told["files"])
    known = {field.name for field in fields(DataSet)}
    given = {key: value for key, value in told.items() if key in known}
    return DataSet(**{**given, "name": name, "files": files, "classes": tuple(told.get("classes", ()))})
