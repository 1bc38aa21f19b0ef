"""The one place where gradients are taken and weights are moved."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from halfmask.learning.gradients import gradient_norms
from halfmask.learning.processes import ALONE, Processes


class Minimize(Protocol):
    """What a method's step is given; see `Minimizer`."""

    def __call__(self, networks: nn.Module | Iterable[nn.Module], **losses: Tensor) -> None: ...

    def mean(self, tensor: Tensor) -> Tensor: ...

    def log(self, **figures: Tensor | float) -> None: ...


class NotFinite(ValueError):
    """A loss or a gradient became NaN or infinite, at ``step``, and first so in this process if ``here``."""

    def __init__(self, message: str, step: int, here: bool):
        super().__init__(message)
        self.step, self.here = step, here


class Minimizer:
    """Takes the gradient of named losses for named networks only, and steps their optimizers.

    Because no other network receives a gradient, a method freezes nothing by hand: the critic that
    judges the student stays untouched while the student moves, and the other way round.

    Args:
        optimizers: one for each network that learns, by its attribute name in ``method``.
        clip: the largest norm of the gradient of one call; None does not clip.
        processes: that take each step together. Weights move by the mean of their gradients, so a loss that is a
            mean over images is as one of the joint batch; each calls with the same networks in the same order.

    Attributes:
        step: the training step that calls belong to, for errors; whoever trains sets it.
        losses: what each loss was last.
        logged: what all else that was logged was last.
        measure: whether calls note the gradient of each kind of loss too, at the cost of a backward pass each.
        gradients: what came of it last; see `gradient_norms`. Of this process's share of the batch, before clipping.
        noted: since the last `check`, step by step, what had to be finite and whether it was.
    """

    def __init__(
        self,
        method: nn.Module,
        optimizers: dict[str, Optimizer],
        *,
        clip: float | None = None,
        processes: Processes = ALONE,
    ):
        self.optimizers, self.clip, self.processes = optimizers, clip, processes
        self.names = {network: name for name, network in method.named_children()}
        self.step = 0
        self.losses: dict[str, Tensor] = {}
        self.logged: dict[str, Tensor] = {}
        self.measure = False
        self.gradients: dict[str, Tensor] = {}
        self.noted: list[tuple[int, str, Tensor]] = []
        for optimizer in optimizers.values():
            for group in optimizer.param_groups:
                group.setdefault("initial_lr", group["lr"])

    @property
    def figures(self) -> dict[str, Tensor]:
        """Losses, logged figures and gradients, as they were last."""
        return {**self.losses, **self.logged, **self.gradients}

    def __call__(self, networks: nn.Module | Iterable[nn.Module], **losses: Tensor) -> None:
        """Move the weights of ``networks`` down the sum of ``losses``; they have moved when it returns."""
        networks = [networks] if isinstance(networks, nn.Module) else list(networks)
        optimizers = [self.optimizers[self.names[network]] for network in networks]
        weights = [p for network in networks for p in network.parameters() if p.requires_grad]
        for name, loss in losses.items():
            if not loss.requires_grad:
                raise ValueError(
                    f"the loss {name!r} has no gradient, so minimizing it moves nothing; "
                    "was it computed under no_grad, or from the teacher's output?"
                )
        self.losses |= {name: loss.detach() for name, loss in losses.items()}
        self.noted += [(self.step, f"the loss {name!r}", self.losses[name].isfinite()) for name in losses]
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        with torch.autocast(weights[0].device.type, enabled=False):
            if self.measure:
                self.gradients |= gradient_norms(losses, weights)
            torch.stack([loss.float() for loss in losses.values()]).sum().backward(inputs=weights)
        self._average(weights)
        norm = nn.utils.clip_grad_norm_(weights, self.clip or math.inf, foreach=True)
        self.noted.append((self.step, f"the gradient of {' + '.join(losses)}", norm.isfinite()))
        for optimizer in optimizers:
            optimizer.step()
        torch.clear_autocast_cache()  # else a bf16 region goes on with the weights before the move

    def _average(self, weights: Sequence[Tensor]) -> None:
        """Gradients become their mean over the processes; one that is missing counts as zero, unless all miss it."""
        somewhere = self.processes.most([p.grad is not None for p in weights])
        gradients = []
        for p, known in zip(weights, somewhere, strict=True):
            if known:
                p.grad = torch.zeros_like(p) if p.grad is None else p.grad
                gradients.append(p.grad)
        self.processes.average(gradients)

    def mean(self, tensor: Tensor) -> Tensor:
        """The mean over the processes of what moves state other than weights, e.g. a center; no gradient passes."""
        tensor = tensor.detach().clone()
        self.processes.average([tensor])
        return tensor

    def log(self, **figures: Tensor | float) -> None:
        """Note figures that are no losses, e.g. the share of pseudo-labels that were kept."""
        for name, figure in figures.items():
            self.logged[name] = torch.as_tensor(figure).detach()

    def check(self) -> None:
        """Raise `NotFinite` if a loss or gradient since the last check was not finite; waits for the device.

        It names the first: what comes after it is broken too. All processes raise, whoever's it was.
        """
        noted, self.noted = self.noted, []
        fine = torch.stack([each for *_, each in noted]).tolist() if noted else []
        broken = self.processes.most([not good for good in fine])
        if any(broken):
            first = broken.index(True)
            step, what, _ = noted[first]
            raise NotFinite(f"{what} is not finite", step, here=not fine[first])

    def set_rate(self, factor: float) -> None:
        """Scale each learning rate; a group with ``scheduled=False`` keeps its own."""
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                if group.get("scheduled", True):
                    group["lr"] = group["initial_lr"] * factor
