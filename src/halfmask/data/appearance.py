"""What a plan says of how images look: normalization, intensities, and which mirrorings leave them what they are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from halfmask.data.fingerprint import Fingerprint

SIDES = {
    "RL": ("left", "right", "l", "r", "lh", "rh"),
    "AP": ("anterior", "posterior", "ventral", "dorsal", "front", "back"),
    "SI": ("superior", "inferior", "upper", "lower", "cranial", "caudal", "top", "bottom"),
}


def normalization(channels: Sequence[str], fields: Mapping[str, Any], other: str) -> list[str]:
    """For each channel: as asked for, else Hounsfield units by the cohort, and ``other`` for channels that are none."""
    return fields.get("normalization") or ["ct" if channel.lower() in ("ct", "hu") else other for channel in channels]


def flips(names: Sequence[str], orientation: str | None, why: list[str]) -> tuple[bool, ...]:
    """Mirroring turns left into right: no flip along an axis whose ends the class names tell apart."""
    parts = {name: {w.lower() for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)} for name in names}
    allowed = []
    for axis in orientation or " SL":  # a picture's rows run downwards, its columns to the side
        words = next((w for pair, w in SIDES.items() if axis in pair), ())
        told = [name for name in dict.fromkeys(names) if parts[name].intersection(words)]
        if told:
            why.append(f"flips: not along {axis}, because classes are told apart by it: {', '.join(told)}")
        allowed.append(not told)
    return tuple(allowed)


def intensities(fingerprints: Sequence[Fingerprint]) -> list[tuple[float, float, float, float]]:
    """Over the foreground of all images; nnU-Net's are over the labels, which a small budget may not know."""
    result = []
    for channel in zip(*(f.intensities or () for f in fingerprints), strict=True):
        voxels = np.concatenate(channel)
        low, high = np.percentile(voxels, (0.5, 99.5))
        clipped = voxels.clip(low, high)
        result.append((float(low), float(high), float(clipped.mean()), float(max(clipped.std(), 1e-8))))
    return result
