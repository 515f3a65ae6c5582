"""Every metric of a model with its 95 % interval, by the bootstrap over patients."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichnos.evaluation.metrics import THRESHOLD, SliceMetrics, slice_metrics
from ichnos.evaluation.resampling import MetricKey, PatientResamples, Samples, resample_metrics
from ichnos.subtypes import Subtype

LEVEL = 0.95
"""Of the intervals."""

SCALARS = ("exact_match", "macro_f1", "mean_auc", "loss_mean", "loss_sum")
"""The metrics that are one number a model."""

ALL_AGREE = "all resamples agree"
"""What stands in a report in place of an interval that tells nothing."""

RATES = ("f1", "auc", "average_precision", "sensitivity", "specificity", "precision")
"""The metrics that are one number a class."""


@dataclass(frozen=True)
class Interval:
    """A 95 % percentile interval (Efron and Tibshirani 1993, chapter 13)."""

    low: float
    high: float
    defined_share: float
    """The share of resamples that define the metric; the interval is of those."""

    @property
    def tells(self) -> bool:
        """Whether it says how sure a number is: where all resamples agree, as in 2 exams of 2, the bootstrap cannot."""
        return self.low < self.high


@dataclass(frozen=True)
class Estimate:
    """A number, how sure it is, and why it or its interval is missing."""

    value: float | None
    interval: Interval | None
    note: str | None = None

    def to_json(self) -> dict[str, Any]:
        """value, low, high, defined_share and note; None where there is none."""
        interval = asdict(self.interval) if self.interval else {"low": None, "high": None, "defined_share": None}
        return {"value": self.value, **interval, "note": self.note}

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> "Estimate":
        """What `to_json` gave."""
        low, high, share = tree["low"], tree["high"], tree["defined_share"]
        return cls(tree["value"], None if low is None else Interval(low, high, share), tree["note"])


@dataclass(frozen=True)
class Support:
    """How much a class's numbers stand on, in slices and in patients."""

    positive_slices: int
    positive_patients: int
    negative_patients: int
    called_patients: int
    uncalled_patients: int


@dataclass(frozen=True)
class Evaluation:
    """One model on one set of slices: every metric with its interval, and what they stand on."""

    slices: int
    patients: int
    classes: tuple[Subtype, ...]
    metrics: SliceMetrics
    support: dict[Subtype, Support]
    estimates: dict[MetricKey, Estimate]
    resamples: int

    def __getitem__(self, key: str | MetricKey) -> Estimate:
        """evaluation["macro_f1"] or evaluation["f1", Subtype.EPIDURAL]."""
        return self.estimates[(key, None) if isinstance(key, str) else key]

    def to_json(self) -> dict[str, Any]:
        """n, then each metric by name, classes by value."""
        tree: dict[str, Any] = {"slices": self.slices, "patients": self.patients, "resamples": self.resamples}
        tree["support"] = {c.value: asdict(s) for c, s in self.support.items()}
        tree.update({name: self[name].to_json() for name in SCALARS})
        tree.update({name: {c.value: self[name, c].to_json() for c in self.classes} for name in RATES})
        tree["f1_classes"] = [c.value for c in self.metrics.f1_classes]
        tree["auc_classes"] = [c.value for c in self.metrics.auc_classes]
        return tree


def evaluate(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.bool_],
    classes: Sequence[Subtype],
    resamples: PatientResamples,
    threshold: float = THRESHOLD,
) -> Evaluation:
    """Measure (n, classes) probabilities against (n, classes) labels, with an interval for each metric.

    A metric of a class has no interval where fewer than two patients could change it, and the interval of a mean over
    such classes is too narrow: the note says so. Where some resamples do not define a metric, the interval is of those
    that do and the note gives their share.
    """
    return evaluate_with_samples(probabilities, labels, classes, resamples, threshold)[0]


def evaluate_with_samples(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.bool_],
    classes: Sequence[Subtype],
    resamples: PatientResamples,
    threshold: float = THRESHOLD,
) -> tuple[Evaluation, Samples]:
    """What `evaluate` gives, and the metrics of every resample that its intervals are of."""
    metrics = slice_metrics(probabilities, labels, classes, threshold)
    samples = resample_metrics(probabilities, labels, classes, resamples, threshold)
    support = support_of(probabilities >= threshold, labels, classes, resamples)
    estimates: dict[MetricKey, Estimate] = {}
    for key, values in samples.items():
        name, c = key
        value = getattr(metrics, name) if c is None else getattr(metrics, name)[c]
        thin = _thin_mean(key, metrics, support)
        estimates[key] = estimate_of(key, value, values, support, resamples.patients, thin)
    patients, draws = resamples.patients, len(resamples)
    return Evaluation(len(labels), patients, tuple(classes), metrics, support, estimates, draws), samples


def estimate_of(
    key: MetricKey,
    value: float | None,
    values: NDArray[np.float64],
    support: Mapping[Subtype, Support],
    patients: int,
    thin: str | None = None,
) -> Estimate:
    """A metric with the interval of its (resamples,) values, or the reason why it or its interval is missing.

    thin: why an interval, where there is one, is too narrow.
    """
    doubt = _undefined(key, support) if value is None else _too_few(key, support, patients)
    interval = None if doubt else percentile_interval(values)
    notes = [note for note in (doubt, thin if interval else None, defined_share_note(interval)) if note]
    return Estimate(value, interval, "; ".join(notes) or None)


def percentile_interval(values: NDArray[np.float64]) -> Interval | None:
    """The middle 95 % of the resamples that define the metric; None where none does."""
    numbers = values[~np.isnan(values)]
    if not len(numbers):
        return None
    low, high = np.quantile(numbers, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high), len(numbers) / len(values))


def _too_few(key: MetricKey, support: Mapping[Subtype, Support], patients: int) -> str | None:
    """Why a metric that is defined has no interval: it would rest on fewer than two patients. None: it has one."""
    name, c = key
    if patients < 2:
        return "no interval: 1 patient"
    reason = _class_too_few(name, support[c], "") if c is not None else None
    return f"no interval: {reason}" if reason else None


def _thin_mean(key: MetricKey, metrics: SliceMetrics, support: dict[Subtype, Support]) -> str | None:
    """Why the interval of a mean over classes is too narrow: one of them rests on a single patient."""
    match key[0]:
        case "macro_f1":
            reasons = [_class_too_few("f1", support[k], f"{k.abbreviation} has ") for k in metrics.f1_classes]
        case "mean_auc":
            reasons = [_class_too_few("auc", support[k], f"{k.abbreviation} has ") for k in metrics.auc_classes]
        case _:
            reasons = []
    return next((f"too narrow: {reason}" for reason in reasons if reason), None)


def _class_too_few(name: str, support: Support, prefix: str) -> str | None:
    positive = (support.positive_patients, "positive")
    negative = (support.negative_patients, "negative")
    match name:
        case "auc" | "ppv_at_prevalence" | "npv_at_prevalence":
            needs = [positive, negative]
        case "npv":
            needs = [(support.uncalled_patients, "uncalled")]
        case "specificity":
            needs = [negative]
        case "precision" | "ppv":
            needs = [(support.called_patients, "called")]
        case _:
            needs = [positive]
    return next((f"{prefix}{count} {what} patient" + "s" * (count != 1) for count, what in needs if count < 2), None)


def _undefined(key: MetricKey, support: Mapping[Subtype, Support]) -> str:
    name, c = key
    match name:
        case "precision" | "ppv":
            return "not defined (0 calls)"
        case "npv":
            return "not defined (everything is called)"
        case "specificity":
            return "not defined (0 negatives)"
        case "auc" if c is not None and support[c].positive_slices:
            return "not defined (0 negatives)"
        case "ppv_at_prevalence" | "npv_at_prevalence" if c is not None and support[c].positive_slices:
            some = support[c].negative_patients
            what = "nothing would be called" if name.startswith("ppv") else "everything would be called"
            return f"not defined ({what if some else '0 negatives'})"
        case "mean_auc":
            return "not defined (no class has both positives and negatives)"
        case "macro_f1":
            return "not defined (no class has positives)"
        case _:
            return "not defined (0 positives)"


def defined_share_note(interval: Interval | None) -> str | None:
    """That only some resamples define the number; None where nearly all do, or there is no interval."""
    if interval is None or interval.defined_share >= _NEARLY_ALL:
        return None
    return f"in {100 * interval.defined_share:.0f} % of resamples"


_NEARLY_ALL = 0.99
"""Of the resamples: what the others lack moves no end of an interval that is worth telling."""


def support_of(
    called: NDArray[np.bool_], labels: NDArray[np.bool_], classes: Sequence[Subtype], resamples: PatientResamples
) -> dict[Subtype, Support]:
    """What the numbers of each class stand on. called, labels: (n, classes)."""
    columns = (
        labels.sum(axis=0),
        resamples.patients_with(labels),
        resamples.patients_with(~labels),
        resamples.patients_with(called),
        resamples.patients_with(~called),
    )
    return {c: Support(*(int(column[k]) for column in columns)) for k, c in enumerate(classes)}
