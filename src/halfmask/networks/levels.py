"""How deep a network goes: strides and kernel sizes of its levels, and what they are where nobody says."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

Shape = tuple[int, ...]
Levels = tuple[Shape, ...]
"""One shape per level, finest first, e.g. strides ((1, 1, 1), (1, 2, 2), (2, 2, 2))."""


def by(shape: Sequence[int]) -> str:
    """The shape as people write it: ``40×56×40``."""
    return "×".join(map(str, shape))


def check_sides(dims: int, patch: Sequence[int]) -> None:
    """Raise ValueError unless the patch has 2 or 3 sides, as many as ``dims``."""
    if dims not in (2, 3):
        raise ValueError(f"a network has 2 or 3 dims, not {dims}")
    if len(patch) != dims:
        raise ValueError(f"a network of {dims} dims needs a patch of {dims} sides, not {by(patch)}")


def halving(dims: int, count: int, first: int = 1) -> Levels:
    """The strides of a network that halves all axes ``count`` times, whatever the patch, after a first stride."""
    return ((first,) * dims, *((2,) * dims,) * count)


def halvings(patch: Shape, most: int, least: int = 4) -> Levels:
    """The stride from each level to the next, isotropic, as deep as the patch allows.

    Every side of the bottleneck is whole and at least ``least``; there are at most ``most`` halvings.

    Raises:
        ValueError: where sides that divide badly would make the network two levels shallower than a patch of
            this size deserves, or leave no halving at all.
    """
    deep = lambda n: all(side % 2**n == 0 and side // 2**n >= least for side in patch)
    depth = max(n for n in range(most + 1) if n == 0 or deep(n))
    fair = max(n for n in range(most + 1) if n == 0 or min(patch) // 2**n >= least)
    if depth == 0 or depth < fair - 1:
        unit = 2 ** max(fair, 1)
        fit = [max(ceil(side / unit) * unit, unit * least) for side in patch]
        raise ValueError(
            f"a patch of {by(patch)} can be halved {depth} times, its size would allow {fair}: "
            f"make each side a multiple of {unit}, e.g. {by(fit)}, or give the pooling of each level"
        )
    return tuple((1 if level == 0 else 2,) * len(patch) for level in range(depth + 1))


def kernels_of(pooling: Levels) -> Levels:
    """Kernel sizes as nnU-Net plans them: 1 along an axis at levels before it is first halved, 3 elsewhere.

    An axis that is halved later than others is one with coarse spacing. The level that the halving starts
    from has 3 already, and so has the bottleneck in any case.
    """
    last = len(pooling) - 1
    halved = lambda level, axis: any(stride[axis] > 1 for stride in pooling[: level + 2])
    return tuple(
        tuple(3 if level == last or halved(level, axis) else 1 for axis in range(len(pooling[0])))
        for level in range(len(pooling))
    )


def plan_levels(
    dims: int,
    patch: Sequence[int],
    pooling: Sequence[Sequence[int]] | None,
    kernels: Sequence[Sequence[int]] | None,
    most: int,
) -> tuple[Levels, Levels]:
    """Strides from level to level and kernel sizes, checked, and derived from the patch where not given.

    Args:
        pooling: the stride of each level relative to the one above it, ones at level 0.
        most: how many halvings to derive at most.
    """
    check_sides(dims, patch)
    strides = halvings(tuple(patch), most) if pooling is None else tuple(map(tuple, pooling))
    if any(len(stride) != dims for stride in strides) or set(strides[:1]) != {(1,) * dims}:
        raise ValueError(f"pooling must start with {(1,) * dims} and have {dims} strides a level, not {pooling}")
    sizes = kernels_of(strides) if kernels is None else tuple(map(tuple, kernels))
    if len(sizes) != len(strides) or any(len(kernel) != dims for kernel in sizes):
        raise ValueError(f"pooling has {len(strides)} levels of {dims} strides; kernels do not match: {kernels}")
    if any(size % 2 == 0 for kernel in sizes for size in kernel):
        raise ValueError(f"kernels must be odd, not {kernels}")
    return strides, sizes
