"""Whether a picture's HU were cut off at a lowest or a highest value, as a window or a range of storage does."""

import numpy as np
from numpy.typing import NDArray

_LEAST_BELOW = 2 / 3
"""The share of what is less dense than tissue that has exactly the lowest value: where air is cut off it is 79 % at
least (CT-ICH 1.0, whose JPEG rings), and of air that is only padded around the circle of reconstruction 40 %."""

_LEAST_OF_PICTURE = 0.005
"""With less of the picture at its lowest value nothing of note was cut off."""

_LEAST_ABOVE = 0.02
"""The share of tissue that has exactly the highest value: where skull is cut off it is 12 % at least in CT-ICH, less in
an infant. Where nothing is, one pixel has it."""

_LEAST_PILED = 0.5
"""The share of the highest 10 HU that lie exactly on the highest: what is cut off is piled up there (91 % at least),
noise runs out."""

_TAIL_HU = 10

_MOST_OF_BORDER = 0.5
"""The share of a picture's border at its highest value, above which that is what lies around the body: the picture is
inverted, and what is cut off is its air."""


def clipped_below(hu: NDArray[np.int16], lowest_tissue: int) -> int | None:
    """The HU that everything below was raised to, or None. hu: of any shape; some of the pixels do.

    lowest_tissue: HU; what is less dense is outside of the body, or in its cavities.
    """
    lowest = int(hu.min())
    count = np.count_nonzero(hu == lowest)
    outside = np.count_nonzero(hu <= max(lowest, lowest_tissue))
    return lowest if count >= _LEAST_OF_PICTURE * hu.size and count >= _LEAST_BELOW * outside else None


def clipped_above(hu: NDArray[np.int16], lowest_tissue: int) -> int | None:
    """The HU that everything above was lowered to, or None. hu: (slices, rows, columns), with the picture's border."""
    highest = int(hu.max())
    count = np.count_nonzero(hu == highest)
    tail = np.count_nonzero(hu >= highest - _TAIL_HU)
    tissue = np.count_nonzero(hu > lowest_tissue)
    if count < _LEAST_ABOVE * tissue or count < _LEAST_PILED * tail:
        return None
    border = np.concatenate([hu[:, [0, -1]].ravel(), hu[:, :, [0, -1]].ravel()])
    return highest if np.mean(border == highest) <= _MOST_OF_BORDER else None
