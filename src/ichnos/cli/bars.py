"""Progress bars of a terminal, with time left, drawn by rich."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress


class Bars:
    """The Progress of a terminal: nested bars, which stay when done."""

    def __init__(self) -> None:
        self._bars = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            expand=True,
        )

    def __enter__(self) -> "Bars":
        self._bars.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._bars.stop()

    @contextmanager
    def task(self, description: str, total: float | None) -> Iterator["_Bar"]:
        """See ichnos.progress.Progress."""
        bar = self._bars.add_task(description, total=total, note="")
        try:
            yield _Bar(self._bars, bar)
        finally:
            self._bars.stop_task(bar)

    def message(self, text: str) -> None:
        """See ichnos.progress.Progress."""
        self._bars.console.print(text, highlight=False, markup=False)


class _Bar:
    def __init__(self, bars: RichProgress, bar: TaskID) -> None:
        self._bars, self._bar = bars, bar

    def advance(self, amount: float = 1) -> None:
        self._bars.advance(self._bar, amount)

    def note(self, text: str) -> None:
        self._bars.update(self._bar, note=text)
