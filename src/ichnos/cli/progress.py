"""Progress on standard error: bars with time left where it is a terminal, plain lines where it is not."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ichnos.cli.bars import Bars

_LINE_EVERY = 30.0
"""Seconds between two lines of a task where there is no terminal: enough to see life, few enough for a log."""


class Lines:
    """The Progress of a log: a line when a task begins, one every so often with the time left, one when it is done."""

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    @contextmanager
    def task(self, description: str, total: float | None) -> Iterator["_LineTask"]:
        """See ichnos.progress.Progress."""
        line = _LineTask(self, description, total)
        yield line
        line.close()

    def message(self, text: str) -> None:
        """See ichnos.progress.Progress."""
        print(text, file=sys.stderr, flush=True)


class _LineTask:
    def __init__(self, lines: Lines, description: str, total: float | None) -> None:
        self._lines, self._description, self._total = lines, description, total
        self._done, self._note = 0.0, ""
        self._begun = self._last = time.monotonic()

    def advance(self, amount: float = 1) -> None:
        self._done += amount
        now = time.monotonic()
        if now - self._last >= _LINE_EVERY:
            self._last = now
            self._lines.message(self._line(now))

    def note(self, text: str) -> None:
        self._note = text

    def close(self) -> None:
        self._lines.message(
            f"{self._description}: done in {_clock(time.monotonic() - self._begun)}  {self._note}".rstrip()
        )

    def _line(self, now: float) -> str:
        if not self._total or not self._done:
            return f"{self._description}: {self._done:.0f}  {self._note}".rstrip()
        left = (now - self._begun) * (self._total - self._done) / self._done
        share = f"{self._done:.0f}/{self._total:.0f}"
        return f"{self._description}: {share}, about {_clock(left)} left  {self._note}".rstrip()


def on_standard_error() -> "Bars | Lines":
    """Bars where standard error is a terminal, lines where it is not."""
    if not sys.stderr.isatty():
        return Lines()
    from ichnos.cli.bars import Bars  # rich takes 25 ms to import, which a script need not wait for

    return Bars()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"
