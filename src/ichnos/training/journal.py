"""The journal of a run: a line of JSON an epoch, and the same numbers as TensorBoard events."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch.utils.tensorboard.writer import SummaryWriter

from ichnos.files import explained, write_text

_NOT_DRAWN = frozenset({"n", "threshold", "positives", "marked"})
"""Fields of the metrics that do not change from epoch to epoch."""


class Journal:
    """Appends epochs to journal.jsonl; each is on the disk before the checkpoint that follows it."""

    def __init__(self, path: Path, events: SummaryWriter) -> None:
        self._path = path
        self._events = events

    def append(self, entry: dict[str, Any]) -> None:
        """Write one epoch: {"epoch", "step", "seconds", "learning_rate", "training": {...}, "validation": {...}}."""
        with explained(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        for name, value in _scalars(entry):
            self._events.add_scalar(name, value, entry["epoch"])
        self._events.flush()


@contextmanager
def open_journal(path: Path, events: Path, epochs: int) -> Iterator[Journal]:
    """Open a journal whose first `epochs` lines hold; later ones, of epochs that will be trained again, are dropped."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    write_text(path, "".join(lines[:epochs]))
    writer = SummaryWriter(log_dir=str(events), purge_step=epochs + 1)
    try:
        yield Journal(path, writer)
    finally:
        writer.close()


def read_journal(path: Path) -> list[dict[str, Any]]:
    """The epochs of a journal, in order; none where there is no journal."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _scalars(entry: dict[str, Any]) -> Iterator[tuple[str, float]]:
    yield "learning_rate", entry["learning_rate"]
    for part in ("training", "validation"):
        for name, value in (entry[part] or {}).items():
            if name in _NOT_DRAWN:
                continue
            if isinstance(value, dict):
                yield from ((f"{name}/{c}/{part}", number) for c, number in value.items() if number is not None)
            elif isinstance(value, int | float):
                yield f"{name}/{part}", value
