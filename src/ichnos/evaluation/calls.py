"""What calls at an operating point are worth: rates and predictive values, as found and at a stated prevalence."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ichnos.errors import UsageError
from ichnos.evaluation.counts import Counts, call_indicators, predictive_values
from ichnos.evaluation.intervals import Estimate, estimate_of, support_of
from ichnos.evaluation.resampling import PatientResamples, Samples
from ichnos.subtypes import Subtype

Prevalence = Mapping[Subtype, float]
"""The share of slices, exams or patients with a class, where predictive values are wanted."""

AS_FOUND: Prevalence = {}
"""The set's own alone."""


GIVEN = "given"
"""The name, among operating points, of a threshold that somebody gave."""

GivenThresholds = Mapping[Subtype, float]
"""Of the probability of a slice, exam or patient, at or above which a class is called."""


def check_thresholds(thresholds: GivenThresholds) -> None:
    """Raise UsageError where one is no probability."""
    for c, threshold in thresholds.items():
        if not 0 <= threshold <= 1:
            raise UsageError(f"a threshold is a probability from 0 to 1, got {threshold:g} for {c.value}; 5 % is 0.05")


def check_prevalence(prevalence: Prevalence) -> None:
    """Raise UsageError unless every share lies between 0 and 1; at either there is nothing to find or to rule out."""
    for c, share in prevalence.items():
        if not 0 < share < 1:
            raise UsageError(f"a prevalence lies between 0 and 1, got {share:g} for {c.value}; 6 in 100 is 0.06")


def measure_calls(
    called: NDArray[np.bool_],
    labels: NDArray[np.bool_],
    classes: Sequence[Subtype],
    resamples: PatientResamples,
    prevalence: Prevalence,
) -> dict[Subtype, dict[str, Estimate]]:
    """For each class sensitivity, specificity, PPV, NPV and F1 of (n, classes) calls, with intervals by patient.

    Where `prevalence` has the class, also ppv_at_prevalence and npv_at_prevalence: sensitivity and specificity as
    measured, with that share of positives instead of this set's. Raises UsageError where a share is not inside (0, 1).
    """
    return measure_calls_with_samples(called, labels, classes, resamples, prevalence)[0]


def measure_calls_with_samples(
    called: NDArray[np.bool_],
    labels: NDArray[np.bool_],
    classes: Sequence[Subtype],
    resamples: PatientResamples,
    prevalence: Prevalence,
) -> tuple[dict[Subtype, dict[str, Estimate]], Samples]:
    """What `measure_calls` gives, and the rates of every resample that its intervals are of."""
    check_prevalence(prevalence)
    indicators = call_indicators(called, labels)
    whole = _rates(Counts(*indicators.sum(axis=1, dtype=np.float64)), classes, prevalence)
    drawn = _rates(Counts(*(resamples.totals(kind) for kind in indicators)), classes, prevalence)
    support = support_of(called, labels, classes, resamples)
    result: dict[Subtype, dict[str, Estimate]] = {c: {} for c in classes}
    for (name, c), value in whole.items():
        number = None if np.isnan(value) else float(value)
        result[c][name] = estimate_of((name, c), number, drawn[name, c], support, resamples.patients)
    return result, dict(drawn.items())


def exact_match(called: NDArray[np.bool_], labels: NDArray[np.bool_], resamples: PatientResamples) -> Estimate:
    """The share where every class is called as it is labelled; (n, classes) both."""
    return exact_match_with_samples(called, labels, resamples)[0]


def exact_match_with_samples(
    called: NDArray[np.bool_], labels: NDArray[np.bool_], resamples: PatientResamples
) -> tuple[Estimate, NDArray[np.float64]]:
    """What `exact_match` gives, and the share of every resample."""
    right = (called == labels).all(axis=1, keepdims=True)
    ones = np.ones((len(labels), 1))
    drawn = resamples.totals(right)[:, 0] / resamples.totals(ones)[:, 0]
    return estimate_of(("exact_match", None), float(right.mean()), drawn, {}, resamples.patients), drawn


def _rates(
    counts: Counts, classes: Sequence[Subtype], prevalence: Prevalence
) -> dict[tuple[str, Subtype], NDArray[np.float64]]:
    """Each rate of each class, of any leading axes of the counts."""
    rates: dict[tuple[str, Subtype], NDArray[np.float64]] = {}
    sensitivity, specificity = counts.sensitivity, counts.specificity
    whole = {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "ppv": counts.precision,
        "npv": counts.negative_predictive_value,
        "f1": counts.f1,
    }
    for k, c in enumerate(classes):
        rates |= {(name, c): values[..., k] for name, values in whole.items()}
        if c in prevalence:
            ppv, npv = predictive_values(sensitivity[..., k], specificity[..., k], prevalence[c])
            rates |= {("ppv_at_prevalence", c): ppv, ("npv_at_prevalence", c): npv}
    return rates
