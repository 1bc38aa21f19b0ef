"""Names of weights in vision transformers: torchvision's, and timm's, which are DeiT's, DINO's and MAE's too."""

from __future__ import annotations

import re
from collections.abc import Collection

from halfmask.networks.keys.source import Naming, Source, replaced

_TORCHVISION = {
    r"class_token$": "encoder.class_token",
    r"conv_proj\.": "encoder.embed.",
    r"encoder\.pos_embedding$": "encoder.position_embeddings",
    r"encoder\.ln\.": "encoder.norm.",
}
_LAYERS = {
    r"ln_([12])\.": r"norm\1.",
    r"self_attention\.in_proj_": "attn.qkv.",
    r"self_attention\.out_proj\.": "attn.proj.",
    r"mlp\.(?:0|linear_1)\.": "mlp.fc1.",  # the latter in files that it published before its version 0.14
    r"mlp\.(?:3|linear_2)\.": "mlp.fc2.",
}
_TIMM = {
    r"cls_token$": "encoder.class_token",
    r"patch_embed\.proj\.": "encoder.embed.",
    r"pos_embed$": "encoder.position_embeddings",
    r"(blocks|norm)\.": r"encoder.\1.",
}


def _torchvisions(names: Collection[str]) -> Naming:
    def ours(name: str) -> tuple[str, ...]:
        if match := re.match(r"encoder\.layers\.encoder_layer_(\d+)\.(.*)", name):
            return tuple(f"encoder.blocks.{match[1]}.{part}" for part in replaced(match[2], _LAYERS))
        return replaced(name, _TORCHVISION)

    return ours


def _timms(names: Collection[str]) -> Naming:
    return lambda name: replaced(name, _TIMM)


TORCHVISION = Source("torchvision's ViT", "vit_b16", r"encoder\.layers\.encoder_layer_0\.ln_1\.weight", _torchvisions)
TIMM = Source("a ViT", "vit_b16", r"cls_token", _timms)


def check_parts(names: Collection[str]) -> None:
    """Raise ValueError for transformers that do more with their weights than ours: some would fit, and mean nothing."""
    more = {
        "layer scale": r"blocks\.0\.(ls1\.gamma|gamma_1)",
        "register tokens": r"(reg_token|register_tokens)",
        "a distillation token": r"dist_token",
        "a norm before its blocks": r"norm_pre\.weight",
        "norms of queries and keys": r"blocks\.0\.attn\.q_norm\.weight",
    }
    if found := [part for part, mark in more.items() if any(re.fullmatch(mark, name) for name in names)]:
        raise ValueError(f"a ViT with {' and '.join(found)}, which no network here has; take one of plain blocks")
