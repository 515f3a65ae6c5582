"""Operating points: where a call begins, so that nothing is missed, or so that both errors balance."""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from ichnos.readout import OperatingPoint, Thresholds

HIGH_SENSITIVITY = 0.95
"""Of the positives, how many a high-sensitivity point must find."""


def operating_points(
    scores: NDArray[np.floating], positive: NDArray[np.bool_], sensitivity: float = HIGH_SENSITIVITY
) -> Thresholds | None:
    """Both points from (n,) probabilities; None where the class has no positives or no negatives.

    High sensitivity: the highest threshold that still finds that share of the positives. Balanced: the largest
    sensitivity + specificity (Youden 1950), of equal ones the most sensitive. Each threshold lies midway between two
    observed scores, so that a last digit that differs changes no call. The high-sensitivity point is never above the
    balanced one.
    """
    if positive.all() or not positive.any():
        return None
    false_rate, true_rate, observed = roc_curve(positive, scores, drop_intermediate=False)
    levels, false_rate, true_rate = observed[1:], false_rate[1:], true_rate[1:]  # the first calls nothing
    gain = true_rate - false_rate
    balanced = len(gain) - 1 - int(np.argmax(gain[::-1] >= gain.max() - 1e-12))
    sensitive = max(int(np.argmax(true_rate >= sensitivity - 1e-12)), balanced)
    return Thresholds(
        high_sensitivity=_point(scores, positive, _midway(levels, sensitive)),
        balanced=_point(scores, positive, _midway(levels, balanced)),
    )


def _midway(levels: NDArray[np.float64], at: int) -> float:
    """Between the lowest score that is called and the highest that is not; levels fall."""
    below = levels[at + 1] if at + 1 < len(levels) else 0.0
    return float((levels[at] + below) / 2)


def _point(scores: NDArray[np.floating], positive: NDArray[np.bool_], threshold: float) -> OperatingPoint:
    return measured(OperatingPoint(threshold=threshold), scores >= threshold, positive)


def measured(point: OperatingPoint, called: NDArray[np.bool_], positive: NDArray[np.bool_]) -> OperatingPoint:
    """The point with what it gives where so many, (n,), are called; there are some with the class, and some without."""
    return OperatingPoint(
        threshold=point.threshold,
        sensitivity=float(called[positive].mean()),
        specificity=float((~called[~positive]).mean()),
        positives=int(positive.sum()),
        negatives=int((~positive).sum()),
    )
