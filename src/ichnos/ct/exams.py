"""An exam: the slices of one head CT in Hounsfield units, foot to head, in one orientation, with what is doubtful."""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from ichnos.ct.geometry import coverage
from ichnos.remote import Place

AIR = -1024
"""The lowest HU of an exam: what scanners write outside their field of view (−1500, −2000, −3024) is raised to it."""


class SourceKind(StrEnum):
    """What an exam was read from."""

    DICOM = "dicom"
    NIFTI = "nifti"


@dataclass(frozen=True)
class SliceReference:
    """Where a slice came from. Paths may hold a patient's name, so they stay out of the repr as identifiers do.

    path: the file, or the zip file that holds it. member: its number in the zip's directory, None where it is no zip.
    frame: its number in a multi-frame object or in a NIfTI volume, from 1; None for a single-frame object.
    sop_instance, sop_class: as in the file (RSNA's are no valid UIDs); "" where it has none.
    """

    path: Place = field(repr=False)
    member: int | None = None
    frame: int | None = None
    sop_instance: str = field(default="", repr=False)
    sop_class: str = field(default="", repr=False)


@dataclass(frozen=True, eq=False)
class Exam:
    """One series of one head CT, valid after construction.

    hu: int16, shape (slices, rows, columns), from foot to head, rows from anterior to posterior, column 0 the
    patient's right; nothing is below AIR. offsets: (slices,) mm along the slices' normal, growing.
    pixel_spacing: mm between rows, mm between columns. positions: (slices, 3) mm, the centre of hu[:, 0, 0], and
    orientation: (6,) direction along a row and down a column, both in DICOM's patient coordinates (+x left, +y back,
    +z head) and of the array as it lies here. tilt: degrees from the axial plane. thickness: mm, None where not given.
    references: one a slice. study, series: identifiers as in the files, "" for NIfTI. doubts: sentences for people.
    """

    hu: NDArray[np.int16]
    offsets: NDArray[np.float64]
    pixel_spacing: tuple[float, float]
    positions: NDArray[np.float64]
    orientation: tuple[float, ...]
    references: tuple[SliceReference, ...]
    source: SourceKind
    tilt: float = 0.0
    thickness: float | None = None
    study: str = field(default="", repr=False)
    series: str = field(default="", repr=False)
    doubts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.hu)
        if self.hu.ndim != 3 or self.hu.dtype != np.int16 or 0 in self.hu.shape:
            raise ValueError(f"an exam is a 3D array of int16 HU, got {self.hu.dtype} of shape {self.hu.shape}")
        if self.offsets.shape != (count,) or self.positions.shape != (count, 3) or len(self.references) != count:
            raise ValueError(
                f"an exam of {count} slices has as many offsets, positions and references, got "
                f"{self.offsets.shape}, {self.positions.shape} and {len(self.references)}"
            )
        if not np.isfinite(self.offsets).all() or not (np.diff(self.offsets) > 0).all():
            raise ValueError("slices lie from foot to head, each above the one before")
        if len(self.orientation) != 6 or not (self.pixel_spacing[0] > 0 and self.pixel_spacing[1] > 0):
            raise ValueError(
                f"an exam has 6 direction cosines and spacings above 0 mm, got {self.orientation} and "
                f"{self.pixel_spacing}"
            )

    def __len__(self) -> int:
        return len(self.hu)

    @property
    def gaps(self) -> NDArray[np.float64]:
        """(slices − 1,) mm between the planes of neighbouring slices."""
        return np.diff(self.offsets)

    @property
    def coverage(self) -> float:
        """mm of head; see geometry.coverage."""
        return coverage(self.offsets, self.thickness)
