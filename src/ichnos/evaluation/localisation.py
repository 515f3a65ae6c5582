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

    hit: float
    """1 where the map's largest cell overlaps the mask, else 0; of several that are equally large the share that does.

    The pointing game of Zhang et al. (IJCV 2018) for maps of few cells: a cell points at all that it covers, not at one
    of its pixels.
    """
    iou: float
    """Intersection over union of the mask and the map at half its largest value."""
    chance: float
    """The share of cells that overlap the mask: how often a random cell would hit."""


def point(cells: NDArray[np.float32], heat: NDArray[np.float32], mask: NDArray[np.bool_]) -> Pointed:
    """Judge a map by a mask (rows, columns). A map of zeros points nowhere.

    cells: (h, w) as the network gives it, over the picture padded to a square; heat: the same, laid over the picture.
    Raises InputError where the shapes of heat and mask differ or the mask is empty.
    """
    if heat.shape != mask.shape:
        raise InputError(f"a map is judged by a mask of its own size {heat.shape}, got one of {mask.shape}")
    if not mask.any():
        raise InputError("an empty mask marks nothing, so no map can be judged by it")
    overlapping = _cells_over(mask, cells.shape)
    chance = float(overlapping.mean())
    if not cells.max() > 0:
        return Pointed(hit=0.0, iou=0.0, chance=chance)
    marked = heat >= HALF * heat.max()
    return Pointed(
        hit=float(overlapping[cells >= cells.max() * np.float32(1 - 1e-6)].mean()),
        iou=float((marked & mask).sum() / (marked | mask).sum()),
        chance=chance,
    )


def _cells_over(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which cells of a map of `shape` (h, w) cover some of what the mask marks."""
    rows, columns = mask.shape
    side = max(rows, columns)
    top, left = (side - rows) // 2, (side - columns) // 2  # as ichnos.inputs pads
    square = np.zeros((side, side), np.bool_)
    square[top : top + rows, left : left + columns] = mask
    for cells in shape:  # rows become cells, then columns do
        edges = [(k * side // cells, -(-(k + 1) * side // cells)) for k in range(cells)]
        square = np.stack([square[low:high].any(axis=0) for low, high in edges], axis=1)
    return square


def mean_of(values: NDArray[np.float64], patients: NDArray[np.str_], *, seed: int, resamples: int) -> Estimate:
    """The mean of (n,) values with its interval by patient."""
    drawn = PatientResamples.draw(patients, seed, resamples)
    sums = drawn.totals(np.column_stack([values, np.ones_like(values)]))
    return estimate_of(("mean", None), float(values.mean()), sums[:, 0] / sums[:, 1], {}, drawn.patients)
