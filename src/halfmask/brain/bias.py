"""Correction of the bias field."""

from __future__ import annotations

import SimpleITK as sitk

FITTED = 4.0
"""mm between the voxels that the field is fitted to: it is smooth."""


def log_bias_field(image: sitk.Image, mask: sitk.Image) -> sitk.Image:
    """The logarithm of the field by which an image is uneven, on the image's grid, by N4 (Tustison et al., 2010).

    Args:
        image: float32, as scanned.
        mask: where to look, on the same grid.
    """
    factors = [max(1, round(FITTED / s)) for s in image.GetSpacing()]
    low = sitk.Shrink(image - _least(image), factors)  # the logarithm wants what is above 0
    inside = sitk.Shrink(mask, factors)
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations([50, 50, 30, 20])
    n4.SetConvergenceThreshold(1e-3)
    n4.Execute(sitk.Cast(low, sitk.sitkFloat32) + 1e-3, inside)
    return sitk.Cast(n4.GetLogBiasFieldAsImage(image), sitk.sitkFloat32)


def corrected(image: sitk.Image, log_field: sitk.Image) -> sitk.Image:
    """The image without the field, which was fitted to what lies above the least of an image with values below 0."""
    least = _least(image)
    return (image - least) / sitk.Exp(log_field) + least


def _least(image: sitk.Image) -> float:
    """What is below 0 is moved up; nothing else."""
    found = sitk.MinimumMaximumImageFilter()
    found.Execute(image)
    return min(0.0, found.GetMinimum())
