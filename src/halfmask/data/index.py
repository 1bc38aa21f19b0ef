"""Which cases a data set has, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Fault:
    """Something wrong with a data set: where, what, and what to do about it."""

    severity: Literal["error", "warning"]
    case: str
    file: str
    what: str
    remedy: str

    def __str__(self) -> str:
        place = ": ".join(p for p in (f"case {self.case!r}" if self.case else "", self.file) if p)
        return f"{place}: {self.what}; {self.remedy}"


@dataclass(frozen=True)
class Case:
    """One subject's image, its label if it has one, and what it belongs to.

    Attributes:
        images: one file a channel, or one file that holds all channels.
        label: None for an unlabeled case; the image's own file where that holds both (h5).
        target: what the whole image shows, where that is to be learned: the number of its class, or for each of
            several that may be there together 1, 0, or `IGNORE` if nobody knows; None for an unlabeled case.
        mask: of a case with a target, where what it shows lies; it is measured with and never learned from.
        group: cases of one group (patient, site) never straddle a split; None is a group of its own.
        split: "test" or "train" where the data set says so.
        domain: scanner or site, where the data set says so.
    """

    name: str
    images: tuple[Path, ...]
    label: Path | None = None
    group: str | None = None
    split: str | None = None
    domain: str | None = None
    target: tuple[int, ...] | None = None
    mask: Path | None = None

    @property
    def labeled(self) -> bool:
        return self.label is not None or self.target is not None


@dataclass(frozen=True)
class Index:
    """A data set: its cases and what its description says of them.

    Attributes:
        channels: their names; empty if not described.
        labels: class name to the value in the label files, background first; empty if not described.
        regions: names for unions of classes, as values in the files.
        ignore: the value in the label files of voxels that nobody annotated.
        classes: of whole images, where these are to be told; empty for a data set to segment.
        columns: of the table that they come from; of several each is a class that an image may have beside others.
        ordered: the cases stand in the order in which a public benchmark gives them their labels.
        faults: what was wrong with the layout; `check` adds what is wrong with the files.
    """

    root: Path
    cases: tuple[Case, ...]
    channels: tuple[str, ...] = ()
    labels: dict[str, int] = field(default_factory=dict)
    regions: dict[str, tuple[int, ...]] = field(default_factory=dict)
    ignore: int | None = None
    classes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    ordered: bool = False
    faults: tuple[Fault, ...] = ()

    def __getitem__(self, name: str) -> Case:
        return self._by_name[name]

    @property
    def _by_name(self) -> dict[str, Case]:
        if "_cases" not in self.__dict__:
            self.__dict__["_cases"] = {case.name: case for case in self.cases}
        return self.__dict__["_cases"]
