"""What is told of networks elsewhere, and of weights that were brought over from them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from torch import Tensor

Naming = Callable[[str], tuple[str, ...]]
"""From the name of a weight there to its names here: mostly one, none if it has no place."""


@dataclass(frozen=True)
class Weights:
    """Weights of a network, under our names.

    Attributes:
        title: what network they are of, to be read after "the weights of".
        network: the kind of the networks that take them, see `factory.kind_of`; None if nothing but the names is known.
        state: tensors by our names.
        origin: names there by ours; what is not told has the same.
        unused: names there of what has no place in any network here.
        needs: settings without which the network computes something else with them.
    """

    title: str
    network: str | None
    state: Mapping[str, Tensor]
    origin: Mapping[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    needs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """A kind of network elsewhere, known by the names of its weights.

    Attributes:
        title, network, needs: see `Weights`.
        mark: pattern of a name that only such networks have.
        naming: given all names there, how each is called here.
        idle: pattern of names of duplicates and constants, which are no weights.
    """

    title: str
    network: str
    mark: str
    naming: Callable[[Collection[str]], Naming]
    idle: str = r"(?!)"
    needs: Mapping[str, str] = field(default_factory=dict)

    def knows(self, names: Collection[str]) -> bool:
        """Whether a network with weights of these names is of this kind."""
        return any(re.fullmatch(self.mark, name) for name in names)

    def weights(self, state: Mapping[str, Tensor]) -> Weights:
        """The tensors under our names."""
        ours = self.naming(state)
        places = {name: ours(name) for name in state if not re.search(self.idle, name)}
        origin = {place: name for name, given in places.items() for place in given}
        found = {place: state[name] for place, name in origin.items()}
        unused = tuple(name for name, given in places.items() if not given)
        return Weights(self.title, self.network, found, origin, unused, self.needs)


def replaced(name: str, table: Mapping[str, str]) -> tuple[str, ...]:
    """The name with its beginning exchanged after the first pattern that fits; nothing if none does."""
    for pattern, ours in table.items():
        if match := re.match(pattern, name):
            return (match.expand(ours) + name[match.end() :],)
    return ()
