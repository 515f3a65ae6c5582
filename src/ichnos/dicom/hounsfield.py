"""Stored values to Hounsfield units: the modality rescale, and mending of 12-bit values that wrapped."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ichnos.errors import DicomError

COARSEST_STEP_HU = 8.0
"""Steps between neighbouring stored values above this are refused: clot lies only about 30 HU above grey matter."""

_LARGEST_INTERCEPT = 600_000.0
"""Far beyond any: 16 bits at the coarsest step, turned over. More is a damaged header, and overflows."""

_WRAP = 4096
"""The number of values that 12 bits hold."""

_LOWEST_HU = -1000
"""Where wrapped files really begin (RSNA 2019: add 1000, subtract 4096 where >= 4096, use intercept -1000)."""


@dataclass(frozen=True)
class Rescale:
    """HU = slope × stored + intercept (DICOM PS3.3 C.11.1.1.2), and what is needed to see that values wrapped."""

    slope: float
    intercept: float
    bits_stored: int
    signed: bool

    def __post_init__(self) -> None:
        if self.slope == 0:
            raise DicomError("its RescaleSlope is 0, so every pixel would be the same; send the scanner's own images")
        if abs(self.slope) > COARSEST_STEP_HU:
            raise DicomError(
                f"one step of its pixels is {abs(self.slope):.0f} HU, and blood differs from brain by about 30 HU "
                f"(at most {COARSEST_STEP_HU:.0f} HU a step is read); send the images before lossy compression"
            )

        if not abs(self.intercept) <= _LARGEST_INTERCEPT:
            raise DicomError(
                f"its RescaleIntercept is {self.intercept:g}, and CT has 0 to -8192; send the scanner's own images"
            )

    @property
    def wrapped(self) -> bool:
        """Whether stored values are HU that lost their sign: 12 unsigned bits with intercept 0 or 1 hold no air."""
        return not self.signed and self.bits_stored == 12 and self.intercept in (0, 1) and self.slope == 1


def to_hu(stored: NDArray[np.integer], rescale: Rescale) -> NDArray[np.int16]:
    """Stored values of any shape to int16 HU of that shape, rounded and held to int16's range, padding kept as it is.

    Padding outside the field of view (−2000, −3024 and the like) is below every window, so it needs no special case.
    """
    if rescale.wrapped:
        return _unwrap(stored)
    if rescale.slope == 1 and rescale.intercept.is_integer():
        hu = stored.astype(np.int32) + np.int32(rescale.intercept)
    else:
        hu = np.rint(stored * rescale.slope + rescale.intercept)
    limits = np.iinfo(np.int16)
    return np.clip(hu, limits.min, limits.max).astype(np.int16)


def _unwrap(stored: NDArray[np.integer]) -> NDArray[np.int16]:
    shifted = stored.astype(np.int32) - _LOWEST_HU
    return (np.where(shifted >= _WRAP, shifted - _WRAP, shifted) + _LOWEST_HU).astype(np.int16)
