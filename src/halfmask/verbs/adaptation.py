"""What `predict` is told of domains and of test-time adaptation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from halfmask.verbs.arguments import Doc, in_range, require

if TYPE_CHECKING:
    from halfmask.data.index import Case
    from halfmask.inference.test_time import Adaptation

Domain = Annotated[
    str | None, Doc("The scanner or site of images whose data set names none, of those the run was trained on.")
]
TestTime = Annotated[
    Literal["statistics", "entropy"] | None,
    Doc("Adapt to each scan first: batch norm's statistics, or also scale and shift of all norms, by entropy (Tent)."),
]
Steps = Annotated[int | None, Doc("Of --test-time entropy, for each scan; 10 unless given.")]
Rate = Annotated[float | None, Doc("Of --test-time entropy, with Adam; 0.001 unless given.")]


def adaptation_of(
    kind: Literal["statistics", "entropy"] | None, steps: int | None, rate: float | None
) -> Adaptation | None:
    """What was asked for, if anything."""
    from halfmask.inference.test_time import Adaptation

    given: dict[str, Any] = {name: value for name, value in (("steps", steps), ("rate", rate)) if value is not None}
    options = " and ".join(f"--test-time-{name}" for name in given)
    require(
        (kind == "entropy" or not given, f"give --test-time entropy too, or leave out {options}"),
        *in_range(test_time_steps=steps, test_time_rate=rate),
    )
    return None if kind is None else Adaptation(kind, **given)


def with_domain(cases: Sequence[Case], domain: str | None, sides: Mapping[str, Sequence[str]], run: Path) -> list[Case]:
    """Cases whose data set names no domain have the one that was given, if any.

    Args:
        sides: the domains that the run was trained on.

    Raises:
        ValueError: it was not trained on that one.
    """
    from halfmask.config import nearest

    if domain is None:
        return list(cases)
    known = [name for names in sides.values() for name in names]
    if not known:
        raise ValueError(f"{run} was trained without --source or --target and knows no domains; leave out --domain")
    if domain not in known:
        raise ValueError(f"{run} knows no domain {domain!r}; {nearest(domain, known)}")
    return [replace(case, domain=domain) if case.domain is None else case for case in cases]


def noted(domain: str | None, adaptation: Adaptation | None) -> dict[str, Any]:
    """For prediction.json, by the options' names; nothing of what was not given."""
    found: dict[str, Any] = {} if domain is None else {"domain": domain}
    if adaptation is not None:
        found["test_time"] = adaptation.kind
    if adaptation is not None and adaptation.kind == "entropy":
        found |= {"test_time_steps": adaptation.steps, "test_time_rate": adaptation.rate}
    return found
