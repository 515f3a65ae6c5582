"""Two models on the same cases: differences of what is not tested, each with its interval, by the same resamples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichnos.evaluation.calls import AS_FOUND, Prevalence, exact_match_with_samples, measure_calls_with_samples
from ichnos.evaluation.comparison import Comparison, difference
from ichnos.evaluation.intervals import Estimate, defined_share_note
from ichnos.evaluation.probabilities import measure_calibration_with_samples, measure_kaggle_loss_with_samples
from ichnos.evaluation.resampling import PatientResamples, Samples
from ichnos.readout import POINTS
from ichnos.subtypes import Subtype

RATES = ("sensitivity", "specificity", "ppv", "npv", "f1")
"""Of calls at an operating point."""

AT_PREVALENCE = ("ppv_at_prevalence", "npv_at_prevalence")
"""Of the same calls, of a class whose prevalence is given."""

SCORES = ("brier", "log_loss")
"""Of probabilities: the lower, the better. The calibration error is none of them: chance adds to either model's, and
more to the better calibrated one's, so that intervals of the difference by the bootstrap miss it."""


@dataclass(frozen=True)
class Paired:
    """A measure of two models on the same cases, and the second less the first with its 95 % interval.

    There is no p, and the interval is not widened for there being many.
    """

    first: Estimate
    second: Estimate
    difference: Estimate

    def to_json(self) -> dict[str, Any]:
        """Three estimates."""
        return {name: getattr(self, name).to_json() for name in ("first", "second", "difference")}


@dataclass(frozen=True, eq=False)
class Called:
    """What a model calls at its own operating points, each (n, classes); or why nobody knows."""

    points: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict[str, NDArray[np.bool_]])
    why_not: str | None = None


@dataclass(frozen=True)
class PairedMeasures:
    """Of one class, beside its AUC."""

    average_precision: Paired
    brier: Paired
    log_loss: Paired
    points: Mapping[str, Mapping[str, Paired]]
    """For each operating point RATES, and AT_PREVALENCE where one is given: each model by its own thresholds."""

    def to_json(self) -> dict[str, Any]:
        """Each measure by its name; those of calls under operating_points."""
        return {
            **{name: getattr(self, name).to_json() for name in ("average_precision", *SCORES)},
            "operating_points": {
                point: {name: rate.to_json() for name, rate in rates.items()} for point, rates in self.points.items()
            },
        }


def paired_measures(
    probabilities: tuple[NDArray[np.float64], NDArray[np.float64]],
    called: tuple[Called, Called],
    labels: NDArray[np.bool_],
    classes: Sequence[Subtype],
    resamples: PatientResamples,
    ranked: Comparison,
    prevalence: Prevalence = AS_FOUND,
) -> dict[Subtype, PairedMeasures]:
    """Second less first of every class. Arrays are (n, classes) of the same cases in the same order.

    ranked: what `compare` gave of the same probabilities and resamples, which holds average precision.
    Raises UsageError where a prevalence is not inside (0, 1).
    """
    sides = [
        measure_side(said, calls, labels, classes, resamples, prevalence)
        for said, calls in zip(probabilities, called, strict=True)
    ]
    return paired_sides(sides[0], sides[1], classes, ranked)


@dataclass(frozen=True, eq=False)
class Side:
    """One model in every resample: what is needed to pair it with any number of others."""

    scores: Sequence[tuple[Mapping[str, Estimate], Samples]]
    """SCORES of each class."""
    rates: Mapping[str, tuple[Mapping[Subtype, Mapping[str, Estimate]], Samples]]
    """RATES of each operating point, and AT_PREVALENCE where one is given."""


def measure_side(
    probabilities: NDArray[np.float64],
    called: Called,
    labels: NDArray[np.bool_],
    classes: Sequence[Subtype],
    resamples: PatientResamples,
    prevalence: Prevalence = AS_FOUND,
) -> Side:
    """Of (n, classes) arrays of the same cases. Raises UsageError where a prevalence is not inside (0, 1)."""
    scores: list[tuple[Mapping[str, Estimate], Samples]] = []
    for k in range(len(classes)):
        estimates, drawn = measure_calibration_with_samples(probabilities[:, k], labels[:, k], resamples)
        scores.append((estimates, {key: values for key, values in drawn.items() if key[0] in SCORES}))
    return Side(scores, {point: _rates(called, point, labels, classes, resamples, prevalence) for point in POINTS})


def paired_sides(
    first: Side, second: Side, classes: Sequence[Subtype], ranked: Comparison
) -> dict[Subtype, PairedMeasures]:
    """Second less first of every class; both were measured in the resamples that `ranked` is of."""
    patients = ranked.first.patients
    found: dict[Subtype, PairedMeasures] = {}
    for k, c in enumerate(classes):
        (one, before), (two, after) = first.scores[k], second.scores[k]
        scores = {n: _pair(one[n], two[n], before[n, None], after[n, None], patients) for n in SCORES}
        key = ("average_precision", c)
        precision = Paired(ranked.first[key], ranked.second[key], ranked[key].estimate)
        points = {point: _paired_rates(first.rates[point], second.rates[point], c, patients) for point in POINTS}
        found[c] = PairedMeasures(precision, **scores, points=points)
    return found


def paired_kaggle_loss(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    labels: NDArray[np.bool_],
    classes: Sequence[Subtype],
    resamples: PatientResamples,
) -> Paired:
    """Kaggle's weighted log loss of slices, second less first; not defined unless all six classes are there."""
    one, before = measure_kaggle_loss_with_samples(first, labels, classes, resamples)
    two, after = measure_kaggle_loss_with_samples(second, labels, classes, resamples)
    return _pair(one, two, before, after, resamples.patients)


def paired_exact_match(
    called: tuple[Called, Called], labels: NDArray[np.bool_], resamples: PatientResamples
) -> dict[str, Paired]:
    """For each operating point the share of cases where every class is called as (n, classes) labels say, second less
    first."""
    found: dict[str, Paired] = {}
    for point in POINTS:
        (one, before), (two, after) = (_exact_match(each, point, labels, resamples) for each in called)
        found[point] = _pair(one, two, before, after, resamples.patients)
    return found


def _exact_match(
    called: Called, point: str, labels: NDArray[np.bool_], resamples: PatientResamples
) -> tuple[Estimate, NDArray[np.float64]]:
    if called.why_not is None:
        return exact_match_with_samples(called.points[point], labels, resamples)
    return _nothing(called), np.full(len(resamples), np.nan)


def _paired_rates(
    first: tuple[Mapping[Subtype, Mapping[str, Estimate]], Samples],
    second: tuple[Mapping[Subtype, Mapping[str, Estimate]], Samples],
    c: Subtype,
    patients: int,
) -> dict[str, Paired]:
    (one, before), (two, after) = first, second
    return {n: _pair(one[c][n], two[c][n], before[n, c], after[n, c], patients) for n in one[c]}


def _rates(
    called: Called,
    point: str,
    labels: NDArray[np.bool_],
    classes: Sequence[Subtype],
    resamples: PatientResamples,
    prevalence: Prevalence,
) -> tuple[dict[Subtype, dict[str, Estimate]], Samples]:
    if called.why_not is None:
        return measure_calls_with_samples(called.points[point], labels, classes, resamples, prevalence)
    names: dict[Subtype, tuple[str, ...]] = {c: RATES + (AT_PREVALENCE if c in prevalence else ()) for c in classes}
    never = np.full(len(resamples), np.nan)
    nothing = {c: dict.fromkeys(names[c], _nothing(called)) for c in classes}
    return nothing, {(n, c): never for c in classes for n in names[c]}


def _nothing(called: Called) -> Estimate:
    return Estimate(None, None, f"not defined ({called.why_not})")


def _pair(
    first: Estimate,
    second: Estimate,
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    patients: int,
) -> Paired:
    """The difference tells its own share of the resamples: those that define both may be fewer than define either."""
    found = difference(first, second, after - before, patients).estimate
    share = defined_share_note(found.interval)
    return Paired(first, second, replace(found, note=share) if share else found)
