"""A source that makes its exams up as they are read: small, settled by its numbers, and picklable."""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ichnos.ct import LabelledExam, LabelledSlice, SkippedSlice
from ichnos.data.sources import ExamReference, Scan
from ichnos.progress import SILENT, Progress, Task


@dataclass
class Messages:
    """Progress that keeps what was said."""

    texts: list[str] = field(default_factory=list)

    def task(self, description: str, total: float | None) -> AbstractContextManager[Task]:
        return SILENT.task(description, total)

    def message(self, text: str) -> None:
        self.texts.append(text)


@dataclass(frozen=True)
class InMemorySource:
    """`exams` exams of `slices` slices of `matrix`², a quarter of the exams with each of two subtypes.

    fail_at: the exam whose reading raises `failure`, as a full disk or a killed process would stop it.
    log: a file to which each exam read adds a line.
    """

    exams: int = 12
    slices: int = 5
    matrix: int = 32
    name: str = "in-memory"
    unreadable: tuple[str, ...] = ()
    fail_at: int | None = None
    log: Path | None = None
    twins: dict[int, int] = field(default_factory=dict)
    """exam → the exam whose pixels it shows again."""
    contents: str = ""
    bleeding: bool = True

    def scan(self, progress: Progress, scratch: Path) -> Scan:
        return Scan(
            tuple(
                ExamReference(f"p{n // 2:03d}", f"e{n:03d}", f"s{n:03d}", self.slices, ()) for n in range(self.exams)
            ),
            contents=self.contents,
        )

    def read(self, reference: ExamReference) -> LabelledExam:
        number = int(reference.exam[1:])
        if self.fail_at == number:
            raise KeyboardInterrupt
        if self.log:
            with self.log.open("a") as log:
                log.write(f"{number}\n")
        rng = np.random.default_rng(self.twins.get(number, number))
        slices, skipped = [], []
        for k in range(self.slices):
            name = f"{reference.exam}-{k}"
            hu = rng.integers(-1000, 100, (self.matrix, self.matrix)).astype(np.int16)
            labels = self.bleeding & np.array([number % 4 == 0, number % 4 == 1 and k > 1, False, False, False])
            if name in self.unreadable:
                skipped.append(SkippedSlice(name, "its pixels are truncated"))
            else:
                mask = labels[0] * np.ones_like(hu, dtype=np.uint8) if number == 0 else None
                slices.append(LabelledSlice(name, hu, labels, 5.0 * k, (0.5, 0.5), mask))
        return LabelledExam(
            reference.patient, reference.exam, reference.series, tuple(slices), tuple(skipped), {"age": 50.0 + number}
        )
