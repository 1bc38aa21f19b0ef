"""A process that another started ends with it, so that none goes on unseen."""

from __future__ import annotations

import ctypes
import os
import signal
import sys


def end_with_parent(parent: int) -> None:
    """Be sent SIGTERM when the parent, the process with this id, ends in any way, and end now if it has.

    Only Linux can do so; elsewhere nothing happens.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # it was gone before we asked
            os._exit(1)
