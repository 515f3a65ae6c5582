"""Two correlated AUCs by DeLong's method, in the fast form: for cases that are independent of each other."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from ichnos.errors import InputError

LEAST_CASES = 10
"""Positives and negatives each below which no test is given: the normal approximation needs more."""

_NO_ERROR = 1e-12
"""A standard error below it is what rounding leaves of none."""


@dataclass(frozen=True)
class DeLong:
    """Second AUC less first, on the same cases."""

    first: float
    second: float
    difference: float
    standard_error: float
    low: float | None
    high: float | None
    """Ends of the 95 % interval of the difference, by the normal distribution. None where there is a difference and no
    variance, as between a model without error and one that says the same of all: neither varies from case to case."""
    p: float | None
    """Two-sided. None where positives or negatives are fewer than LEAST_CASES, or where there is no interval."""

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def delong(first: NDArray[np.floating], second: NDArray[np.floating], positive: NDArray[np.bool_]) -> DeLong | None:
    """Compare two models' AUC on the same (n,) cases; None without two positives and two negatives.

    The variance is DeLong's, DeLong's and Clarke-Pearson's (Biometrics 1988, 44, 837-845), computed from midranks (Sun
    and Xu, IEEE Signal Processing Letters 2014, 21, 1389-1393). Cases must be independent: exams of different
    patients, or patients. Slices of an exam are not. Raises InputError where shapes differ or a score is no number.
    """
    if first.shape != positive.shape or second.shape != positive.shape:
        raise InputError(f"scores and labels are of shape {first.shape}, {second.shape} and {positive.shape}")
    scores = np.stack([first, second]).astype(np.float64)
    if np.isnan(scores).any():
        raise InputError("some scores are no numbers (NaN), so they have no rank: the model or its file is damaged")
    m, n = int(positive.sum()), int((~positive).sum())
    if m < 2 or n < 2:
        return None
    aucs, covariance = _covariance(scores, positive)
    difference = float(aucs[1] - aucs[0])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    error = float(np.sqrt(max(variance, 0.0)))
    both = float(aucs[0]), float(aucs[1])
    if error < _NO_ERROR < abs(difference):
        return DeLong(*both, difference, 0.0, None, None, None)
    reach = float(norm.ppf(0.975)) * error
    p = None if min(m, n) < LEAST_CASES else _two_sided(difference, error)
    return DeLong(*both, difference, error, difference - reach, difference + reach, p)


def _covariance(
    scores: NDArray[np.float64], positive: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(models,) AUCs and their (models, models) covariance, from (models, n) scores.

    A positive's structural component is the share of negatives below it (half of those at it), which is its midrank
    among all cases less its midrank among positives, over the number of negatives; a negative's likewise.
    """
    m, n = int(positive.sum()), int((~positive).sum())
    among_all = rankdata(scores, axis=1)
    of_positives = (among_all[:, positive] - rankdata(scores[:, positive], axis=1)) / n
    of_negatives = 1 - (among_all[:, ~positive] - rankdata(scores[:, ~positive], axis=1)) / m
    return of_positives.mean(axis=1), np.cov(of_positives) / m + np.cov(of_negatives) / n


def _two_sided(difference: float, error: float) -> float:
    """1 where the models rank all cases alike."""
    if error < _NO_ERROR:
        return 1.0
    return float(2 * norm.sf(abs(difference) / error))
