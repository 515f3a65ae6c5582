"""Ctrl-C, and a scheduler's SIGTERM, that wait for a safe point."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """Ctrl-C was pressed (or SIGTERM came), and training stands between two steps."""


class Interruption:
    """Whether Ctrl-C was pressed."""

    def __init__(self) -> None:
        self._asked = False

    def check(self) -> None:
        """Raise Interrupted if Ctrl-C was pressed. Called where nothing is half done."""
        if self._asked:
            raise Interrupted

    def ask(self, signal_number: int, frame: FrameType | None) -> None:
        """Remember the first Ctrl-C; at the second, stop at once."""
        del signal_number, frame
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Take both signals over for the block; outside the main thread, where they never arrive, nothing is taken over."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.signal(number, interruption.ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
