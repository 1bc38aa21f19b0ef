"""UNETR: a vision transformer encoder with a convolutional decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from halfmask.config import Count
from halfmask.networks.blocks import Dropout
from halfmask.networks.levels import Shape, by, check_sides, halving
from halfmask.networks.segmenter import Decoder, SegmentationNetwork
from halfmask.networks.swin import check_heads

TOKEN = 16


class UNETR(SegmentationNetwork):
    """MONAI's UNETR, in 2D and 3D, for images of the training patch's shape alone.

    Hatamizadeh et al., WACV 2022, arXiv:2103.10504. A ViT on tokens of side 16, whose states after a quarter,
    a half and three quarters of its blocks become the skips. With the same weights the logits are those of
    MONAI's `UNETR`, whose names map to ours so:

        vit.patch_embedding                encoder.embed
        vit.blocks.{i}                     encoder.blocks.{i}
        vit.blocks.{i}.norm_cross_attn     none: not used
        vit.norm                           encoder.norm
        encoder{k+1}                       encoder.skips.{k}
        decoder{k+2}                       decoder.levels.{k}
        out.conv.conv                      head

    As in MONAI's code, the states are those one block later than the paper's z3, z6 and z9.

    Args:
        pooling, kernels: not used; the depth is fixed.
        feature_size: features at level 0, doubled at each level but the last.
        hidden_size: features of a token, and of the bottleneck.
        layers: transformer blocks.
        heads: attention heads of each block.
        mlp: hidden features of the perceptrons.
        dropout: of features of tokens, after embedding and attention and in the perceptrons, and of attention.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        dims: int,
        patch: Sequence[int],
        pooling: Sequence[Sequence[int]] | None = None,
        kernels: Sequence[Sequence[int]] | None = None,
        *,
        feature_size: Count = 16,
        hidden_size: Count = 768,
        layers: Annotated[int, Field(ge=4)] = 12,
        heads: Count = 12,
        mlp: Count = 3072,
        dropout: Dropout = 0.0,
    ):
        check_sides(dims, patch)
        check_heads("hidden_size", hidden_size, (heads,))
        widths = (*(feature_size * 2**k for k in range(4)), hidden_size)
        super().__init__(channels, classes, dims, patch, widths=widths, pooling=halving(dims, 4))

        from monai.networks.blocks.unetr_block import UnetrUpBlock

        def up(k: int) -> nn.Module:
            kernel, stride = 3, 2
            return UnetrUpBlock(dims, widths[k + 1], widths[k], kernel, stride, norm_name="instance", res_block=True)

        self.encoder = _Encoder(channels, dims, tuple(patch), widths, layers, heads, mlp, dropout)
        self.decoder = Decoder(map(up, range(4)))

    def check(self, shape: Sequence[int]) -> None:
        super().check(shape)
        if tuple(shape[2:]) != self.patch:
            raise ValueError(
                f"the network knows positions in images of {by(self.patch)}, its training patch, not {by(shape[2:])}: "
                "crop or pad to it, or train with another patch"
            )


class _Encoder(nn.Module):
    """The image, three states of the transformer on the way and its result, each brought to its level's shape."""

    def __init__(
        self,
        channels: int,
        dims: int,
        patch: Shape,
        widths: Shape,
        layers: int,
        heads: int,
        mlp: int,
        dropout: float,
    ):
        super().__init__()
        from monai.networks.blocks.patchembedding import PatchEmbeddingBlock
        from monai.networks.blocks.transformerblock import TransformerBlock
        from monai.networks.blocks.unetr_block import UnetrBasicBlock, UnetrPrUpBlock

        *levels, hidden = widths
        self.grid = tuple(side // TOKEN for side in patch)
        self.taps = (layers // 4, layers // 2, 3 * layers // 4)
        self.embed = PatchEmbeddingBlock(channels, patch, TOKEN, hidden, heads, dropout_rate=dropout, spatial_dims=dims)
        self.blocks = nn.ModuleList(TransformerBlock(hidden, mlp, heads, dropout) for _ in range(layers))
        for block in self.blocks:  # MONAI's blocks have these, and use them in other networks only
            block.cross_attn = block.norm_cross_attn = nn.Identity()
        self.norm = nn.LayerNorm(hidden)

        size, stride, norm, residual = 3, 1, "instance", True
        first = UnetrBasicBlock(dims, channels, levels[0], size, stride, norm, residual)
        others = (
            UnetrPrUpBlock(dims, hidden, width, 2 - k, size, stride, 2, norm, conv_block=True, res_block=residual)
            for k, width in enumerate(levels[1:])
        )
        self.skips = nn.ModuleList([first, *others])

    def forward(self, x: Tensor) -> list[Tensor]:
        tokens, states = self.embed(x), []
        for block in self.blocks:
            tokens = block(tokens)
            states.append(tokens)
        inputs = [x, *(self._image(states[tap]) for tap in self.taps)]
        skips = [skip(each) for skip, each in zip(self.skips, inputs, strict=True)]
        return [*skips, self._image(self.norm(tokens))]

    def _image(self, tokens: Tensor) -> Tensor:
        """Tokens (B, N, C) at their places: (B, C, *grid)."""
        return tokens.transpose(1, 2).unflatten(2, self.grid).contiguous()
