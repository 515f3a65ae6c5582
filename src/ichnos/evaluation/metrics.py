"""What a model of single slices is worth on a set of slices: the study's metrics (3.3), each None where not defined."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichnos.counting import counted
from ichnos.errors import InputError
from ichnos.evaluation.counts import Counts, binary_cross_entropy, call_indicators
from ichnos.evaluation.ranking import Ranking
from ichnos.subtypes import Subtype

PerClass = dict[Subtype, float | None]
"""A number a class; None where it is not defined."""

THRESHOLD = 0.5
"""A class is called where its probability is at least this: the study's accuracy and F1 (section 3.3)."""


@dataclass(frozen=True)
class SliceMetrics:
    """The metrics of one model on n slices. None means "not defined", never 0."""

    n: int
    threshold: float
    loss_mean: float
    """Binary cross-entropy in nats, mean over the outputs and over the slices (what Table 1's losses fit)."""
    loss_sum: float
    """The same summed over the outputs, mean over the slices (what training minimises)."""
    exact_match: float
    """The share of slices where every class is called as it is labelled: the study's accuracy."""
    macro_f1: float | None
    """The mean F1 over `f1_classes`; None where no class has a positive slice."""
    mean_auc: float | None
    """The mean AUC over `auc_classes`; None where no class has both positive and negative slices."""
    f1: PerClass
    auc: PerClass
    average_precision: PerClass
    sensitivity: PerClass
    specificity: PerClass
    precision: PerClass
    positives: dict[Subtype, int]

    @property
    def f1_classes(self) -> tuple[Subtype, ...]:
        """The classes that `macro_f1` is the mean of."""
        return defined(self.f1)

    @property
    def auc_classes(self) -> tuple[Subtype, ...]:
        """The classes that `mean_auc` is the mean of."""
        return defined(self.auc)

    def to_json(self) -> dict[str, Any]:
        """The fields by name, classes by value, None for "not defined"; and which classes the two means are over."""
        tree: dict[str, Any] = {}
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            tree[name] = {c.value: v for c, v in value.items()} if isinstance(value, dict) else value
        tree["f1_classes"] = [c.value for c in self.f1_classes]
        tree["auc_classes"] = [c.value for c in self.auc_classes]
        return tree


def slice_metrics(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.bool_],
    classes: Sequence[Subtype],
    threshold: float = THRESHOLD,
) -> SliceMetrics:
    """Measure (n, classes) probabilities against (n, classes) labels, columns in the order of `classes`.

    Raises InputError where there are no slices or the shapes do not fit.
    """
    check_shapes(probabilities, labels, classes)
    called = probabilities >= threshold
    counts = Counts(*call_indicators(called, labels).sum(axis=1, dtype=np.float64))
    ranked = [_rank(probabilities[:, k], labels[:, k]) for k in range(len(classes))]
    losses = binary_cross_entropy(probabilities, labels)
    f1 = _per_class(classes, counts.f1)
    auc = _per_class(classes, (pair[0] for pair in ranked))
    return SliceMetrics(
        n=len(labels),
        threshold=threshold,
        loss_mean=float(losses.mean()),
        loss_sum=float(losses.sum(axis=1).mean()),
        exact_match=float((called == labels).all(axis=1).mean()),
        macro_f1=_mean(f1),
        mean_auc=_mean(auc),
        f1=f1,
        auc=auc,
        average_precision=_per_class(classes, (pair[1] for pair in ranked)),
        sensitivity=_per_class(classes, counts.sensitivity),
        specificity=_per_class(classes, counts.specificity),
        precision=_per_class(classes, counts.precision),
        positives={c: int(count) for c, count in zip(classes, counts.positives, strict=True)},
    )


def defined(values: PerClass) -> tuple[Subtype, ...]:
    """The classes whose number is defined."""
    return tuple(c for c, value in values.items() if value is not None)


def check_shapes(probabilities: NDArray[np.floating], labels: NDArray[np.bool_], classes: Sequence[Subtype]) -> None:
    """Raise InputError unless there are slices, both arrays are (slices, classes), and probabilities are numbers."""
    if probabilities.ndim != 2 or probabilities.shape != labels.shape or probabilities.shape[1] != len(classes):
        raise InputError(
            f"probabilities and labels must both be (slices, {len(classes)}), "
            f"got {probabilities.shape} and {labels.shape}"
        )
    if not len(labels):
        raise InputError("there are no slices to measure: the part is empty, or the population leaves nothing in it")
    if not np.isfinite(probabilities).all():
        bad = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
        raise InputError(
            f"probabilities of {counted(len(bad), 'row')} are no numbers (NaN, infinite), the first in row {bad[0]}: "
            "the model has failed"
        )


def _rank(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> tuple[float, float]:
    one_unit = np.zeros(len(scores), dtype=np.intp)
    auc, average_precision = Ranking.of(scores, positive, one_unit).measure(np.ones((1, 1), dtype=np.uint16))
    return float(auc[0]), float(average_precision[0])


def _per_class(classes: Sequence[Subtype], values: Iterable[float]) -> PerClass:
    return {c: None if np.isnan(value) else float(value) for c, value in zip(classes, values, strict=True)}


def _mean(values: PerClass) -> float | None:
    numbers = [value for value in values.values() if value is not None]
    return sum(numbers) / len(numbers) if numbers else None
