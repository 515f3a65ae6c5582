"""A slice, an exam, and a slice that could not be read: what every source yields and nothing else knows of it."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ichnos.subtypes import SUBTYPES

UNSAID = len(SUBTYPES)
"""The bit of a mask, after those of SUBTYPES, that is set where there is blood whose subtype nobody told."""


@dataclass(frozen=True, eq=False)
class LabelledSlice:
    """One CT slice with its labels.

    hu: int16 Hounsfield units at the scanner's matrix, shape (rows, columns), rows from anterior to posterior.
    labels: bool, shape (5,), in the order of SUBTYPES.
    offset: position along the slice normal in mm, growing from foot to head.
    pixel_spacing: mm between rows, mm between columns (DICOM's order).
    mask: uint8, shape (rows, columns), bit k set where SUBTYPES[k] bleeds, bit UNSAID where it does
    not say which does; None where the source has none.
    """

    name: str
    hu: NDArray[np.int16]
    labels: NDArray[np.bool_]
    offset: float
    pixel_spacing: tuple[float, float]
    mask: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        if self.hu.ndim != 2 or self.hu.dtype != np.int16:
            raise ValueError(f"a slice is a 2D array of int16 HU, got {self.hu.dtype} of shape {self.hu.shape}")
        if self.labels.shape != (len(SUBTYPES),) or self.labels.dtype != np.bool_:
            raise ValueError(
                f"labels are {len(SUBTYPES)} booleans, got {self.labels.dtype} of shape {self.labels.shape}"
            )
        if self.mask is not None and self.mask.shape != self.hu.shape:
            raise ValueError(f"a mask has the shape of its slice {self.hu.shape}, got {self.mask.shape}")


@dataclass(frozen=True)
class SkippedSlice:
    """A slice that was left out, and why. `reason` names no patient and no UID; `name` is the source's own name."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class LabelledExam:
    """One series of one patient, slices in order from foot to head, and what had to be left out of it."""

    patient: str
    exam: str
    series: str
    slices: tuple[LabelledSlice, ...]
    skipped: tuple[SkippedSlice, ...] = ()
    attributes: dict[str, str | float] = field(default_factory=dict[str, str | float])
    """Whatever else is known of the patient or exam (age, sex, tilt): subgroups are made from it."""
