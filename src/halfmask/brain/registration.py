"""Rigid registration by mutual information."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

BINS = 48
SEED = 1
"""Of the points that are looked at, which lie anywhere in their voxels."""
PITCHES = (0.0, -0.4, 0.4)
"""Radians by which a head may be nodded against the reference: where the search begins."""
Point = tuple[float, float, float]
"""In mm."""


@dataclass(frozen=True)
class Registration:
    """Attributes:
    transform: from points of the fixed image to points of the moving one, mm.
    information: Mattes' mutual information there, in nats.
    """

    transform: sitk.Euler3DTransform
    information: float

    @property
    def degrees(self) -> float:
        """The angle of the rotation."""
        matrix = np.reshape(self.transform.GetMatrix(), (3, 3))
        return math.degrees(math.acos(np.clip((np.trace(matrix) - 1) / 2, -1, 1)))

    def shift(self, point: Iterable[float]) -> float:
        """By how many mm a point of the fixed image moves."""
        at = tuple(point)
        return math.dist(self.transform.TransformPoint(at), at)


def align(fixed: sitk.Image, moving: sitk.Image) -> Registration:
    """Two modalities of one session, rigidly, beginning where their headers put them.

    Args:
        fixed, moving: float32; finer voxels than 1.5 mm gain little here and cost much.
    """
    start = sitk.Euler3DTransform()
    start.SetCenter(center_of(fixed))
    found, information = _search(fixed, moving, start)
    return Registration(sitk.Euler3DTransform(found), information)


def place(fixed: sitk.Image, moving: sitk.Image, middles: tuple[Point, Point]) -> Registration:
    """One brain to another's place: the rigid part of the best affine transform.

    Brains differ in size. A rigid search among them has several optima, up to 20 degrees of nodding apart; an affine
    one finds the same from all of them (docs/results.md, "Brains").

    Args:
        fixed, moving: stripped, float32.
        middles: of the fixed and the moving brain, which the search begins with and turns about.
    """
    starts = [_start(middles, pitch) for pitch in PITCHES]
    begun = [_search(fixed, moving, start, (4,)) for start in starts]
    best, _ = max(begun, key=lambda pair: pair[1])
    found, information = _search(fixed, moving, best)
    affine = sitk.AffineTransform(found)
    u, _, v = np.linalg.svd(np.reshape(affine.GetMatrix(), (3, 3)))
    rigid = sitk.Euler3DTransform()
    rigid.SetCenter(affine.GetCenter())
    rigid.SetMatrix((u @ v).ravel().tolist(), 1e-6)
    rigid.SetTranslation(affine.GetTranslation())
    return Registration(rigid, information)


def _start(middles: tuple[Point, Point], pitch: float) -> sitk.AffineTransform:
    """Brings one middle onto the other, nodding by ``pitch`` about it."""
    nod = sitk.Euler3DTransform(middles[0], pitch, 0.0, 0.0)
    start = sitk.AffineTransform(3)
    start.SetCenter(middles[0])
    start.SetMatrix(nod.GetMatrix())
    start.SetTranslation(np.subtract(middles[1], middles[0]).tolist())
    return start


def _search(
    fixed: sitk.Image, moving: sitk.Image, start: sitk.Transform, shrink: Sequence[int] = (4, 2, 1)
) -> tuple[sitk.Transform, float]:
    """The transform of the start's kind with the greatest mutual information (Mattes et al., 2003), and that."""
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(0.2 if shrink[-1] == 1 else 1.0, SEED)  # else by the clock
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 1e-3, 200, 0.5)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(list(shrink))
    method.SetSmoothingSigmasPerLevel([factor / 2 if factor > 1 else 0 for factor in shrink])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetInitialTransform(start, inPlace=False)
    found = method.Execute(fixed, moving)
    return found.GetNthTransform(0) if isinstance(found, sitk.CompositeTransform) else found, -method.GetMetricValue()


def center_of(image: sitk.Image) -> Point:
    """The middle of the field of view, mm."""
    return image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()])


def middle_of(mask: sitk.Image) -> Point:
    """The center of mass of a mask, mm."""
    measured = sitk.LabelShapeStatisticsImageFilter()
    measured.Execute(mask)
    return measured.GetCentroid(1)
