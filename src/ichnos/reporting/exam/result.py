"""What is known of one exam when it was read and classified: all that output is made from."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichnos.ct.exams import Exam
from ichnos.findings import ClassFinding, ExamFindings
from ichnos.subtypes import Subtype


class Format(StrEnum):
    """A form in which an exam's findings are written."""

    JSON = "json"
    """findings.json: always written."""
    SR = "sr"
    """DICOM Comprehensive 3D SR by TID 1500."""
    KEY_OBJECTS = "key-objects"
    """DICOM Key Object Selection."""
    HEATMAP = "heatmap"
    """DICOM Secondary Capture in colour, and Parametric Map."""
    HTML = "html"
    """A page that holds everything it shows."""

    @property
    def is_dicom(self) -> bool:
        """Whether it refers to the exam's DICOM objects, and so needs an exam that has some."""
        return self in (Format.SR, Format.KEY_OBJECTS, Format.HEATMAP)


@dataclass(frozen=True, eq=False)
class ExamResult:
    """One exam, read and classified.

    maps: (slices, outputs, h, w) ≥ 0, over each whole slice, padded to a square, or None where the network has none;
    outputs: their classes. reading: what `ichnos inspect` says of the exam. options: what else was asked that can
    change what is written, as text.
    """

    exam: Exam
    findings: ExamFindings
    maps: NDArray[np.float32] | None
    outputs: tuple[Subtype, ...]
    reading: Mapping[str, Any]
    options: str = ""

    def __post_init__(self) -> None:
        if self.maps is not None and (
            self.maps.ndim != 4 or self.maps.shape[:2] != (len(self.exam), len(self.outputs))
        ):
            raise ValueError(
                f"{len(self.exam)} slices and {len(self.outputs)} outputs need as many maps, got {self.maps.shape}"
            )
        if len(self.findings.slices) != len(self.exam):
            raise ValueError(f"findings of {len(self.findings.slices)} slices for an exam of {len(self.exam)}")

    @property
    def present(self) -> tuple[ClassFinding, ...]:
        """What is called: `any` first, then the subtypes."""
        return tuple(each for each in (self.findings.any, *self.findings.subtypes) if each.present)

    @property
    def key_slices(self) -> tuple[int, ...]:
        """The slices to look at, from foot to head: each called class's most probable one."""
        return tuple(sorted({each.key_slice for each in self.present if each.key_slice is not None}))
