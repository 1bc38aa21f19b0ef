"""What a run was made with: versions and hardware, for those who read its result."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch

from halfmask import __version__


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


def _processor() -> str:
    """Its name; Linux tells it in a file only."""
    file = Path("/proc/cpuinfo")
    if file.is_file():
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
