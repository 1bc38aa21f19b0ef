"""How hard each kind of loss pulls on the weights that they move together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

ADVERSARIAL, SUPERVISED = "adversarial", "supervised"


def gradient_norms(losses: Mapping[str, Tensor], weights: Sequence[Tensor]) -> dict[str, Tensor]:
    """The norm of the gradient of each kind of loss over ``weights``, as ``gradient supervised``, ().

    The first word of a loss's name is its kind: adversarial_labeled and adversarial_unlabeled are one, as their pulls
    add up. With the kind adversarial beside others, ``gradient ratio`` is its norm over the sum of theirs, as in the
    adaptive weight of Esser et al., CVPR 2021, arXiv:2012.09841, which keeps it at 1. Where no labels are among the
    others, as for translators of images, it is ``gradient ratio without labels``, and spoils none.

    The graph is kept for the backward pass that follows, and no ``.grad`` is touched.
    """
    kinds: dict[str, list[Tensor]] = {}
    for name, loss in losses.items():
        kinds.setdefault(name.split("_")[0], []).append(loss.float())
    norms = {kind: _norm(torch.stack(alike).sum(), weights) for kind, alike in kinds.items()}
    told = {f"gradient {kind}": norm for kind, norm in norms.items()}
    if others := [norm for kind, norm in norms.items() if kind != ADVERSARIAL and ADVERSARIAL in norms]:
        name = "gradient ratio" if SUPERVISED in norms else "gradient ratio without labels"
        told[name] = norms[ADVERSARIAL] / torch.stack(others).sum()
    return told


def _norm(loss: Tensor, weights: Sequence[Tensor]) -> Tensor:
    gradients = torch.autograd.grad(loss, weights, retain_graph=True, materialize_grads=True)
    return torch.stack([g.norm() for g in gradients]).norm()
