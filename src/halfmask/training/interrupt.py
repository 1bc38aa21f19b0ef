"""SIGTERM and Ctrl-C end a training after the step it is in, not in the middle of it."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class Stopped(KeyboardInterrupt):
    """Training was told to stop by a signal; what it had reached is saved."""

    def __init__(self, message: str, signal: int):
        super().__init__(message)
        self.signal = signal


class Interrupt:
    """A context manager in which signals are noted instead of obeyed; a second Ctrl-C is obeyed."""

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __enter__(self) -> Interrupt:
        self.received: int | None = None
        if threading.current_thread() is threading.main_thread():  # only there may handlers be set
            self.before = {s: signal.signal(s, self._note) for s in self.SIGNALS}
        else:
            self.before = {}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number
