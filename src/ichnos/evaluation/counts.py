"""From counts to rates: F1, sensitivity, specificity and precision; a rate without a denominator is NaN here."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PROBABILITY_FLOOR = 1e-7
"""Probabilities are kept this far from 0 and 1 before the logarithm (Keras's `epsilon`)."""


@dataclass(frozen=True, eq=False)
class Counts:
    """True and false calls at one threshold, (..., classes); any leading axes are resamples."""

    true_positives: NDArray[np.float64]
    false_positives: NDArray[np.float64]
    false_negatives: NDArray[np.float64]
    true_negatives: NDArray[np.float64]

    @property
    def positives(self) -> NDArray[np.float64]:
        """Slices that have the class."""
        return self.true_positives + self.false_negatives

    @property
    def f1(self) -> NDArray[np.float64]:
        """2 TP / (2 TP + FP + FN); 0 where there are positives and no calls; NaN where there are no positives."""
        ratio = _ratio(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)
        return np.where(self.positives > 0, ratio, np.nan)

    @property
    def sensitivity(self) -> NDArray[np.float64]:
        """TP / (TP + FN); NaN where there are no positives."""
        return _ratio(self.true_positives, self.positives)

    @property
    def specificity(self) -> NDArray[np.float64]:
        """TN / (TN + FP); NaN where there are no negatives."""
        return _ratio(self.true_negatives, self.true_negatives + self.false_positives)

    @property
    def precision(self) -> NDArray[np.float64]:
        """TP / (TP + FP); NaN where nothing is called."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def negative_predictive_value(self) -> NDArray[np.float64]:
        """TN / (TN + FN); NaN where everything is called."""
        return _ratio(self.true_negatives, self.true_negatives + self.false_negatives)


def predictive_values(
    sensitivity: NDArray[np.float64], specificity: NDArray[np.float64], prevalence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(PPV, NPV) where a share `prevalence` has the class, by Bayes' rule; NaN where nothing, or all, would be called.

    It takes for granted that sensitivity and specificity are the same there: another mix of cases can change both.
    """
    found, false = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    cleared, missed = specificity * (1 - prevalence), (1 - sensitivity) * prevalence
    return _ratio(found, found + false), _ratio(cleared, cleared + missed)


def call_indicators(called: NDArray[np.bool_], labels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(4, n, classes): whether each call is a true positive, false positive, false negative, true negative."""
    return np.stack([called & labels, called & ~labels, ~called & labels, ~called & ~labels])


def binary_cross_entropy(probabilities: NDArray[np.floating], labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n, classes) binary cross-entropy in nats, from (n, classes) probabilities and labels."""
    p = np.clip(probabilities.astype(np.float64), PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
    return -np.where(labels, np.log(p), np.log1p(-p))


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
