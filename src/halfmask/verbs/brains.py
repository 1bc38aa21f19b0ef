"""From raw scans of heads to brains that lie alike."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from halfmask.verbs.arguments import (
    Channels,
    Classes,
    Doc,
    Domain,
    Group,
    Label,
    Workers,
    expression,
    names,
    worker_count,
)
from halfmask.verbs.arguments import (
    channels as named_channels,
)


def brain(
    data: Annotated[Path, Doc("The data set: BIDS, DICOM, a folder or a table; each image may be on its own grid.")],
    /,
    *,
    out: Annotated[Path, Doc("Where the brains, their masks and transforms, and quality.html go: a data set.")],
    channels: Channels = None,
    label: Label = None,
    group: Group = None,
    domain: Domain = None,
    classes: Classes = None,
    align: Annotated[bool, Doc("Register each modality to the first, a T1, rigidly.")] = True,
    skull: Annotated[
        Literal["deepbet", "hd-bet", "synthstrip", "none"],
        Doc("What finds the brain in the first modality; none keeps the skull, or is for stripped heads."),
    ] = "deepbet",
    bias: Annotated[bool, Doc("Correct each modality's bias field by N4.")] = True,
    reference: Annotated[
        str,
        Doc("What the first modality is registered to: template (ICBM 152), a case, a stripped T1's file, or none."),
    ] = "template",
    spacing: Annotated[float, Doc("Of the result, mm, the same along each axis.")] = 0.9,
    normalization: Annotated[
        Literal["percentile", "nyul", "none"],
        Doc("Of the brain's brightness to [0, 1]: by each scan's own percentiles, also by the cohort's landmarks."),
    ] = "percentile",
    like: Annotated[
        Path | None, Doc("Another folder of brains: take its settings, reference and landmarks, for new subjects.")
    ] = None,
    workers: Workers = None,
) -> Path:
    """Register, strip skulls, correct bias and normalize raw scans of heads; goes on where it was stopped."""
    from halfmask.brain.cohort import bring_all, settings_of
    from halfmask.brain.settings import Settings, settings_from
    from halfmask.data.layouts import read_index
    from halfmask.data.parallel import workers as pool

    given = {
        "align": align, "skull": skull, "bias": bias, "reference": reference, "spacing": spacing,
        "normalization": normalization,
    }  # fmt: skip
    settings = settings_from(given, where="brain")
    if like is not None:
        if settings != Settings():
            raise ValueError(
                "--like takes all settings from the other folder; leave out those that are given beside it"
            )
        settings = settings_of(like)
    index = read_index(
        data, group=group, domain=domain, classes=names(classes), channels=named_channels(channels),
        label=expression(label, "label"),
    )  # fmt: skip
    with pool(worker_count(workers)) as executor:
        bring_all(index, out, settings, executor=executor)
    print(f"{len(index.cases)} brains in {out}; look at {out / 'quality.html'}, then: halfmask check {out}")
    return out
