"""What a run was made with: versions and hardware, for those who read its result."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch

from halfmask import __version__
from halfmask.learning.processes import Processes


def made_with() -> dict[str, str | int]:
    """Versions of halfmask, Python and PyTorch; the system, its processor and how many cores it has."""
    return {
        "halfmask": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "system": platform.platform(terse=True),
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
    }


def computed_on(device: torch.device, processes: Processes) -> dict[str, Any]:
    """How many processes a run had, its device and threads, and on GPUs the most memory that one of them took."""
    cuda = device.type == "cuda"
    told: dict[str, Any] = {
        "processes": processes.size,
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "threads": torch.get_num_threads(),
    }
    if cuda:
        told["peak_memory_gib"] = round(max(processes.gather(torch.cuda.max_memory_allocated())) / 2**30, 2)
    return told


def _processor() -> str:
    """Its name; Linux tells it in a file only."""
    file = Path("/proc/cpuinfo")
    if file.is_file():
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
