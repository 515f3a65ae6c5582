"""How long work tells whoever called it how far it is; drawing it is cli/'s business."""

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Task(Protocol):
    """One piece of long work under way."""

    def advance(self, amount: float = 1) -> None:
        """Say that `amount` more of the total is done."""
        ...

    def note(self, text: str) -> None:
        """Show a short text beside the bar, such as the newest validation loss."""
        ...


class Progress(Protocol):
    """Where long work reports to."""

    def task(self, description: str, total: float | None) -> AbstractContextManager[Task]:
        """Open a task of `total` units (None: unknown); it closes with the `with` block."""
        ...

    def message(self, text: str) -> None:
        """Say one line that stays."""
        ...


class _Silent:
    def advance(self, amount: float = 1) -> None:
        del amount

    def note(self, text: str) -> None:
        del text

    def task(self, description: str, total: float | None) -> AbstractContextManager[Task]:
        del description, total
        return nullcontext(self)

    def message(self, text: str) -> None:
        del text


SILENT: Progress = _Silent()
"""Reports nowhere: for tests and for callers that do not care."""
