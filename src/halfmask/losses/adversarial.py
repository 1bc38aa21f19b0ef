"""The losses of an adversarial game: what a critic's scores are to call what they judge, true or false."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

Game = Literal["cross_entropy", "least_squares", "wasserstein"]
"""The classical game (Goodfellow et al., NeurIPS 2014, arXiv:1406.2661); least squares, whose gradient does not vanish
where the critic is right (Mao et al., ICCV 2017, arXiv:1611.04076); or the Wasserstein distance (Arjovsky et al., ICML
2017, arXiv:1701.07875), whose critic needs `gradient_penalty`, and whose losses have no bound below."""


def calling(scores: Tensor, true: bool, game: Game = "cross_entropy") -> Tensor:
    """The loss, at each score, of one that is to call what it judges true, or false; of the scores' shape.

    A critic minimizes the first of what is true and the second of what is not; who is to pass for true minimizes the
    first of what he makes. So nobody's gradient vanishes where the critic is right.

    Args:
        scores: logits for "cross_entropy": −log D or −log (1 − D); for "least_squares" 1 is true, 0 false.
    """
    if game == "cross_entropy":
        return softplus(-scores if true else scores)
    if game == "least_squares":
        return (scores - float(true)) ** 2 / 2
    return -scores if true else scores


def share_right(true: Tensor, false: Tensor, game: Game = "cross_entropy") -> Tensor:
    """The share of its scores that a critic has right, in [0, 1]; what is true and what is not count the same.

    Wasserstein scores have no zero of their own: they are compared with the middle of the two means.
    """
    middle = {"cross_entropy": 0.0, "least_squares": 0.5}.get(game, (true.mean() + false.mean()) / 2)
    return ((true > middle).float().mean() + (false < middle).float().mean()) / 2


def gradient_penalty(judge: Callable[..., Tensor], true: Sequence[Tensor], false: Sequence[Tensor]) -> Tensor:
    """E (‖∇ D(x̂)‖ − 1)², x̂ at random between what is true and what is not, image by image.

    Gulrajani et al., NeurIPS 2017, arXiv:1704.00028, Eq. 3.

    Args:
        judge: scores (B, …) of tensors (B, C, *spatial), one or several.
        true, false: such tensors each; of unequal numbers of images the first ones are taken.
    """
    count = min(len(true[0]), len(false[0]))
    share = torch.rand(count, device=true[0].device)
    mixed = [torch.lerp(f[:count].float(), t[:count].float(), share.view(-1, *[1] * (t.ndim - 1))).requires_grad_()
             for t, f in zip(true, false, strict=True)]  # fmt: skip
    scores = judge(*mixed).flatten(1).mean(1).sum()
    slopes = torch.autograd.grad(scores, mixed, create_graph=True)
    norm = torch.stack([slope.flatten(1).square().sum(1) for slope in slopes]).sum(0).clamp(min=1e-12).sqrt()
    return ((norm - 1) ** 2).mean()
