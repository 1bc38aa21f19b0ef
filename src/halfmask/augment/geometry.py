"""Geometric augmentation: flips, rotation, scale, jitter and elastic deformation in one resampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor

from halfmask.augment.draw import sometimes, to_device, uniform
from halfmask.augment.resample import edges, positions, take
from halfmask.augment.spline import spline
from halfmask.data.batch import IGNORE

KNOTS = 8
"""Control points of the elastic deformation along each axis: five intervals."""


@dataclass(frozen=True)
class Geometry:
    """A geometric transform per sample, which images, labels and probabilities undergo alike.

    Output voxel o shows the source at ``matrix @ o + offset + displacement[o]``, in voxels counted from the
    center of the first. Samples that are only flipped and shifted by whole voxels are copied and keep their
    values bit for bit; the others take one `grid_sample`.

    Attributes:
        source: the shape of what comes in. It may be larger than `shape`, which gives rotations real context.
        shape: the shape of what goes out, cut from the middle of the source.
        matrix: (B, D, D), float64, on the CPU.
        offset: (B, D), float64, on the CPU.
        copied: (B,), bool, on the CPU: samples that need no interpolation.
        displacement: (B, D, *shape) voxels, on `device`, or None.
        device: where the images are.
    """

    source: tuple[int, ...]
    shape: tuple[int, ...]
    matrix: Tensor
    offset: Tensor
    copied: Tensor
    displacement: Tensor | None
    device: torch.device

    @classmethod
    def draw(
        cls,
        like: Tensor,
        shape: Sequence[int] | None = None,
        *,
        flips: Sequence[bool] | None = None,
        rotation: float = 0.0,
        scale: tuple[float, float] = (1.0, 1.0),
        elastic: float = 0.0,
        jitter: int | Sequence[int] = 0,
        spacing: Sequence[float] | None = None,
        free: Sequence[bool] | None = None,
        p_flip: float = 0.5,
        p_rotation: float = 1.0,
        p_scale: float = 1.0,
        p_elastic: float = 1.0,
    ) -> Geometry:
        """A random transform for every sample of `like` (B, C, *source).

        Args:
            shape: voxels per axis of the output; default: the source's.
            flips: axes that may be flipped (default none); each is, with probability `p_flip`.
            rotation: the greatest angle in radians, drawn for every plane of two free axes.
            scale: the range of the magnification, above 1 showing things larger; drawn log-uniformly.
            elastic: the greatest displacement of a control point along an axis, in voxels of the finest axis.
                Over 0.4 intervals between control points (0.4 · size / 5) would fold space and is refused
                (Choi & Lee, 2000, doi:10.1006/gmod.1999.0516).
            jitter: the greatest shift, in whole voxels.
            spacing: mm per axis (default equal); rotations and deformations take place in mm.
            free: axes that rotate, scale and bend (default all). Those across thick slices should not.
        """
        batch_size, source = len(like), tuple(like.shape[2:])
        dims, shape = len(source), source if shape is None else tuple(shape)
        spacing = [1.0] * dims if spacing is None else spacing
        able = torch.tensor([True] * dims if free is None else free)
        planes = combinations(range(dims), 2)
        turning = torch.tensor([bool(able[a] & able[b]) for a, b in planes])
        angle = uniform((batch_size, len(turning)), -rotation, rotation) * turning
        low, high = torch.tensor(scale).log().tolist()
        zoom = sometimes(uniform((batch_size, 1), low, high), p_scale, 0.0).exp()
        flip = torch.rand(batch_size, dims) < p_flip
        reach = torch.as_tensor(jitter).expand(dims)
        knots = None
        if elastic:
            finest = torch.tensor([min(spacing) / mm for mm in spacing]) * able  # its voxel, in each axis's own
            room = min(0.4 * n / (KNOTS - 3) / f for n, f in zip(shape, finest.tolist(), strict=True) if f)
            if elastic > room:
                raise ValueError(f"elastic={elastic:g} would fold a patch of {shape} voxels; at most {room:.3g}")
            knots = uniform((batch_size, dims, *[KNOTS] * dims), -elastic, elastic)
            knots = sometimes(knots, p_elastic, 0.0) * finest.view(dims, *[1] * dims)
        return cls.of(
            source,
            shape,
            angle=sometimes(angle, p_rotation, 0.0),
            scale=torch.where(able, zoom, 1.0),
            flip=flip & torch.tensor([False] * dims if flips is None else flips),
            shift=(torch.rand(batch_size, dims) * (2 * reach + 1)).floor() - reach,
            knots=knots,
            spacing=spacing,
            device=like.device,
        )

    @classmethod
    def of(
        cls,
        source: Sequence[int],
        shape: Sequence[int],
        *,
        angle: Tensor,
        scale: Tensor | float = 1.0,
        flip: Tensor | bool = False,
        shift: Tensor | float = 0.0,
        knots: Tensor | None = None,
        spacing: Sequence[float] | None = None,
        device: torch.device | str = "cpu",
    ) -> Geometry:
        """The transform with these parameters, all on the CPU.

        Args:
            angle: (B, planes) radians, from a plane's first axis to its second, as `torch.rot90` turns; the
                planes are (0, 1) in 2D and (0, 1), (0, 2), (1, 2) in 3D.
            scale, flip, shift: (B, D) or broadcast to it; `shift` moves the center in the source, in voxels.
            knots: (B, D, *m) voxels, the displacement's control points.
        """
        source, shape, device = tuple(source), tuple(shape), torch.device(device)
        unit = torch.eye(len(shape), dtype=torch.float64)
        matrix = unit.repeat(len(angle), 1, 1)
        for (a, b), turn in zip(combinations(range(len(shape)), 2), angle.double().unbind(1), strict=True):
            plane = unit.repeat(len(angle), 1, 1)
            plane[:, a, a] = plane[:, b, b] = turn.cos()
            plane[:, a, b] = turn.sin()
            plane[:, b, a] = -turn.sin()
            matrix = matrix @ plane
        mm = torch.tensor([1.0] * len(shape) if spacing is None else spacing, dtype=torch.float64)
        stretch = (1 - 2 * torch.as_tensor(flip).double()) / torch.as_tensor(scale).double()
        # Exactly ±1 on the diagonal where nothing rotates or scales: that is how copied samples are known.
        matrix = matrix * stretch.expand(len(angle), len(shape))[:, None] * (mm / mm[:, None])
        middle = (torch.tensor(shape, dtype=torch.float64) - 1) / 2
        # Whole voxels, so that odd margins do not put the identity between two of them.
        start = (torch.tensor(source) - torch.tensor(shape)).div(2, rounding_mode="floor")
        offset = middle + start + torch.as_tensor(shift) - matrix @ middle
        copied = (matrix.abs() == unit).flatten(1).all(1) & (offset == offset.round()).all(1)
        if knots is None:
            return cls(source, shape, matrix, offset, copied, None, device)
        copied = copied & (knots == 0).flatten(1).all(1)
        return cls(source, shape, matrix, offset, copied, spline(to_device(knots, device), shape), device)

    def image(self, x: Tensor) -> Tensor:
        """(B, C, *source) → (B, C, *shape), interpolated linearly, 0 outside the field; differentiable."""
        return self._resample(x, "bilinear", 0)

    def probability(self, p: Tensor) -> Tensor:
        """The same for probabilities or logits (B, K, *source); `inside` tells where they mean anything."""
        return self.image(p)

    def label(self, y: Tensor) -> Tensor:
        """(B, *source) → (B, *shape), each voxel the nearest one's class, `IGNORE` outside the field."""
        return self._resample(y[:, None], "nearest", IGNORE)[:, 0]

    def place(self, place: Tensor) -> Tensor:
        """(B, 3, D + 1) of `Images.place` before → after; the displacement is left out."""
        into, at = place[..., :-1], place[..., -1:]
        return torch.cat([into @ self.matrix, into @ self.offset[..., None] + at], -1)

    def inside(self) -> Tensor:
        """(B, 1, *shape), bool: voxels whose value comes wholly from within the field."""
        # There the weights of the interpolation sum to 1; less a thousandth of a voxel for rounding.
        return self.image(torch.ones(len(self.matrix), 1, *self.source, device=self.device)) > 0.999

    def coarser(self, stride: Sequence[int]) -> Geometry:
        """The same transform for maps whose voxels are means of ``stride`` of the image's, as features are.

        Raises:
            ValueError: the shapes are not multiples of the stride, or the transform is elastic.
        """
        sides = [n % s for shape in (self.source, self.shape) for n, s in zip(shape, stride, strict=True)]
        if any(sides) or self.displacement is not None:
            raise ValueError(f"no elastic transform, and none from {self.source} to {self.shape}, goes by {stride}")
        unit = torch.tensor(stride, dtype=torch.float64)
        middle = (unit - 1) / 2  # of the first coarse voxel, in the image's
        matrix = self.matrix * unit / unit[:, None]
        offset = (self.matrix @ middle + self.offset - middle) / unit
        whole = (matrix.abs() == torch.eye(len(stride))).flatten(1).all(1) & (offset == offset.round()).all(1)
        shrunk = [tuple(n // s for n, s in zip(shape, stride, strict=True)) for shape in (self.source, self.shape)]
        return Geometry(shrunk[0], shrunk[1], matrix, offset, whole, None, self.device)

    def inverse(self, iterations: int = 10) -> Geometry:
        """The transform back from `shape` to `source`; applied after this one it interpolates once more.

        Exact for flips, shifts and affine maps. A deformation is inverted by fixed-point iteration,
        o ← A⁻¹(s − t − d(o)), to within 0.001 voxels wherever o lies in the field.
        """
        matrix = torch.linalg.inv(self.matrix)
        offset = -(matrix @ self.offset[..., None])[..., 0]
        if self.displacement is None:
            return Geometry(self.shape, self.source, matrix, offset, self.copied, None, self.device)
        inverted = to_device(matrix.float(), self.device)[..., None]
        pull = -(inverted * self.displacement.flatten(2)[:, None]).sum(2).view_as(self.displacement)  # −A⁻¹ d
        straight = positions(matrix, offset, self.source, self.device)
        scale, shift = (to_device(t.float(), self.device) for t in edges(self.shape))
        moved = torch.zeros_like(straight)
        for _ in range(iterations):
            grid = ((straight + moved).movedim(1, -1) * scale + shift).flip(-1)
            moved = F.grid_sample(pull, grid, padding_mode="border", align_corners=False)
        return Geometry(self.shape, self.source, matrix, offset, self.copied, moved, self.device)

    def _resample(self, x: Tensor, mode: str, fill: int) -> Tensor:
        if len(x) != len(self.matrix) or x.shape[2:] != self.source:
            raise ValueError(f"drawn for {len(self.matrix)} images of {self.source}, given {tuple(x.shape)}")
        copied, moved = self.copied.nonzero()[:, 0], (~self.copied).nonzero()[:, 0]
        sign = self.matrix.diagonal(dim1=1, dim2=2)
        if not len(moved):
            return take(x, sign, self.offset, self.shape, fill)
        if not len(copied):
            return self._interpolate(x, mode, fill)
        out = x.new_empty(*x.shape[:2], *self.shape)
        rows = to_device(copied, x.device)
        out.index_copy_(0, rows, take(x[rows], sign[copied], self.offset[copied], self.shape, fill))
        rows = to_device(moved, x.device)
        return out.index_copy_(0, rows, self._interpolate(x[rows], mode, fill))

    def _interpolate(self, x: Tensor, mode: str, fill: int) -> Tensor:
        values = x.float() - fill if fill else x.float()  # `grid_sample` knows floats and fills with 0
        return F.grid_sample(values, self._grid, mode=mode, align_corners=False).to(x.dtype).add_(fill)

    @cached_property
    def _grid(self) -> Tensor:
        """What `grid_sample` asks for, of the samples that are not copied; image and label share it."""
        moved = (~self.copied).nonzero()[:, 0]
        scale, shift = edges(self.source)
        matrix, offset = self.matrix[moved] * scale[:, None], self.offset[moved] * scale + shift
        grid = positions(matrix.flip(1), offset.flip(1), self.shape, self.device)  # it names the last axis first
        if self.displacement is not None:
            away = self.displacement[to_device(moved, self.device)].flip(1)
            grid += away * to_device(scale.float().flip(0), self.device).view(-1, *[1] * len(self.shape))
        return grid.movedim(1, -1)
