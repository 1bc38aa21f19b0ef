"""What comparing slices of partitions costs: both objectives, as batched products and as plain loops, and of a step.

    python benchmarks/comparative.py [--small] [--rounds 5] [--network unetr] [--patch 96] [--batch 2]

"Up to 17 times faster pre-training" is what the paper says of the comparative objective against the contrastive one.
Three questions, each measured in turns in one run: how the two compare when both are written as loops over images and
partitions; how they compare when both are batched; and what share of a whole pre-training step the objective has.
Objectives are timed forward and backward along the first axis, slices drawn anew each time; the shares of a step count
all three axes. Prints Markdown.
"""

from __future__ import annotations

import argparse
import functools
import statistics
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from turns import Times, by_turns

from halfmask.augment.views import strong
from halfmask.data.batch import Batch, Images
from halfmask.learning.clock import Clock
from halfmask.learning.minimize import Minimizer
from halfmask.losses.partitions import comparative, partition_contrast, sampled_comparative, similarity, slices
from halfmask.methods.pretraining.comparative import Comparative
from halfmask.methods.pretraining.partition_contrast import PartitionContrast
from halfmask.networks.factory import Builder

OBJECTIVES = {"comparative": comparative, "contrastive": partition_contrast, "one triplet": sampled_comparative}
CLASSES, HIDDEN = 4, 768


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--partitions", type=int, nargs="+", default=[4, 8, 16, 32])
    parser.add_argument("--network", default="unetr")
    parser.add_argument("--patch", type=int, default=96)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--small", action="store_true", help="prove that it runs: a small U-Net, 32³, P = 4 and 8")
    given = parser.parse_args()
    if given.small:
        given.network, given.patch, given.rounds, given.partitions = "unet", 32, 3, [4, 8]

    print(f"{given.batch} images, {_machine()}; medians of {given.rounds} turns.\n")
    print(
        "| slices of | P | objective | batched | as loops | loops / batched | batched / comparative | loops / comp. |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for what, maps, side, features in (("class maps", CLASSES, given.patch, 1), ("features", 1, None, HIDDEN)):
        for parts in given.partitions:
            _objectives(what, maps, side or max(parts, given.patch // 16), features, parts, given)
    print()
    _shares(given)


def _objectives(what: str, maps: int, side: int, features: int, parts: int, given: argparse.Namespace) -> None:
    """Rows of one P. The features' grid is as fine as P needs, else that of a patch divided by 16."""
    x = torch.randn(given.batch, maps * features, side, side, side).requires_grad_()
    batched = {name: functools.partial(_batched, x, maps, parts, loss) for name, loss in OBJECTIVES.items()}
    loops = {f"{name}, loops": functools.partial(_loops, x, maps, parts, name) for name in OBJECTIVES}
    times = _medians(by_turns({**batched, **loops}, given.rounds))
    for name in OBJECTIVES:
        own, plain = times[name], times[f"{name}, loops"]
        ratios = own / times["comparative"], plain / times["comparative, loops"]
        cells = [f"{what}, {side}³", f"{parts}", name, f"{own:.3g} ms", f"{plain:.3g} ms", f"{plain / own:.1f}"]
        print("| " + " | ".join([*cells, *(f"{ratio:.2f}" for ratio in ratios)]) + " |", flush=True)


def _batched(x: Tensor, maps: int, parts: int, objective: Callable[..., Tensor]) -> None:
    each = slices(x, 0, parts)
    objective(similarity(each.unflatten(2, (maps, -1)).flatten(3).movedim(2, 0))).backward()


def _loops(x: Tensor, maps: int, parts: int, name: str) -> None:
    """As one would write it first: a loop over classes, pairs of images and partitions, a cosine for each pair."""
    side, B = x.shape[2], len(x)
    draw = lambda p: int(torch.randint(p * side // parts, (p + 1) * side // parts, ()))
    place = [[draw(p) for p in range(parts)] for _ in range(B)]
    each = [[[part[:, place[i][p]].flatten() for p in range(parts)] for i, part in enumerate(x.chunk(maps, 1)[c])]
            for c in range(maps)]  # fmt: skip
    cosine = functools.partial(F.cosine_similarity, dim=0)
    terms: list[Tensor] = []
    for k in range(maps):
        for i in range(B):
            for j in set(range(B)) - {i} if name != "one triplet" else [(i + int(torch.randint(1, B, ()))) % B]:
                for p in range(parts) if name != "one triplet" else [int(torch.randint(parts, ()))]:
                    same, others = cosine(each[k][i][p], each[k][j][p]), sorted(set(range(parts)) - {p})
                    if name == "contrastive":
                        against = torch.stack([cosine(each[k][i][p], each[k][i][q]) for q in others])
                        terms.append(F.softplus(against.logsumexp(0) - same))
                        continue
                    if name == "one triplet":
                        others = [others[int(torch.randint(parts - 1, ()))]]
                    terms += [F.softplus(cosine(each[k][i][p], each[k][i][q]) - same) for q in others]
    torch.stack(terms).mean().backward()


def _shares(given: argparse.Namespace) -> None:
    """What the objective takes of a step with its views, network, gradients and optimizer, in both stages."""
    patch = (given.patch,) * 3
    network = Builder(given.network, channels=1, classes=CLASSES, dims=3, patch=patch)
    image = torch.randn(given.batch, 1, *patch)
    empty = Images(image[:0], None, torch.zeros(0, dtype=torch.long))
    batch = Batch(empty, Images(image, None, torch.arange(given.batch)))
    print("| stage | method | step | views | objective, all axes | share of the step |\n|---|---|---|---|---|---|")
    for stage in (1, 2):
        for kind in (Comparative, PartitionContrast):
            method = kind(network, stop="never", partitions=4).train()
            minimize = Minimizer(method, method.optimizers(functools.partial(torch.optim.AdamW, lr=1e-4)))
            clock = Clock(60 * (stage - 1), 100)
            method.step(batch, minimize, clock)
            with torch.no_grad():
                x = method.student.encode(image)[-1] if stage == 1 else method.student(image)
            objective = functools.partial(_all_axes, x.detach().requires_grad_(), method)
            contestants = {
                "step": functools.partial(method.step, batch, minimize, clock),
                "views": functools.partial(strong, image),
                "objective": objective,
            }
            times = _medians(by_turns(contestants, given.rounds))
            share = times["objective"] / times["step"]
            cells = [f"{stage}", kind.__name__, *(f"{times[name]:.3g} ms" for name in contestants), f"{share:.2%}"]
            print("| " + " | ".join(cells) + " |", flush=True)
    print(f"\n{given.network}, {'×'.join(map(str, patch))}, batch {given.batch}, P = 4, {_machine()}")


def _all_axes(x: Tensor, method: Comparative | PartitionContrast) -> None:
    parts: Sequence[int] = method.parts[method.stage - 1]
    losses = [method.objective(similarity(method._maps(slices(x, axis, n)))) for axis, n in enumerate(parts) if n > 1]
    torch.stack(losses).mean().backward()


def _medians(times: Times) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in times.items()}


def _machine() -> str:
    return f"CPU, {torch.get_num_threads()} threads, torch {torch.__version__}"


if __name__ == "__main__":
    main()
