"""Where in an image a classifier looks: gradient maps, Grad-CAM, attention roll-out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from halfmask.learning.method import Classifier
from halfmask.networks.backbone import Backbone
from halfmask.networks.vit import ViT

LINEAR = {2: "bilinear", 3: "trilinear"}


def gradient(method: Classifier, image: Tensor) -> Tensor:
    """|∂ score / ∂ image|, the largest over the channels: which voxels the score hangs on most.

    Simonyan et al., ICLR workshop 2014, arXiv:1312.6034. The score is the logit of the class that is decided for.

    Args:
        image: (B, C, *spatial), normalized.

    Returns: (B, *spatial), float32, 0 or more.
    """
    with torch.enable_grad():
        x = image.detach().requires_grad_()
        (slope,) = torch.autograd.grad(_decided(method.logits(x)).sum(), x)
    return slope.abs().amax(1).float()


def grad_cam(method: Classifier, image: Tensor) -> Tensor:
    """ReLU of the bottleneck's features, each weighed by the score's mean gradient with respect to it.

    Selvaraju et al., ICCV 2017, arXiv:1610.02391, Eqs. 1 and 2. For networks whose embedding is the mean of those
    features. See `gradient`.
    """
    with torch.enable_grad():
        features = method.student.encode(image)[-1].detach().requires_grad_()
        score = _decided(method.head(features.flatten(2).mean(2))).sum()
        (slope,) = torch.autograd.grad(score, features)
    weight = slope.flatten(2).mean(2).view(*slope.shape[:2], *[1] * (slope.ndim - 2))
    return _enlarged(F.relu((weight * features).sum(1)).detach().float(), image)


def rollout(method: Classifier, image: Tensor) -> Tensor:
    """How much of each patch of the image reaches the class token through all blocks, whatever the class.

    Abnar & Zuidema, ACL 2020, arXiv:2005.00928: the product over the blocks of ½ (A + I), A the mean attention of the
    heads. See `gradient`.
    """
    network = method.student
    assert isinstance(network, ViT)
    flow: Tensor | None = None
    for attention in network.attentions(image):
        own = attention.float().mean(1)
        step = (own + torch.eye(own.shape[1], device=own.device)) / 2
        flow = step if flow is None else step @ flow
    assert flow is not None
    grid = tuple(side // stride for side, stride in zip(image.shape[2:], network.strides[0], strict=True))
    return _enlarged(flow[:, 0, 1:].unflatten(1, grid), image)


KINDS: dict[str, Callable[[Classifier, Tensor], Tensor]] = {
    "gradient": gradient,
    "grad_cam": grad_cam,
    "rollout": rollout,
}


def kinds(network: Backbone) -> tuple[str, ...]:
    """The maps that can be made of a network: roll-out where it attends to a class token, else Grad-CAM."""
    return ("gradient", "rollout") if isinstance(network, ViT) else ("gradient", "grad_cam")


def maps(method: Classifier, image: Tensor) -> dict[str, Tensor]:
    """Each kind of map (B, *spatial) that can be made of the method's network; it is left in evaluation mode."""
    method.eval()
    with torch.no_grad():
        return {kind: KINDS[kind](method, image) for kind in kinds(method.student)}


def _decided(logits: Tensor) -> Tensor:
    """The score of each image's likeliest class (B,)."""
    return logits.float().max(1).values


def _enlarged(values: Tensor, image: Tensor) -> Tensor:
    """(B, *grid) on the image's voxels."""
    shape: Sequence[int] = image.shape[2:]
    return F.interpolate(values[:, None], tuple(shape), mode=LINEAR[len(shape)], align_corners=False)[:, 0]
