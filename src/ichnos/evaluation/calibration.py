"""Calibration: temperatures and scalings fitted by likelihood, and how far what is said is from what is so."""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from ichnos.evaluation.counts import binary_cross_entropy
from ichnos.evaluation.curves import reliability
from ichnos.readout import Scaling

_PRIOR_SLOPE = 0.5
_PRIOR_INTERCEPT = 2.0
"""Standard deviations of ln(slope) around 0 and of the intercept around 0, in log-odds: with a hundred exams the data
speak, with ten or with exams that are told apart perfectly the scaling stays finite."""

BINS = 10
"""Of the expected calibration error, of equal width (Guo 2017, section 2)."""


@dataclass(frozen=True)
class Calibration:
    """How calibrated probabilities of one class are. Lower is better."""

    log_loss: float
    """Mean binary cross-entropy in nats."""
    brier: float
    """Mean squared error of the probability (Brier 1950)."""
    expected_calibration_error: float
    """Mean distance of what is said and what is so over ten bins, weighted by their size."""

    def to_json(self) -> dict[str, float]:
        """The fields by name."""
        return asdict(self)


def fit_scaling(log_odds: NDArray[np.floating], positive: NDArray[np.bool_]) -> Scaling | None:
    """The straight line that makes (n,) log-odds most likely, under a weak prior (Platt 1999). Its slope is one over
    Guo's temperature.

    None where the class has no positives or no negatives.
    """
    if positive.all() or not positive.any():
        return None
    odds = log_odds.astype(np.float64)

    def loss(parameters: NDArray[np.float64]) -> float:
        log_slope, intercept = parameters
        prior = 0.5 * ((log_slope / _PRIOR_SLOPE) ** 2 + (intercept / _PRIOR_INTERCEPT) ** 2)
        return len(odds) * _log_loss(np.exp(log_slope) * odds + intercept, positive) + float(prior)

    found = minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9, "maxiter": 2000})
    return Scaling(slope=float(np.exp(found.x[0])), intercept=float(found.x[1]))


def measure_calibration(probabilities: NDArray[np.floating], positive: NDArray[np.bool_]) -> Calibration:
    """How far (n,) probabilities are from (n,) truths; n ≥ 1."""
    curve = reliability(probabilities, positive, BINS)
    off = np.abs(curve.predicted - curve.observed)
    return Calibration(
        log_loss=float(binary_cross_entropy(probabilities[:, None], positive[:, None]).mean()),
        brier=float(((probabilities - positive) ** 2).mean()),
        expected_calibration_error=float((off * curve.slices).sum() / curve.slices.sum()),
    )


def reliability_table(probabilities: NDArray[np.floating], positive: NDArray[np.bool_]) -> list[dict[str, float]]:
    """What was said beside what was so, a row a bin that holds something: predicted, observed, n."""
    curve = reliability(probabilities, positive, BINS)
    columns = zip(curve.predicted.tolist(), curve.observed.tolist(), curve.slices.tolist(), strict=True)
    return [{"predicted": said, "observed": so, "n": n} for said, so, n in columns]


def _log_loss(logits: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    return float(np.logaddexp(0, np.where(positive, -logits, logits)).mean())
