"""Cross teaching: a convolutional network and a transformer label the images for each other."""

from __future__ import annotations

from typing import Any, Literal

from halfmask.config import Weight
from halfmask.learning.method import Segmenter
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.losses.segmentation import dice, dice_ce, weights_of
from halfmask.networks.factory import Builder


class CrossTeaching(Segmenter):
    """Luo et al., MIDL 2022, arXiv:2112.04894; as in S4MI with ``weight=1 ramp=False predict_with=peer``.

    The run's network and one of another architecture; each is trained by Dice against the hard labels of the other,
    on unlabeled images. Weights to start from (``--init``) go to the one whose kind they are of: ImageNet's Swin-T to
    the Swin U-Net, and the other starts from scratch, as in both papers.

    Args:
        weight: λ, of the cross teaching loss (at the end of its ramp-up).
        ramp: raise λ over the training; S4MI adds the losses as they are.
        peer: the second architecture.
        peer_settings: of that architecture where they differ from its own defaults, e.g. ``embed=48,window=8``.
        predict_with: the run's network, as in the paper, or the peer, which S4MI reports.
        class_weights: of the supervised cross-entropy, as S4MI tries them: one for each class (background first) or
            region; all alike unless given.
    """

    def __init__(
        self,
        network: Builder,
        *,
        weight: Weight = 0.1,
        ramp: bool = True,
        peer: str = "swin_unet",
        peer_settings: dict[str, Any] | None = None,
        predict_with: Literal["network", "peer"] = "network",
        class_weights: tuple[Weight, ...] | None = None,
    ):
        super().__init__(network)
        if peer == network.name:
            raise ValueError(
                f"method 'cross_teaching' takes two architectures, both are {peer!r}; set peer to another, "
                "or use cross_pseudo_supervision"
            )
        self.student, self.peer = network(), network(peer, **(peer_settings or {}))
        self.weight, self.ramp, self.predict_with = weight, ramp, predict_with
        self.class_weights = weights_of(class_weights, network.classes)

    @property
    def predictor(self):
        return self.student if self.predict_with == "network" else self.peer

    def step(self, batch, minimize, clock):
        y, n = batch.labeled.label, len(batch.labeled)
        weight = self.weight * (sigmoid_rampup(clock.progress) if self.ramp else 1)
        p, q = self.student(batch.image), self.peer(batch.image)

        # Each is trained on the other's hard labels, which pass no gradient back.
        student, peer = (self.decide(logits[n:])[1] for logits in (p, q))
        minimize(
            [self.student, self.peer],
            supervised=dice_ce(p[:n], y, self.class_weights) + dice_ce(q[:n], y, self.class_weights),
            cross_unlabeled=weight * (dice(p[n:], peer) + dice(q[n:], student)),
        )
        minimize.log(agreement=(student == peer).float().mean())
