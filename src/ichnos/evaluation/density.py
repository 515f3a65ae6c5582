"""How far a slice's features lie from those of training: Mahalanobis' distance to the nearest group."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf

from ichnos.errors import TrainingError

_ROUNDED = 1e-3
"""Of the features' own size: along directions in which they vary less, as those of a network that has hardly been
trained do, a distance would be of float32's rounding."""

USUAL = -4.0
"""The logit of a slice as far away as such slices are in the mean: 2 %, as rare as the unseen should be. Calibration
shifts it; no ranking depends on it."""


@dataclass(frozen=True, eq=False)
class Density:
    """means: (groups, features); whitening: (features, features), of which W·Wᵀ is the inverse covariance.

    centre, spread: of the logarithm of the squared distance of slices that are not what is looked for.
    """

    means: NDArray[np.float32]
    whitening: NDArray[np.float32]
    centre: float = 0.0
    spread: float = 1.0

    def distances(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, features) → (n,) the logarithm of the squared distance to the nearest group."""
        nearest = np.full(len(features), np.inf)
        for mean in self.means:
            far = (features - mean).astype(np.float64) @ self.whitening
            nearest = np.minimum(nearest, (far**2).sum(axis=1))
        return np.log(np.maximum(nearest, np.finfo(np.float32).tiny))

    def scaled(self, usual: NDArray[np.float32]) -> "Density":
        """With centre and spread of these slices' distances. usual: (n, features), n ≥ 2."""
        far = self.distances(usual)
        return Density(self.means, self.whitening, float(far.mean()), max(float(far.std()), 1e-6))


def fit_density(features: NDArray[np.float32], groups: NDArray[np.int64]) -> Density:
    """One mean a group and one covariance of all, shrunk (Ledoit and Wolf 2004), so that few slices make one too.

    features: (n, features); groups: (n,) numbers. Raises TrainingError below two slices or where some are not finite.
    """
    if len(features) < 2 or not np.isfinite(features).all():
        raise TrainingError(
            f"a density needs at least two slices with finite features, got {len(features)}; use a larger set, or a "
            "network whose training did not fail"
        )
    numbers, group = np.unique(groups, return_inverse=True)
    means = np.stack([features[group == k].mean(axis=0, dtype=np.float64) for k in range(len(numbers))])
    residuals = features - means[group]
    covariance = LedoitWolf(assume_centered=True).fit(residuals).covariance_
    values, vectors = np.linalg.eigh(covariance)
    rounding = (_ROUNDED**2) * float(np.square(features, dtype=np.float64).mean())
    floor = max(float(values[-1]) * 1e-6, rounding, np.finfo(np.float32).tiny)
    whitening = vectors / np.sqrt(np.maximum(values, floor))
    return Density(means.astype(np.float32), whitening.astype(np.float32))
