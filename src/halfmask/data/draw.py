"""How splits are drawn: by group, by domain where asked, or as a public benchmark's lists say."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from halfmask.data.index import Index
from halfmask.data.split import LISTED, Splits, domains_of

DRAWS = 10
FOLDS = 5
VALIDATED = ("val", "validation")

Members = Mapping[str, Sequence[str]]
"""Group to its labeled cases outside the data set's own test part."""
Shown = tuple[tuple[int, ...], ...]
"""All that the cases of a group show, each once."""


def draw_splits(
    index: Index, *, test: float = 0.2, folds: int | None = None, seed: int = 0, stratify: bool = False
) -> Splits:
    """Draw the splits of a data set by group.

    The data set's own test part is kept where it has labels, else ``test`` of the labeled groups are
    drawn (the data set's unlabeled test cases stay out all the same). Its own validation part is the only fold.

    Where the data set has an order (`Index.ordered`), every draw of labels is that order, as the public benchmarks
    have it. Nothing may then be taken from its beginning: without a validation part there is one empty fold, and
    the last step counts; what has to be drawn all the same comes from the end.

    Without a single label there is nothing to draw: one empty fold, and no case in any order.

    Where whole images have classes, every part holds them in proportion, and so does every budget.

    Args:
        folds: 5 unless given; as many as there are groups if they are fewer. A single one holds out nothing.
        stratify: the test part and each fold hold as nearly as possible equally many groups of each domain.

    Raises:
        ValueError: nothing is left to train on, or there are no domains to stratify by.
    """
    rng = np.random.default_rng(seed)
    domains = _domains(index)
    if stratify and not domains:
        raise ValueError(
            "--stratify takes equally many groups from each domain (site, scanner), and no case has one; name it in "
            "the column domain of a CSV table, or leave --stratify out"
        )
    groups = {c.name: c.group for c in index.cases if c.group is not None}
    shown = _shown(index)
    shuffled = lambda some: in_proportion([str(g) for g in rng.permutation(some)], shown)
    members = _members(index, groups)
    tested = [c.name for c in index.cases if c.split == "test"]
    drawn: list[str] = []
    if not any(index[name].labeled for name in tested) and test > 0:
        own = [g for g, names in members.items() if any(index[n].split in VALIDATED for n in names)]
        free = [g for g in (members if index.ordered else sorted(members)) if g not in own]
        queue = free[::-1] if index.ordered else shuffled(free)
        drawn = _take(by_turns(queue, domains) if stratify else queue, members, test)
        tested += [n for n in _cases_of(index, groups, drawn) if n not in tested]
    rest = [g for g in (members if index.ordered else sorted(members)) if g not in drawn]
    if not any(case.labeled for case in index.cases):  # to be learned from by pre-training or clustering alone
        drawn_by = {"test": test, "seed": seed, "folds": folds or 1, "stratify": stratify}
        return Splits(tuple(tested), ((),), ((),) * DRAWS, groups, drawn_by, domains_of(index.cases))
    if not any(index[n].split not in VALIDATED for g in rest for n in members[g]):
        raise ValueError(
            f"{sum(map(len, members.values()))} labeled cases in {len(members)} groups leave nothing to train on "
            f"beside a test part of {test:g}; lower --test"
        )
    count = folds or (1 if index.ordered else FOLDS)
    if own := [n for g in rest for n in members[g] if index[n].split in VALIDATED]:
        parts = [own]
    elif len(rest) == 1 or count == 1:
        parts = [[]]  # nothing to validate on
    elif index.ordered:
        parts = [[n for g in part for n in members[g]] for part in _runs_from_the_end(rest, count)]
    else:
        dealt = _dealt(shuffled(rest), count, domains if stratify else {}, shown)
        parts = [[n for g in sorted(part) for n in members[g]] for part in dealt]
    by = {"test": test, "seed": seed, "folds": count, "stratify": stratify, **(LISTED if index.ordered else {})}
    orders = _orders(rest, members, shown, seed, listed=index.ordered)
    return Splits(tuple(tested), tuple(map(tuple, parts)), orders, groups, by, domains_of(index.cases))


def by_turns(queue: Sequence[str], domains: Mapping[str, str]) -> list[str]:
    """The groups of a queue, reordered so that the domains take turns; those of one domain keep their order."""
    seen: dict[str, int] = defaultdict(int)
    turns = {}
    for group in queue:
        domain = domains.get(group, "")
        turns[group] = seen[domain]
        seen[domain] += 1
    return sorted(queue, key=turns.__getitem__)


def in_proportion(queue: Sequence[str], shown: Mapping[str, Shown]) -> list[str]:
    """The groups of a queue, reordered so that its beginnings hold what is ``shown`` in proportion; those that show the
    same keep their order.

    The n of a kind lie 1 / n apart, and begin where the mean of their places in the queue says: a single one keeps its
    place, so that what nothing else shows does not gather in the middle.
    """
    places: dict[Shown | None, list[float]] = defaultdict(list)
    for number, group in enumerate(queue):
        places[shown.get(group)].append((number + 0.5) / len(queue))
    begins = {kind: sum(found) / len(found) for kind, found in places.items()}
    seen: Counter = Counter()
    place = {}
    for group in queue:
        kind = shown.get(group)
        place[group] = (seen[kind] + begins[kind]) / len(places[kind])
        seen[kind] += 1
    return sorted(queue, key=place.__getitem__)


def _shown(index: Index) -> dict[str, Shown]:
    found = defaultdict(set)
    for case in index.cases:
        if case.target is not None:
            found[case.group or case.name].add(case.target)
    return {group: tuple(sorted(targets)) for group, targets in found.items()}


def _domains(index: Index) -> dict[str, str]:
    """Group to domain; of several the first."""
    found: dict[str, str] = {}
    for case in index.cases:
        if case.domain is not None:
            found.setdefault(case.group or case.name, case.domain)
    return found


def _members(index: Index, groups: Mapping[str, str]) -> dict[str, list[str]]:
    """In the order of the data set."""
    members = defaultdict(list)
    for case in index.cases:
        if case.labeled and case.split != "test":
            members[groups.get(case.name, case.name)].append(case.name)
    return members


def _cases_of(index: Index, groups: Mapping[str, str], wanted: Iterable[str]) -> list[str]:
    """All cases of some groups, labeled or not."""
    wanted = set(wanted)
    return [c.name for c in index.cases if groups.get(c.name, c.name) in wanted]


def _take(queue: Sequence[str], members: Members, share: float) -> list[str]:
    """Groups from the head of a queue until they hold about ``share`` of its cases; at least one, never all."""
    goal = share * sum(len(members[g]) for g in queue)
    taken: list[str] = []
    count = 0
    for group in queue[: max(len(queue) - 1, 0)]:
        if taken and count + len(members[group]) / 2 > goal:
            break
        taken.append(group)
        count += len(members[group])
    return taken


def _dealt(queue: Sequence[str], count: int, domains: Mapping[str, str], shown: Mapping[str, Shown]) -> list[list[str]]:
    """Folds of equally many groups, of each domain and of what is ``shown`` too: they are dealt out kind by kind."""
    queue = sorted(queue, key=lambda group: (domains.get(group, ""), shown.get(group, ())))
    return [list(queue[i::count]) for i in range(min(count, len(queue)))]


def _runs_from_the_end(groups: Sequence[str], count: int) -> list[list[str]]:
    """Folds of neighbors, the first of which holds the last groups."""
    count = min(count, len(groups))
    edges = [round(i * len(groups) / count) for i in range(count + 1)]
    return [list(groups[a:b]) for a, b in itertools.pairwise(edges)][::-1]


def _orders(
    rest: Sequence[str], members: Members, shown: Mapping[str, Shown], seed: int, *, listed: bool
) -> tuple[tuple[str, ...], ...]:
    """For each draw the cases group by group; one order for all draws if it is the data set's own."""
    if listed:
        return (tuple(n for g in rest for n in members[g]),)
    permuted = ([str(g) for g in np.random.default_rng((seed, draw)).permutation(rest)] for draw in range(DRAWS))
    return tuple(tuple(n for g in in_proportion(order, shown) for n in members[g]) for order in permuted)
