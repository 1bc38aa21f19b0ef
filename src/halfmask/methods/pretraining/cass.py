"""CASS: a convolutional network and a Transformer say the same of an image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn
from torch.nn.functional import normalize

from halfmask.augment.views import strong
from halfmask.config import Count
from halfmask.learning.method import Pretrainer
from halfmask.learning.recipe import Recipe
from halfmask.losses.consistency import cosine_distance
from halfmask.networks.factory import TRANSFORMERS, Builder

PEERS = {"resnet18": "vit_ti16", "resnet50": "vit_b16", "vit_ti16": "resnet18", "vit_b16": "resnet50"}
"""The other kind of network of about the same size, without a decoder too."""


class CASS(Pretrainer):
    """Singh et al., "Cross-architectural self-supervision", 2022, arXiv:2206.04170; as in S4MI.

    The run's network and one of the other kind see the same view; 2 − 2 cos of their outputs is minimized for both.
    The difference of architectures stands for that of views: there are no negatives and no stopped gradient, so
    nothing but the start and few steps keep both from saying the same of all images. `spread` in the curves tells:
    the outputs' standard deviation over the batch, 1 where they point anywhere and 0 where they have collapsed. Start
    from weights that mean something (``--init``), as the paper does.

    The paper's outputs are its classifiers', one for each class; here a linear layer on each encoder. Its rate falls
    by half a cosine too; that stands for its averaging of weights (SWA). Both encoders go over.

    Args:
        peer: the other architecture; None is the Swin U-Net beside a convolutional network, else the U-Net; beside a
            network without a decoder ViT-Ti for ResNet-18 and ViT-B for ResNet-50, and the other way round.
        peer_settings: of that architecture where they differ from its own defaults, e.g. ``embed=48,window=8``.
        features: of the outputs.
    """

    recipe = Recipe("adam", 1e-3, weight_decay=0.0, schedule="cosine", labeled=0, unlabeled=8)
    keeps: ClassVar[Mapping[str, tuple[str, ...]]] = {"student": ("encoder",), "peer": ("encoder",)}

    def __init__(
        self,
        network: Builder,
        *,
        peer: str | None = None,
        peer_settings: dict[str, Any] | None = None,
        features: Count = 128,
    ):
        super().__init__(network)
        peer = peer or PEERS.get(network.name) or ("unet" if network.name in TRANSFORMERS else "swin_unet")
        self.student, self.peer = network.encoder(), network.encoder(peer, **(peer_settings or {}))
        if (peer in TRANSFORMERS) == (network.name in TRANSFORMERS):
            raise ValueError(
                "method 'cass' takes a convolutional network and a Transformer, "
                f"not {network.name!r} and {peer!r}; set peer to one of the other kind"
            )
        self.student_head = nn.Linear(self.student.widths[-1], features)
        self.peer_head = nn.Linear(self.peer.widths[-1], features)

    def step(self, batch, minimize, clock):
        u = batch.unlabeled.image
        view = strong(self.space.draw(u, rotation=math.radians(10), scale=(0.9, 1.1)).image(u))
        one, other = self.student_head(self.student.embed(view)), self.peer_head(self.peer.embed(view))
        networks = [self.student, self.peer, self.student_head, self.peer_head]
        minimize(networks, agreement=cosine_distance(one, other))
        spread = normalize(one.detach().float(), dim=1).var(0, correction=0).sum().sqrt()
        minimize.log(spread=spread)
