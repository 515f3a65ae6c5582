"""Stored values to Hounsfield units: the modality rescale, padding, and mending of 12-bit values that wrapped."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ichnos.ct import reconstruction_circle
from ichnos.ct.exams import AIR
from ichnos.errors import DicomError

COARSEST_STEP_HU = 8.0
"""Steps between neighbouring stored values above this are refused: clot lies only about 30 HU above grey matter."""

_LARGEST_INTERCEPT = 600_000.0
"""Far beyond any: 16 bits at the coarsest step, turned over. More is a damaged header, and overflows."""

_WRAP = 4096
"""The number of values that 12 bits hold."""

_LOWEST_HU = -1000
"""Where wrapped files really begin (RSNA 2019: add 1000, subtract 4096 where >= 4096, use intercept -1000)."""

_CT_HU = (-1000, 3071)
"""Air to the top of 12 bits: HU that a patient may have, so that a value alone does not tell that it is padding."""


@dataclass(frozen=True)
class Padding:
    """The stored values, from lowest to highest, that the file declares to be no part of the image.

    PixelPaddingValue (0028,0120) and PixelPaddingRangeLimit (0028,0121), DICOM PS3.3 C.7.5.1.1.2.
    """

    lowest: int
    highest: int


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


def to_hu(stored: NDArray[np.integer], rescale: Rescale, padding: Padding | None = None) -> NDArray[np.int16]:
    """A slice's stored values, shape (rows, columns), to int16 HU: rounded, held to int16's range, padding made AIR.

    Padding that is not declared (−2000, −3024 and the like) is kept as it is. What is declared is believed where no
    patient has such a value, below −1000 HU or above 3071, and outside the reconstruction circle. Inside it some
    scanners declare a value that tissue has too, such as 0 in images stored as HU, and only a guess could tell the two
    apart.
    """
    hu = _rescaled(stored, rescale)
    if padding is not None:
        declared = (stored >= padding.lowest) & (stored <= padding.highest)
        hu[declared & ((hu < _CT_HU[0]) | (hu > _CT_HU[1]) | ~reconstruction_circle(*hu.shape))] = AIR
    return hu


def _rescaled(stored: NDArray[np.integer], rescale: Rescale) -> NDArray[np.int16]:
    if rescale.wrapped:
        return _unwrap(stored)
    limits = np.iinfo(np.int16)
    if rescale.slope == 1 and rescale.intercept.is_integer():
        intercept = int(rescale.intercept)
        if int(stored.min()) + intercept >= limits.min and int(stored.max()) + intercept <= limits.max:
            # 16 bits hold every sum, so they may wrap on the way to it: a fifth of the time that 32 bits take
            return stored.astype(np.int16) + np.asarray(intercept).astype(np.int16)
        hu = stored.astype(np.int32) + np.int32(intercept)
    else:
        hu = np.rint(stored * rescale.slope + rescale.intercept)
    return np.clip(hu, limits.min, limits.max).astype(np.int16)


def _unwrap(stored: NDArray[np.integer]) -> NDArray[np.int16]:
    shifted = stored.astype(np.int32) - _LOWEST_HU
    return (np.where(shifted >= _WRAP, shifted - _WRAP, shifted) + _LOWEST_HU).astype(np.int16)
