"""Whose images these are, told by digests; names, numbers and birth dates never leave this file in clear."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

HIDDEN = "…"
"""What stands for a part of a patient's name in what is shown."""
_LONG = 5
_LETTERS = 0x2E80
"""Scripts of syllables and signs begin here."""
_UID = re.compile(r"\d[\d.]{19,}")
"""Of so many digits some are anybody's birth date."""
_DATES = [
    re.compile(f"(?={'[-_. ]?'.join(parts)})")  # wherever one begins, be it within another
    for parts in ((r"(\d{4})", r"(\d\d)", r"(\d\d)"), (r"(\d\d)", r"(\d\d)", r"(\d{4})"))
]

_PSEUDONYMS = {
    "anon", "anonym", "anonymous", "anonymized", "anonymised", "case", "none", "null", "patient", "phantom",
    "pseudonym", "research", "sub", "subj", "subject", "test", "unknown", "volunteer",
}  # fmt: skip


@dataclass(frozen=True)
class Patient:
    """One patient, as a file's header names them.

    Attributes:
        removed: the file says that it was de-identified, so the name is a pseudonym.
    """

    id: str = field(default="", repr=False)
    name: str = field(default="", repr=False)
    issuer: str = field(default="", repr=False)
    born: str = field(default="", repr=False)
    removed: bool = False

    @property
    def known(self) -> bool:
        return bool(self.id.strip() or _folded(self.name))

    @property
    def group(self) -> str:
        """ "patient-" and 8 hexadecimal digits. No encryption: whoever has a list of patients can find them again."""
        return f"patient-{digest(' '.join((self.id.strip(), _folded(self.name), self.issuer.strip())), 8)}"

    def is_numbered_in(self, text: str) -> bool:
        """Whether a text holds the patient's ID, which may be a pseudonym and may be a hospital's number."""
        own = self.id.strip().casefold()
        return not self.removed and len(own) > 3 and own in _UID.sub("", text).casefold()

    def hide(self, text: str) -> str:
        """The text without parts of the name, the birth date and the ID."""
        names, own = self.parts(), self.id.strip()
        short = set(self.parts(fewest=2))
        telling = lambda word: word in short or any(name in word for name in names)
        text = re.sub(r"[^\W\d_]+", lambda word: HIDDEN if telling(_plain(word[0])) else word[0], text)
        told = re.escape(own) if len(own) > 3 or self.removed else rf"(?<![^\W_]){re.escape(own)}(?![^\W_])"
        for pattern in (*self._dates(), *([told] if own else [])):
            text = re.sub(pattern, HIDDEN, text, flags=re.IGNORECASE)
        return text

    def _dates(self) -> list[str]:
        """Patterns of the birth date, the year first or last."""
        return ["[-_. ]?".join(order) for order in self.born_on()]

    def parts(self, *, fewest: int = 3) -> list[str]:
        """Of the name, in small letters, in their order, those that tell somebody.

        Args:
            fewest: letters of a part; two of a script of syllables are enough.
        """
        if self.removed or (self.name == self.id and re.search(r"\d", self.name)):  # a code, as public data sets have
            return []
        words = [w for name in (self.name, _written_out(self.name)) for w in re.split(r"[\W\d_]+", _plain(name))]
        return list(dict.fromkeys(word for word in words if _tells(word, fewest) and word not in _PSEUDONYMS))

    def born_on(self) -> list[tuple[str, str, str]]:
        """The birth date, the year first or last."""
        if self.removed or not re.fullmatch(r"\d{8}", self.born):
            return []
        year, month, day = self.born[:4], self.born[4:6], self.born[6:]
        return [(year, month, day), (day, month, year), (month, day, year)]


class Telling:
    """Finds names and birth dates of some patients in texts such as paths; quick, however many they are.

    A part of a name counts within a word from five letters on, and below that (Can, Ali) as a whole word, be it joined
    with another part of the same name: "scan" and "quality" tell nobody. One of two letters (Li) has to come with
    another part.
    """

    def __init__(self, patients: Iterable[Patient]):
        names: set[str] = set()
        self.words: set[str] = set()
        self.pairs: set[frozenset[str]] = set()
        self.dates: set[str] = set()
        for patient in patients:
            parts, every = patient.parts(), patient.parts(fewest=2)
            names |= {*parts, *map("".join, itertools.permutations(parts[:6], 2)), "".join(parts)} - {""}
            self.words |= set(map("".join, itertools.permutations(every[:6], 2)))
            self.pairs |= set(map(frozenset, itertools.combinations(every[:6], 2)))
            self.dates |= {"".join(order) for order in patient.born_on()}
        within = sorted(name for name in names if len(name) >= _LONG or ord(name[0]) > _LETTERS)
        self.words |= names
        self.within = re.compile("|".join(map(re.escape, within))) if within else None

    def is_in(self, text: str) -> bool:
        plain = _plain(text)
        if self.within is not None and self.within.search(plain):
            return True
        apart = _plain(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text))  # ZebulonQuixotl
        words = set(re.split(r"[\W\d_]+", apart))
        if not self.words.isdisjoint(words) or any(
            frozenset(p) in self.pairs for p in itertools.combinations(words, 2)
        ):
            return True
        return any("".join(found) in self.dates for date in _DATES for found in date.findall(_UID.sub("", plain)))


def digest(text: str, digits: int) -> str:
    return blake2b(text.encode(), digest_size=digits // 2).hexdigest()


def _tells(part: str, fewest: int) -> bool:
    """Whether part of a name is long enough to be known again."""
    return len(part) >= (2 if part and ord(part[0]) > _LETTERS else fewest)


def _plain(text: str) -> str:
    """Small letters without accents."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", "".join(c for c in letters if not unicodedata.combining(c)))


def _folded(name: str) -> str:
    return " ".join(re.split(r"[\W_]+", _plain(name))).strip()


def _written_out(name: str) -> str:
    for letter, spelled in (("ä", "ae"), ("ö", "oe"), ("ü", "ue"), ("ø", "oe"), ("å", "aa")):
        name = name.replace(letter, spelled).replace(letter.upper(), spelled)
    return name
