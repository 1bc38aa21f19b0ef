"""Names of weights in MONAI's Swin UNETR and in its pre-training without labels; see `SwinUNETR` for the table."""

from __future__ import annotations

import re
from collections.abc import Collection

from halfmask.networks.keys.source import Naming, Source, replaced

_TRANSFORMER = r"(?:swinViT\.|swin_vit\.)?"  # what pre-training leaves is without, or with an older name
_NAMES = {
    _TRANSFORMER + r"patch_embed\.": r"encoder.embed.0.",
    r"encoder10\.": r"encoder.skips.5.",
    r"out\.conv\.conv\.": r"head.",
}


def _ours(name: str) -> tuple[str, ...]:
    if match := re.match(_TRANSFORMER + r"layers(\d+)\.0\.(.*)", name):
        block = match[2].replace(".mlp.fc1.", ".mlp.linear1.").replace(".mlp.fc2.", ".mlp.linear2.")
        return (f"encoder.stages.{int(match[1]) - 1}.{block}",)
    if match := re.match(r"(encoder|decoder)([1-5])\.(.*)", name):
        part = {"encoder": "encoder.skips", "decoder": "decoder.levels"}[match[1]]
        return (f"{part}.{int(match[2]) - 1}.{match[3]}",)
    return replaced(name, _NAMES)


def _naming(names: Collection[str]) -> Naming:
    return _ours


_CONSTANTS = r"\.relative_position_index$"
_BLOCK = r"layers1\.0\.blocks\.0\.mlp\."

SWIN_UNETR = Source(
    "MONAI's Swin UNETR", "swin_unetr", _TRANSFORMER + _BLOCK + r"linear1\.weight", _naming, _CONSTANTS
)  # fmt: skip
PRETRAINED = Source(
    "MONAI's Swin UNETR encoder trained without labels",
    "swin_unetr",
    _TRANSFORMER + _BLOCK + r"fc1\.weight",  # so the perceptrons were called in that code
    _naming,
    _CONSTANTS,
    needs={"merging": "repeated"},
)
