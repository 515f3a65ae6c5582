"""The bootstrap by patient: how often each is drawn, and every metric under each draw, without copying slices."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ichnos.errors import InputError, UsageError
from ichnos.evaluation.counts import Counts, binary_cross_entropy, call_indicators
from ichnos.evaluation.metrics import THRESHOLD, check_shapes
from ichnos.evaluation.ranking import Ranking
from ichnos.subtypes import Subtype

MetricKey = tuple[str, Subtype | None]
"""A metric of SliceMetrics by name, and the class where it is one a class: ("loss_mean", None), ("f1", EPIDURAL)."""

Samples = dict[MetricKey, NDArray[np.float64]]
"""For each metric its (resamples,) values; NaN where a resample does not define it."""

RESAMPLES = 1000
"""Enough for the ends of a 95 % percentile interval (Efron and Tibshirani 1993, 14.3)."""

_ROWS_AT_ONCE = 64
"""Resamples turned into floating point together: 10 MB for 20,000 patients."""


@dataclass(frozen=True, eq=False)
class PatientResamples:
    """Patients drawn with replacement, all of a patient's slices together, as slices of one patient are alike."""

    units: NDArray[np.intp]
    """(n,) which patient each slice is of, 0 to patients - 1."""
    weights: NDArray[np.uint16]
    """(resamples, patients) how often each resample holds each patient; each row sums to the number of patients."""

    @classmethod
    def draw(cls, patients: NDArray[np.str_], seed: int, resamples: int = RESAMPLES) -> "PatientResamples":
        """Draw from the patients of the slices, (n,) names. The same names and seed give the same draws."""
        if resamples < 1:
            raise UsageError(f"a bootstrap needs at least 1 resample, got {resamples}")
        if not len(patients):
            raise InputError("there are no slices to resample: the part is empty")
        names, units = np.unique(patients, return_inverse=True)
        rng = np.random.default_rng(seed)
        weights = np.empty((resamples, len(names)), dtype=np.uint16)
        for row in weights:
            row[:] = np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names))
        return cls(units.astype(np.intp), weights)

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def patients(self) -> int:
        """How many patients there are."""
        return self.weights.shape[1]

    def patients_with(self, marked: NDArray[np.bool_]) -> NDArray[np.int64]:
        """(classes,) patients that have a slice marked in (n, classes)."""
        return (self.per_patient(marked) > 0).sum(axis=0)

    def totals(self, values: NDArray[np.bool_] | NDArray[np.float64]) -> NDArray[np.float64]:
        """(resamples, k) weighted sums over slices of (n, k) values."""
        return self.totals_of(self.per_patient(values))

    def totals_of(self, by_patient: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same of (patients, k) sums."""
        blocks = [
            self.weights[start : start + _ROWS_AT_ONCE].astype(np.float64) @ by_patient
            for start in range(0, len(self), _ROWS_AT_ONCE)
        ]
        return np.concatenate(blocks)

    def per_patient_and(self, groups: NDArray[np.intp], count: int, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(patients, count) sums of (n,) values by patient and by (n,) groups, 0 to count - 1."""
        places = self.units * count + groups
        sums = np.bincount(places, weights=values, minlength=self.patients * count)
        return sums.reshape(self.patients, count).astype(np.float64, copy=False)

    def per_patient(self, values: NDArray[np.bool_] | NDArray[np.float64]) -> NDArray[np.float64]:
        """(patients, k) sums over slices of (n, k) values."""
        columns = [np.bincount(self.units, weights=column, minlength=self.patients) for column in values.T]
        return np.stack(columns, axis=1).astype(np.float64, copy=False)


def resample_metrics(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.bool_],
    classes: Sequence[Subtype],
    resamples: PatientResamples,
    threshold: float = THRESHOLD,
    threads: int = 2,
) -> Samples:
    """Every metric of `slice_metrics` in every resample. probabilities, labels: (n, classes).

    The two means (macro F1, mean AUC) are always over the classes that the whole sample defines; where a resample
    lacks one of them its mean is NaN, so that every value is of the same thing.
    """
    check_shapes(probabilities, labels, classes)
    samples = _threshold_samples(probabilities >= threshold, labels, classes, resamples)
    losses = binary_cross_entropy(probabilities, labels)
    slices = resamples.totals(np.ones((len(labels), 1)))[:, 0]
    loss_sum = resamples.totals(losses.sum(axis=1, keepdims=True))[:, 0] / slices
    samples["loss_sum", None] = loss_sum
    samples["loss_mean", None] = loss_sum / len(classes)

    def rank(k: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return Ranking.of(probabilities[:, k], labels[:, k], resamples.units).measure(resamples.weights)

    with ThreadPoolExecutor(threads) as pool:  # numpy and scipy let go of the interpreter while they add up
        for c, (auc, average_precision) in zip(classes, pool.map(rank, range(len(classes))), strict=True):
            samples["auc", c], samples["average_precision", c] = auc, average_precision
    positives = labels.sum(axis=0)
    with_positives = [c for c, count in zip(classes, positives, strict=True) if count]
    with_both = [c for c, count in zip(classes, positives, strict=True) if 0 < count < len(labels)]
    samples["macro_f1", None] = _mean([samples["f1", c] for c in with_positives], len(resamples))
    samples["mean_auc", None] = _mean([samples["auc", c] for c in with_both], len(resamples))
    return samples


def _threshold_samples(
    called: NDArray[np.bool_], labels: NDArray[np.bool_], classes: Sequence[Subtype], resamples: PatientResamples
) -> Samples:
    counts = Counts(*(resamples.totals(kind) for kind in call_indicators(called, labels)))
    exact = resamples.totals((called == labels).all(axis=1, keepdims=True))[:, 0]
    slices = resamples.totals(np.ones((len(labels), 1)))[:, 0]
    samples: Samples = {("exact_match", None): exact / slices}
    rates = {
        "f1": counts.f1,
        "sensitivity": counts.sensitivity,
        "specificity": counts.specificity,
        "precision": counts.precision,
    }
    for name, values in rates.items():
        for k, c in enumerate(classes):
            samples[name, c] = values[:, k]
    return samples


def _mean(columns: list[NDArray[np.float64]], resamples: int) -> NDArray[np.float64]:
    return np.mean(columns, axis=0) if columns else np.full(resamples, np.nan)
