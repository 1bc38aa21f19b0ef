"""SIGTERM, Ctrl-C and a closed terminal end a training after the step it is in, not in the middle of it."""

from __future__ import annotations

import os
import signal
import stat
import threading
import time
from types import FrameType
from typing import Any

LAUNCHER = "HALFMASK_LAUNCHER"
"""The environment variable with the id of the process that started this one as one of several."""

AGAIN = 1.0
"""Seconds after which another Ctrl-C is a second one. Some programs pass the first on besides the terminal."""


class Stopped(KeyboardInterrupt):
    """Training was told to stop by a signal; what it had reached is saved."""

    def __init__(self, message: str, signal: int):
        super().__init__(message)
        self.signal = signal


class Interrupt:
    """A context manager in which signals are noted instead of obeyed; a second Ctrl-C is obeyed.

    A Ctrl-C within `AGAIN` of the first signal is passed over, even after the end, lest it cut off what is told there.
    One of several processes whose launcher is gone, and with it who would pass signals on, counts as told to stop.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def __enter__(self) -> Interrupt:
        self.noted: int | None = None
        self.since = 0.0
        self.ended = False
        self.before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():  # only there may handlers be set
            taken = [s for s in self.SIGNALS if s != signal.SIGHUP or signal.getsignal(s) != signal.SIG_IGN]  # nohup
            self.before = {s: signal.signal(s, self._note) for s in taken}
        return self

    def __exit__(self, *error: object) -> None:
        self.ended = True
        for number, handler in self.before.items():
            if number != signal.SIGINT or self.noted is None or self._later:
                signal.signal(number, handler)

    @property
    def received(self) -> int | None:
        """The signal that came first, if any."""
        return signal.SIGTERM if self.noted is None and launcher_gone() else self.noted

    @property
    def _later(self) -> bool:
        """Whether a Ctrl-C would be a second one."""
        return time.monotonic() - self.since > AGAIN

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            _leave_terminal()
        if self.noted is None:
            self.noted, self.since = number, time.monotonic()
        elif number == signal.SIGINT and self._later:
            if self.ended:
                signal.signal(number, self.before[number])
                signal.raise_signal(number)
                return
            raise KeyboardInterrupt("stopped at once; --resume goes on from the last checkpoint, if there is one")


def launcher_gone() -> bool:
    """Whether this is one of several processes, and what started them has ended."""
    launcher = os.environ.get(LAUNCHER)
    return launcher is not None and int(launcher) != os.getppid()


def _leave_terminal() -> None:
    """Write to nowhere from now on: to write to a terminal that is closed is an error, which would end us unsaved."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        if stat.S_ISCHR(os.fstat(stream).st_mode):  # isatty knows a closed one no more
            os.dup2(nowhere, stream)
    os.close(nowhere)
