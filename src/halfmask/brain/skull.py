"""Where the brain is in a head."""

from __future__ import annotations

import functools
import importlib.util
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from halfmask.brain.image import as_array, grid_of, isotropic, like, resampled

SMALLEST = 100.0
"""ml: less than that is no brain."""


def brain_mask(head: sitk.Image, by: str) -> sitk.Image:
    """The brain with its fluid (uint8, 0 and 1) on the head's grid.

    Args:
        head: T1-weighted, or whatever ``by`` takes.
        by: "deepbet" (Fisch et al., 2024), "hd-bet" (Isensee et al., 2019), "synthstrip" (Hoopes et al., 2022), or
            "none": all that is not air.

    Raises:
        ValueError: nothing that could be a brain was found.
    """
    if by == "none":
        return not_air(head)
    fine = isotropic(head, 1.0)  # thick slices are hard on networks that saw thin ones
    found = _TOOLS[by](fine)
    milliliters = float(as_array(found).sum()) / 1000
    if milliliters < SMALLEST:
        raise ValueError(f"{by} found a brain of {milliliters:.0f} ml; is this a head, and the first modality a T1?")
    soft = sitk.SmoothingRecursiveGaussian(sitk.Cast(found, sitk.sitkFloat32), 0.7)
    return sitk.Cast(resampled(soft, head) > 0.5, sitk.sitkUInt8)


def missing_tool(by: str) -> str | None:
    """What has to be installed before ``by`` can be used; None if it is there."""
    if by == "deepbet":
        there = importlib.util.find_spec("deepbet") is not None
        return None if there else "deepbet is not installed; pip install 'halfmask[brain]' brings it with its weights"
    if by == "hd-bet" and shutil.which("hd-bet") is None:
        return (
            "there is no command hd-bet; pip install hd-bet brings it, and it loads its weights (Zenodo) when it is "
            "first used, so use it once where there is a network"
        )
    if by == "synthstrip" and _synthstrip() is None:
        return (
            "there is neither mri_synthstrip nor nipreps-synthstrip; FreeSurfer (7.3 or later) brings the first with "
            "its weights, pip install nipreps-synthstrip the second, which takes synthstrip.1.pt from FreeSurfer's "
            "models folder (set FREESURFER_HOME)"
        )
    return None


def not_air(head: sitk.Image) -> sitk.Image:
    """All that is brighter than air, without holes; of an image with constant background, all but that."""
    array = as_array(head)
    border = np.concatenate([array[[0, -1]].ravel(), array[:, [0, -1]].ravel(), array[:, :, [0, -1]].ravel()])
    background = float(np.median(border))
    if (border == background).mean() > 0.95 and (array == background).mean() > 0.3:  # stripped, or cleaned, already
        inside = like((array != background).astype(np.uint8), head)
    else:
        inside = sitk.OtsuThreshold(head, 0, 1)
    parts = sitk.RelabelComponent(sitk.ConnectedComponent(inside), sortByObjectSize=True)
    return sitk.Cast(sitk.BinaryFillhole(sitk.Cast(parts == 1, sitk.sitkUInt8)), sitk.sitkUInt8)


def _deepbet(head: sitk.Image) -> sitk.Image:
    import nibabel

    tool = _deepbet_network()
    scan = nibabel.Nifti1Image(as_array(head), grid_of(head).affine)
    try:
        _, mask, _ = tool.run(scan)
    except (AssertionError, ValueError, IndexError) as e:  # how it says that it sees no brain
        raise ValueError(f"deepbet found no brain ({e}); is this a head, and the first modality a T1?") from e
    return like(np.asarray(mask.dataobj).astype(np.uint8), head)


@functools.lru_cache(1)
def _deepbet_network() -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="deepbet|torch")  # it loads TorchScript, which is to go one day
        from deepbet.bet import BrainExtraction

        return BrainExtraction(no_gpu=True)


def _hd_bet(head: sitk.Image) -> sitk.Image:
    command = [
        "hd-bet",
        "-i",
        "head.nii.gz",
        "-o",
        "brain.nii.gz",
        "-device",
        "cpu",
        "--disable_tta",
        "--save_bet_mask",
    ]
    return _called(head, command, ("brain_bet.nii.gz", "brain_mask.nii.gz"))


def _synthstrip_mask(head: sitk.Image) -> sitk.Image:
    return _called(head, [_synthstrip() or "", "-i", "head.nii.gz", "-m", "mask.nii.gz"], ("mask.nii.gz",))


def _synthstrip() -> str | None:
    return next((name for name in ("mri_synthstrip", "nipreps-synthstrip") if shutil.which(name)), None)


def _called(head: sitk.Image, command: list[str], masks: tuple[str, ...]) -> sitk.Image:
    """The mask that a command writes beside the head that it was given."""
    with tempfile.TemporaryDirectory() as folder:
        sitk.WriteImage(head, str(Path(folder) / "head.nii.gz"))
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        written = next((file for name in masks if (file := Path(folder) / name).exists()), None)
        if done.returncode or written is None:
            said = (done.stderr or done.stdout).strip().splitlines()[-3:]
            raise ValueError(f"{' '.join(command)} gave no mask (exit code {done.returncode}): {' / '.join(said)}")
        return like((as_array(sitk.ReadImage(str(written))) > 0).astype(np.uint8), head)


_TOOLS: dict[str, Callable[[sitk.Image], sitk.Image]] = {
    "deepbet": _deepbet,
    "hd-bet": _hd_bet,
    "synthstrip": _synthstrip_mask,
}
