"""A plan to tell whole images apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from halfmask.data.appearance import flips, intensities, normalization
from halfmask.data.fingerprint import Fingerprint
from halfmask.data.index import Index
from halfmask.data.plan import Plan, plan_of
from halfmask.data.topology import topology
from halfmask.data.whole import patch_for

BATCHES = {2: 32, 3: 4}
"""Labeled images of a batch, by dims; as many unlabeled where a method learns from those."""
NETWORK = "resnet18"


def plan_whole(
    index: Index,
    fingerprints: Sequence[Fingerprint],
    labels: Mapping[str, int],
    channels: Sequence[str],
    orientation: str | None,
    shape: Sequence[float],
    spacing: Sequence[float],
    fields: Mapping[str, Any],
) -> Plan:
    """A plan to tell whole images apart, which are brought to the patch's size and keep their proportions."""
    dims = 2 if orientation is None else 3
    why = ["classification: each image is brought to the patch's size, its proportions kept"]
    asked = fields.get("patch")
    if asked is not None and not (isinstance(asked, list | tuple) and len(asked) == dims):
        raise ValueError(f"patch is {dims} numbers of voxels, as --set patch={','.join(['96'] * dims)}, got {asked!r}")
    patch = tuple(asked or patch_for(shape[3 - dims :], spacing[3 - dims :], why))
    _, pooling, kernels = topology(patch, (1.0,) * len(patch))
    why += [f"{name}: asked for" for name in fields]
    kinds = normalization(channels, fields, "cohort" if orientation is None else "zscore")
    content: dict[str, Any] = dict(
        task="classification",
        channels=channels,
        labels=labels,
        columns=index.columns,
        outputs="classes" if len(index.columns) == 1 else "labels",
        dims=dims,
        orientation=orientation,
        spacing=(None,) * 3,
        normalization=kinds,
        intensities=intensities(fingerprints) if {"ct", "cohort"} & {*kinds} else None,
        patch=patch,
        labeled=BATCHES[dims],
        unlabeled=BATCHES[dims],
        pooling=pooling,
        kernels=kernels,
        flips=flips(list(labels), orientation, why)[3 - dims :],
        network=NETWORK,
        why=why,
    )
    return plan_of({**content, **fields}, where="the data set cannot be planned")
