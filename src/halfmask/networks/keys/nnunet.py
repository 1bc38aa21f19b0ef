"""Names of weights in nnU-Net and nnssl: those of `dynamic_network_architectures`; see `UNet` for the table."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor

from halfmask.networks.keys.source import Naming, Source, replaced

_ENCODER = {
    r"encoder\.stem\.convs\.0\.": r"encoder.stem.",
    r"encoder\.stages\.(\d+)\.blocks\.": r"encoder.levels.\1.",
    r"encoder\.stages\.(\d+)\.0\.convs\.": r"encoder.levels.\1.",
}


def _naming(names: Collection[str]) -> Naming:
    """Decoder levels are counted from the bottleneck there, from the image here."""
    finest = max((int(m[1]) for m in (re.match(r"decoder\.transpconvs\.(\d+)\.", n) for n in names) if m), default=-1)

    def ours(name: str) -> tuple[str, ...]:
        if match := re.match(r"decoder\.(transpconvs|stages|seg_layers)\.(\d+)\.(?:convs\.)?", name):
            level, rest = finest - int(match[2]), name[match.end() :]
            place = {"transpconvs": f"decoder.levels.{level}.up.", "stages": f"decoder.levels.{level}.convs."}
            if match[1] == "seg_layers":
                return () if level else (f"head.{rest}",)
            return (place[match[1]] + rest,)
        return replaced(name, _ENCODER)

    return ours


def _without_head(names: Collection[str]) -> Naming:
    """What was learned without labels has a last layer that restores images."""
    ours = _naming(names)
    return lambda name: () if ".seg_layers." in name else ours(name)


_DUPLICATES = r"^decoder\.encoder\.|\.all_modules\."
_PLAIN_MARK = r"encoder\.stages\.0\.0\.convs\.0\.conv\.weight"
_RESIDUAL_MARK = r"encoder\.stages\.0\.blocks\.0\.conv1\.conv\.weight"

PLAIN = Source("nnU-Net's plain U-Net", "unet", _PLAIN_MARK, _naming, _DUPLICATES)
RESIDUAL = Source("nnU-Net's residual U-Net", "residual_unet", _RESIDUAL_MARK, _naming, _DUPLICATES)
NNSSL = Source("nnssl's residual U-Net", "residual_unet", _RESIDUAL_MARK, _without_head, _DUPLICATES)


def pretrained(state: Mapping[str, Tensor], plan: Mapping[str, Any], root: str) -> dict[str, Tensor]:
    """The weights of an nnssl checkpoint with the encoder at the place where nnU-Net has it.

    Args:
        plan: the checkpoint's ``nnssl_adaptation_plan``.
        root: what the encoder's names begin with; methods with two encoders name one of them in the plan.

    Raises:
        ValueError: it is of an architecture that we do not have.
    """
    found = {"encoder." + name.removeprefix(root): value for name, value in state.items() if name.startswith(root)}
    if not NNSSL.knows(found):
        kind = (plan.get("architecture_plans") or {}).get("arch_class_name", "an unknown architecture")
        raise ValueError(f"nnssl's {kind}, which no network here is; its ResEncL goes into --network residual_unet")
    return {name: value for name, value in state.items() if not name.startswith(root)} | found
