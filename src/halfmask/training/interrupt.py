"""SIGTERM and Ctrl-C end a training after the step it is in, not in the middle of it."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

from halfmask.training.launch import LAUNCHER


class Stopped(KeyboardInterrupt):
    """Training was told to stop by a signal; what it had reached is saved."""

    def __init__(self, message: str, signal: int):
        super().__init__(message)
        self.signal = signal


class Interrupt:
    """A context manager in which signals are noted instead of obeyed; a second Ctrl-C is obeyed.

    One of several processes whose launcher is gone, and with it who would pass signals on, counts as told to stop.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __enter__(self) -> Interrupt:
        self.noted: int | None = None
        if threading.current_thread() is threading.main_thread():  # only there may handlers be set
            self.before = {s: signal.signal(s, self._note) for s in self.SIGNALS}
        else:
            self.before = {}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    @property
    def received(self) -> int | None:
        """The signal that came last, if any."""
        launcher = os.environ.get(LAUNCHER)
        if self.noted is None and launcher is not None and int(launcher) != os.getppid():
            return signal.SIGTERM
        return self.noted

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.noted is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.noted = number
