"""The vision transformer, which encodes alone."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from halfmask.config import Count
from halfmask.networks.backbone import Backbone
from halfmask.networks.blocks import CONV, Dropout
from halfmask.networks.fitting import of_grid
from halfmask.networks.levels import Shape, check_sides
from halfmask.networks.swin import check_heads

HEAD = 64
"""Features of an attention head, in all sizes of the papers up to ViT-L."""


class ViT(Backbone):
    """ViT in 2D and, which is ours, in 3D: a class token's state is the embedding, those of the others the one level.

    Dosovitskiy et al., ICLR 2021, arXiv:2010.11929; ViT-Ti is Touvron et al.'s, ICML 2021, arXiv:2012.12877. Norms come
    before attention and perceptrons. Position embeddings are learned for the training patch, and interpolated for
    images of other shapes, as DINO's local crops are. Names within ``encoder`` are timm's but these:

        patch_embed.proj    embed
        cls_token           class_token
        pos_embed           position_embeddings, the class token's first

    Args:
        hidden_size: features of a token.
        layers: transformer blocks.
        heads: attention heads of each block; one for each 64 features if None, as in the papers.
        mlp: hidden features of the perceptrons; 4 hidden_size if None.
        token: side of the cubes that the image is cut into, in voxels.
        dropout: of features of tokens, after embedding and attention and in the perceptrons, and of attention.
    """

    encoder: Encoder

    def __init__(
        self,
        channels: int,
        dims: int,
        patch: Sequence[int],
        *,
        hidden_size: Count = 768,
        layers: Count = 12,
        heads: Count | None = None,
        mlp: Count | None = None,
        token: Count = 16,
        dropout: Dropout = 0.0,
    ):
        check_sides(dims, patch)
        heads = heads or max(1, hidden_size // HEAD)
        check_heads("hidden_size", hidden_size, (heads,))
        super().__init__(channels, dims, patch, widths=(hidden_size,), pooling=((token,) * dims,))
        grid = tuple(side // token for side in patch)
        self.encoder = Encoder(channels, grid, hidden_size, layers, heads, mlp or 4 * hidden_size, token, dropout)
        self.apply(_small_normal)

    def tokens(self, x: Tensor) -> Tensor:
        """States of the class token and then of the image's (B, 1 + N, hidden_size), normalized."""
        self.check(x.shape)
        return self.encoder(x)

    def encode(self, x: Tensor) -> list[Tensor]:
        """The one level, (B, hidden_size, *spatial / token)."""
        grid = tuple(side // self.strides[0][0] for side in x.shape[2:])
        return [self.tokens(x)[:, 1:].transpose(1, 2).unflatten(2, grid).contiguous()]

    def embed(self, x: Tensor) -> Tensor:
        """The class token's state (B, hidden_size)."""
        return self.tokens(x)[:, 0]

    def attentions(self, x: Tensor) -> list[Tensor]:
        """How each token attends to each other in every block (B, heads, 1 + N, 1 + N); rows sum to 1."""
        self.check(x.shape)
        return self.encoder.attentions(x)


class Encoder(nn.Module):
    """Images to tokens (B, 1 + N, hidden)."""

    def __init__(
        self, channels: int, grid: Shape, hidden: int, layers: int, heads: int, mlp: int, token: int, dropout: float
    ):
        super().__init__()
        self.grid = grid
        self.embed = CONV[len(grid)](channels, hidden, token, token)
        self.class_token = nn.Parameter(torch.empty(1, 1, hidden))
        self.position_embeddings = nn.Parameter(torch.empty(1, 1 + prod(grid), hidden))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(hidden, heads, mlp, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self._embedded(x)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)

    def attentions(self, x: Tensor) -> list[Tensor]:
        tokens, found = self._embedded(x), []
        for block in self.blocks:
            assert isinstance(block, Block)
            found.append(block.attn.weights(block.norm1(tokens)))
            tokens = block(tokens)
        return found

    def _embedded(self, x: Tensor) -> Tensor:
        """Class token and image tokens, with their positions."""
        x = self.embed(x)
        positions: Tensor = self.position_embeddings
        grid = tuple(x.shape[2:])
        if grid != self.grid:
            positions = torch.cat([positions[:, :1], of_grid(positions[:, 1:], grid, self.grid)], 1)
        tokens = torch.cat([self.class_token.expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], 1)
        return self.dropout(tokens + positions)


class Block(nn.Module):
    """Attention, then a perceptron for each token, each normalized before and added."""

    def __init__(self, width: int, heads: int, mlp: int, dropout: float):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads, dropout)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Perceptron(width, mlp, dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Attention(nn.Module):
    """Each token's mean of all tokens' values, weighted by softmax(q kᵀ / √d), in each head."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.rate = heads, dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self._shared(x)
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=self.rate if self.training else 0.0)
        return self.dropout(self.proj(y.transpose(1, 2).flatten(2)))

    def weights(self, x: Tensor) -> Tensor:
        """The means' weights (B, heads, N, N), before dropout."""
        q, k, _ = self._shared(x)
        return (q @ k.transpose(2, 3) * q.shape[3] ** -0.5).softmax(3)

    def _shared(self, x: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values, each (B, heads, N, features of a head)."""
        return self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)


class Perceptron(nn.Module):
    """Two layers with GELU between."""

    def __init__(self, width: int, hidden: int, dropout: float):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.fc2(self.dropout(F.gelu(self.fc1(x)))))


def _small_normal(module: nn.Module) -> None:
    """DeiT's initial weights, for ``network.apply``; the embedding's are PyTorch's."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, Encoder):
        nn.init.trunc_normal_(module.class_token, std=0.02)
        nn.init.trunc_normal_(module.position_embeddings, std=0.02)
