"""Names of weights in Microsoft's Swin transformers for ImageNet, and timm's of them; see `SwinUNet` for the table."""

from __future__ import annotations

import re
from collections.abc import Collection

from halfmask.networks.keys.source import Naming, Source

_PLACES = {"patch_embed": "encoder.embed.0", "norm": "encoder.norm"}


def _naming(names: Collection[str]) -> Naming:
    merges_first = not any(name.startswith("layers.0.downsample.") for name in names)  # timm, since 0.9

    def ours(name: str) -> tuple[str, ...]:
        if match := re.match(r"layers\.(\d+)\.downsample\.(.*)", name):
            return (f"encoder.stages.{int(match[1]) - merges_first}.downsample.{match[2]}",)
        if match := re.match(r"layers\.(\d+)\.(blocks\..*)", name):
            block = match[2].replace(".mlp.fc1.", ".mlp.linear1.").replace(".mlp.fc2.", ".mlp.linear2.")
            return f"encoder.stages.{match[1]}.{block}", f"decoder.levels.{match[1]}.stage.{block}"
        first, _, rest = name.partition(".")
        return (f"{_PLACES[first]}.{rest}",) if first in _PLACES else ()

    return ours


SWIN = Source(
    "Microsoft's Swin transformer",
    "swin_unet",
    r"layers\.0\.blocks\.0\.attn\.relative_position_bias_table",
    _naming,
    idle=r"\.(relative_position_index|attn_mask)$",
)
