"""Points of ROC, precision-recall and reliability curves, ready to draw."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

DRAWN_POINTS = 500
"""A curve of more points looks the same and makes the report heavy."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Points (x, y) of one curve, both (points,)."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Reliability:
    """What was said beside what was so, in bins of equal width that hold a slice. All (bins,)."""

    predicted: NDArray[np.float64]
    """Mean probability."""
    observed: NDArray[np.float64]
    """Share of slices with the class."""
    slices: NDArray[np.int64]


def roc(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> Curve | None:
    """False-positive rate against sensitivity, from (n,) scores; None without both positives and negatives."""
    if positive.all() or not positive.any():
        return None
    x, y, _ = roc_curve(positive, scores)
    return _thin(x, y)


def precision_recall(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> Curve | None:
    """Recall (rising) against precision, from (n,) scores; None without positives.

    A step function, as average precision is its area: the precision at a point holds back to the point before it. The
    first point is at recall 0, with the precision of the first call; scikit-learn's own first point (0, 1) is no call.
    """
    if not positive.any():
        return None
    precision, recall, _ = precision_recall_curve(positive, scores)
    rising, held = recall[-2::-1], precision[-2::-1]
    reached = np.diff(rising, prepend=0.0) > 0  # further false calls at a recall add nothing to the area
    return _thin(np.concatenate([[0.0], rising[reached]]), np.concatenate([held[:1], held[reached]]))


def reliability(scores: NDArray[np.floating], positive: NDArray[np.bool_], bins: int = 10) -> Reliability:
    """Bin (n,) probabilities in `bins` bins of equal width from 0 to 1."""
    index = np.minimum((scores * bins).astype(np.intp), bins - 1)
    slices = np.bincount(index, minlength=bins)
    held = slices > 0
    said = np.bincount(index, weights=scores, minlength=bins)[held] / slices[held]
    so = np.bincount(index, weights=positive, minlength=bins)[held] / slices[held]
    return Reliability(said, so, slices[held])


def _thin(x: NDArray[np.float64], y: NDArray[np.float64]) -> Curve:
    if len(x) <= DRAWN_POINTS:
        return Curve(x, y)
    keep = np.unique(np.linspace(0, len(x) - 1, DRAWN_POINTS).round().astype(np.intp))
    return Curve(x[keep], y[keep])
