"""What probabilities are worth as probabilities: calibration and Kaggle's loss, with intervals by patient."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ichnos.evaluation.calibration import BINS
from ichnos.evaluation.counts import binary_cross_entropy
from ichnos.evaluation.intervals import Estimate, estimate_of
from ichnos.evaluation.resampling import PatientResamples, Samples
from ichnos.subtypes import CLASSES, Subtype

KAGGLE_CLIP = 1e-6
"""Probabilities are kept this far from 0 and 1. The competition states no number; 1e-6 to 1e-5 were used."""

_KAGGLE_WEIGHTS = np.array([1, 1, 1, 1, 1, 2]) / 7
"""Of the five subtypes and of `any`, in the order of CLASSES."""


_ECE = "expected_calibration_error"


def kaggle_loss(probabilities: NDArray[np.float64], labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n,) weighted log-loss of RSNA 2019: (2 · any + the five subtypes) / 7. Both (n, 6) in the order of CLASSES."""
    losses = np.zeros(len(probabilities))
    for k, weight in enumerate(_KAGGLE_WEIGHTS):  # a class at a time: of all at once there would be six copies
        inside = np.clip(probabilities[:, k], KAGGLE_CLIP, 1 - KAGGLE_CLIP)
        losses += weight * binary_cross_entropy(inside, labels[:, k])
    return losses


def measure_kaggle_loss(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.bool_],
    classes: Sequence[Subtype],
    resamples: PatientResamples,
) -> Estimate:
    """Mean of `kaggle_loss` over slices; not defined unless all six classes are predicted and labelled."""
    return measure_kaggle_loss_with_samples(probabilities, labels, classes, resamples)[0]


def measure_kaggle_loss_with_samples(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.bool_],
    classes: Sequence[Subtype],
    resamples: PatientResamples,
) -> tuple[Estimate, NDArray[np.float64]]:
    """What `measure_kaggle_loss` gives, and the loss of every resample; NaN in all where it is not defined."""
    if tuple(classes) != CLASSES:
        missing = ", ".join(c.abbreviation for c in CLASSES if c not in classes)
        why = f"not defined (it is of six classes; without {missing})"
        return Estimate(None, None, why), np.full(len(resamples), np.nan)
    losses = kaggle_loss(probabilities, labels)[:, None]
    drawn = resamples.totals(losses)[:, 0] / resamples.totals(np.ones_like(losses))[:, 0]
    return estimate_of(("kaggle_loss", None), float(losses.mean()), drawn, {}, resamples.patients), drawn


def measure_calibration_of(
    probabilities: NDArray[np.float64], positive: NDArray[np.bool_], resamples: PatientResamples
) -> dict[str, Estimate]:
    """Log-loss, Brier score and expected calibration error (ten bins of equal width) of (n,) probabilities."""
    return measure_calibration_with_samples(probabilities, positive, resamples)[0]


def measure_calibration_with_samples(
    probabilities: NDArray[np.float64], positive: NDArray[np.bool_], resamples: PatientResamples
) -> tuple[dict[str, Estimate], Samples]:
    """What `measure_calibration_of` gives, and the scores of every resample, each under (name, None)."""
    bins = np.minimum((probabilities * BINS).astype(np.intp), BINS - 1)
    off = probabilities - positive
    losses = binary_cross_entropy(probabilities, positive)
    sums = [resamples.per_patient(column[:, None]) for column in (np.ones_like(off), losses, off**2)]
    by_patient = np.hstack([*sums, resamples.per_patient_and(bins, BINS, off)])
    whole = _from_totals(by_patient.sum(axis=0, keepdims=True))
    drawn = _from_totals(resamples.totals_of(by_patient))
    values = {name: float(numbers[0]) for name, numbers in whole.items()}
    spread = drawn | {_ECE: _less_bias(drawn[_ECE], values[_ECE])}
    estimates = {
        name: estimate_of((name, None), value, spread[name], {}, resamples.patients) for name, value in values.items()
    }
    return estimates, {(name, None): numbers for name, numbers in drawn.items()}


def _less_bias(drawn: NDArray[np.float64], value: float) -> NDArray[np.float64]:
    """Resamples of the calibration error moved by as much as they lie above what they were drawn from, 0 at the least.

    What a bin is off is taken without its sign, so chance adds to it in every resample: its plain percentiles may all
    lie above the error itself.
    """
    return np.maximum(drawn - (drawn.mean() - value), 0)


def _from_totals(totals: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """From (w, 3 + bins) sums: how many, losses, squared errors, and in each bin what was said less what was so."""
    count = totals[:, 0]
    return {
        "log_loss": totals[:, 1] / count,
        "brier": totals[:, 2] / count,
        _ECE: np.abs(totals[:, 3:]).sum(axis=1) / count,
    }
