"""Whether a class map points at what is marked: the pointing game and the overlap."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ichnos.errors import InputError
from ichnos.evaluation.intervals import Estimate, estimate_of
from ichnos.evaluation.resampling import PatientResamples

HALF = 0.5
"""Of a map's largest value: from there on it counts as marked, for the overlap."""


@dataclass(frozen=True)
class Pointed:
    """One map against one mask."""

    hit: bool
    """Whether the map's peak lies inside the mask (Zhang et al., IJCV 2018: the pointing game, no margin)."""
    iou: float
    """Intersection over union of the mask and the map at half its largest value."""
    chance: float
    """The mask's share of the picture: how often a random point would hit."""


def point(heat: NDArray[np.float32], mask: NDArray[np.bool_]) -> Pointed:
    """Judge a map (rows, columns) by a mask of the same shape. A map of zeros points nowhere.

    Raises InputError where the shapes differ or the mask is empty.
    """
    if heat.shape != mask.shape:
        raise InputError(f"a map is judged by a mask of its own size {heat.shape}, got one of {mask.shape}")
    if not mask.any():
        raise InputError("an empty mask marks nothing, so no map can be judged by it")
    if not heat.max() > 0:
        return Pointed(hit=False, iou=0.0, chance=float(mask.mean()))
    marked = heat >= HALF * heat.max()
    return Pointed(
        hit=bool(mask[_peak(heat)]),
        iou=float((marked & mask).sum() / (marked | mask).sum()),
        chance=float(mask.mean()),
    )


def _peak(heat: NDArray[np.float32]) -> tuple[int, int]:
    """Row and column of the largest value; the middle of all that have it, as beyond the outer cells' centres an
    enlarged map is level to the picture's edge."""
    rows, columns = np.nonzero(heat >= heat.max() * np.float32(1 - 1e-6))
    return round(float(rows.mean())), round(float(columns.mean()))


def mean_of(values: NDArray[np.float64], patients: NDArray[np.str_], *, seed: int, resamples: int) -> Estimate:
    """The mean of (n,) values with its interval by patient."""
    drawn = PatientResamples.draw(patients, seed, resamples)
    sums = drawn.totals(np.column_stack([values, np.ones_like(values)]))
    return estimate_of(("mean", None), float(values.mean()), sums[:, 0] / sums[:, 1], {}, drawn.patients)
