"""What a source of labelled slices is: it finds exams, then reads them one by one, in any process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeVar, overload

from ichnos.ct import LabelledExam, SkippedSlice
from ichnos.progress import Progress
from ichnos.subtypes import CLASSES, SUBTYPES, Subtype

Item = TypeVar("Item")


@dataclass(frozen=True)
class ExamReference:
    """Where one exam lies, before its pixels are read. Small, picklable, in a settled order.

    slice_count: slices that it is expected to have (work is shared out by it).
    files: whatever the source needs to find the slices again.
    """

    patient: str
    exam: str
    series: str
    slice_count: int
    files: tuple[str, ...]


@dataclass(frozen=True)
class Scan:
    """All that a source has: exams in a settled order, and what was left out before any pixel was read.

    Both may be read from the scan's scratch folder as they are asked for, so that very many take no memory.
    contents: a digest of the labels and of the used files, as far as the scan saw them (names, sizes): by it a set
    knows whether they changed. Files that are left out have no part in it: the set itself may lie among them.
    about_patients: how the source tells patients apart and what to do where it cannot, for an error to say.
    labels_of: "slice", or "exam" where each slice carries its exam's. labelled: the classes that labels tell.
    """

    exams: Sequence[ExamReference]
    skipped: Sequence[SkippedSlice] = ()
    contents: str = ""
    about_patients: str = ""
    labels_of: Literal["slice", "exam"] = "slice"
    labelled: tuple[Subtype, ...] = CLASSES

    @property
    def teaches(self) -> bool:
        """Whether each slice's own labels are known; else the set is measured on or predicted, and never split."""
        return self.labels_of == "slice" and set(SUBTYPES) <= set(self.labelled)


class Lazily(Sequence[Item]):
    """Items made as they are asked for, so that a million of them cost no memory: make(n) for each n of `numbers`."""

    def __init__(self, make: Callable[[int], Item], numbers: Sequence[int]) -> None:
        self._make = make
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> "Lazily[Item]": ...
    def __getitem__(self, index: int | slice) -> "Item | Lazily[Item]":
        if isinstance(index, slice):
            return Lazily(self._make, self._numbers[index])
        return self._make(self._numbers[index])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lazily) and list(self) == list(other)

    __hash__ = None  # pyright: ignore[reportAssignmentType]


class Source(Protocol):
    """A place that labelled head-CT slices come from. Picklable: exams are read in worker processes."""

    @property
    def name(self) -> str:
        """`rsna`, `ct-ich`, `cq500`, `folder` or `phantom`."""
        ...

    def scan(self, progress: Progress, scratch: Path) -> Scan:
        """Find all exams, in an order that depends on nothing but the data. Raises SourceError.

        scratch: an existing folder in which partial results may be kept, so that a killed scan continues; there as long
        as the Scan is in use.
        """
        ...

    def read(self, reference: ExamReference) -> LabelledExam:
        """Read the pixels and labels of one exam. A slice that cannot be read is in its `skipped`, never zeros."""
        ...
