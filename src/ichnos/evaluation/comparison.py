"""Two models on the same slices: paired differences of every metric, by the bootstrap over patients."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichnos.counting import counted
from ichnos.errors import InputError
from ichnos.evaluation.intervals import Estimate, Evaluation, Interval, evaluate_with_samples, percentile_interval
from ichnos.evaluation.metrics import THRESHOLD
from ichnos.evaluation.resampling import MetricKey, PatientResamples, Samples
from ichnos.subtypes import Subtype

LEAST_PATIENTS = 10
"""Fewer give no p: a bootstrap over a handful of patients finds anything certain."""

LEAST_DEFINED = 0.9
"""Where a smaller share of the resamples defines a difference there is no p: those that do are a choice of patients."""


@dataclass(frozen=True)
class Difference:
    """Second model less first, on the same slices and in the same resamples."""

    estimate: Estimate
    bootstrap_p: float | None
    """Two-sided: twice the smaller share of resamples on either side of 0, each with one added (never 0). None where
    LEAST_PATIENTS or LEAST_DEFINED forbids one."""
    untested: str | None = None
    """Why there is no p although there is an interval."""

    @property
    def sign(self) -> int:
        """+1 or -1 where it may be tested and the 95 % interval lies wholly above or below 0, else 0."""
        interval = self.estimate.interval
        if interval is None or self.bootstrap_p is None:
            return 0
        return int(interval.low > 0) - int(interval.high < 0)

    def to_json(self) -> dict[str, Any]:
        """The estimate's fields and bootstrap_p."""
        return {**self.estimate.to_json(), "bootstrap_p": self.bootstrap_p}


@dataclass(frozen=True)
class Comparison:
    """Two models on the same slices and classes."""

    first: Evaluation
    second: Evaluation
    differences: dict[MetricKey, Difference]

    def __getitem__(self, key: str | MetricKey) -> Difference:
        """comparison["macro_f1"] or comparison["f1", Subtype.SUBDURAL]."""
        return self.differences[(key, None) if isinstance(key, str) else key]


def compare(
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    labels: NDArray[np.bool_],
    classes: Sequence[Subtype],
    resamples: PatientResamples,
    threshold: float = THRESHOLD,
    advance: Callable[[], None] | None = None,
) -> Comparison:
    """Second less first, for every metric. first, second, labels: (n, classes) of the same slices in the same order.

    The same patients are drawn for both, so that what is hard for both cancels out. advance: called after either.
    """
    if first.shape != second.shape:
        raise InputError(f"a paired comparison needs the same slices and classes, got {first.shape} and {second.shape}")
    measured: list[tuple[Evaluation, Samples]] = []
    for each in (first, second):
        measured.append(evaluate_with_samples(each, labels, classes, resamples, threshold))
        if advance is not None:
            advance()
    return compared(measured[0], measured[1])


def compared(first: tuple[Evaluation, Samples], second: tuple[Evaluation, Samples]) -> Comparison:
    """What `compare` gives of two models that were measured already (`evaluate_with_samples`), in the same resamples:
    every metric of which both have samples."""
    (one, before), (two, after) = first, second
    return Comparison(
        one,
        two,
        {key: difference(one[key], two[key], after[key] - before[key], one.patients) for key in before if key in after},
    )


def difference(first: Estimate, second: Estimate, values: NDArray[np.float64], patients: int) -> Difference:
    """Of two estimates on the same slices. values: (resamples,) second less first in each resample."""
    if first.value is None or second.value is None:
        return Difference(Estimate(None, None, first.note if first.value is None else second.note), None)
    value = second.value - first.value
    if first.interval is None or second.interval is None:
        return Difference(Estimate(value, None, first.note if first.interval is None else second.note), None)
    interval = percentile_interval(values)
    numbers = values[~np.isnan(values)]
    if interval is None:
        return Difference(Estimate(value, None, "no interval: no resample defines both"), None)
    untested = _untested(interval, patients)
    if untested:
        return Difference(Estimate(value, interval, first.note or second.note), None, untested)
    below, above = int((numbers <= 0).sum()), int((numbers >= 0).sum())
    p = min(1.0, 2 * (min(below, above) + 1) / (len(numbers) + 1))
    return Difference(Estimate(value, interval, first.note or second.note), p)


def _untested(interval: Interval, patients: int) -> str | None:
    if patients < LEAST_PATIENTS:
        return f"{counted(patients, 'patient')}, at least {LEAST_PATIENTS} are needed"
    if interval.defined_share < LEAST_DEFINED:
        return f"only {100 * interval.defined_share:.0f} % of the resamples define it"
    return None
