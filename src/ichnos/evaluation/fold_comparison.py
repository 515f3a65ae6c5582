"""Two procedures over the same folds: paired differences by the bootstrap over patients; those of AUC are tested."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ichnos.errors import InputError
from ichnos.evaluation.calls import AS_FOUND, Prevalence
from ichnos.evaluation.comparison import Difference, compared, difference
from ichnos.evaluation.folds import MeanOfFolds, OutOfFold, mean_of_folds, only_describes
from ichnos.evaluation.intervals import Estimate, Evaluation, evaluate_with_samples
from ichnos.evaluation.paired import Called, PairedMeasures, Side, measure_side, paired_sides
from ichnos.evaluation.resampling import RESAMPLES, PatientResamples, Samples
from ichnos.subtypes import Subtype


@dataclass(frozen=True)
class FoldGain:
    """The second's AUC less the first's.

    change: of the means of folds: within a fold each is one model, whose scale is one. pooled: of calibrated
    probabilities of all folds together, which has an interval where a fold has few patients with the class.
    measures: beside AUC, of the same calibrated probabilities, and of calls by each fold's own thresholds.
    """

    subtype: Subtype
    positive_patients: int
    negative_patients: int
    change: Difference
    pooled: Difference
    measures: PairedMeasures
    identical: bool = False
    """Both gave every case the same probability of the class, as a cascade and its gate do: both differences are 0
    whatever patients are drawn, and there is nothing to test."""

    @property
    def descriptive_only(self) -> bool:
        """Too few patients have the class, or lack it, for any p to mean something."""
        return only_describes(self.positive_patients, self.negative_patients)

    @property
    def tested(self) -> float | None:
        """The p of `change`; None where there is none, the answers are the same, or too few patients have the class or
        lack it."""
        return None if self.identical or self.descriptive_only else self.change.bootstrap_p

    @property
    def pooled_tested(self) -> float | None:
        """The same of `pooled`."""
        return None if self.identical or self.descriptive_only else self.pooled.bootstrap_p

    def to_json(self) -> dict[str, Any]:
        """The class, how many patients have it, and both differences of AUC."""
        return {
            "class": self.subtype.value,
            "positive_patients": self.positive_patients,
            "negative_patients": self.negative_patients,
            "descriptive_only": self.descriptive_only,
            "identical": self.identical,
            "difference": self.change.to_json() | {"bootstrap_p": self.tested},
            "pooled": self.pooled.to_json() | {"bootstrap_p": self.pooled_tested},
        }


@dataclass(frozen=True, eq=False)
class FoldSide:
    """One procedure over folds in every resample of its patients: measured once, and then compared with any others."""

    scores: OutOfFold
    classes: tuple[Subtype, ...]
    drawn: PatientResamples
    pooled: tuple[Evaluation, Samples]
    """Of the resamples AUC and average precision alone are kept."""
    means: tuple[MeanOfFolds, ...]
    """A class."""
    measured: Side

    @classmethod
    def of(
        cls,
        scores: OutOfFold,
        classes: Sequence[Subtype],
        drawn: PatientResamples,
        prevalence: Prevalence = AS_FOUND,
    ) -> "FoldSide":
        """classes: the columns of `scores`. drawn: of its patients. prevalence: where predictive values are wanted
        besides the set's own."""
        whole, samples = evaluate_with_samples(scores.probabilities, scores.labels, classes, drawn)
        return cls(
            scores,
            tuple(classes),
            drawn,
            (whole, {key: values for key, values in samples.items() if key[0] in _KEPT}),
            tuple(mean_of_folds(scores, k, drawn) for k in range(len(classes))),
            measure_side(scores.probabilities, Called(scores.called), scores.labels, classes, drawn, prevalence),
        )


_KEPT = ("auc", "average_precision")


def compare_folds(
    first: OutOfFold, second: OutOfFold, classes: Sequence[Subtype], *, seed: int, resamples: int = RESAMPLES
) -> list[FoldGain]:
    """For each class (a column of both), second less first. The same patients are drawn for both.

    Raises InputError where the two are not of the same slices or exams, in one order and the same folds.
    """
    _see_that_they_pair(first, second)
    drawn = PatientResamples.draw(first.patient, seed, resamples)
    return compare_sides(FoldSide.of(first, classes, drawn), FoldSide.of(second, classes, drawn))


def compare_sides(first: FoldSide, second: FoldSide) -> list[FoldGain]:
    """The same of two that were measured already, in the same resamples. Raises InputError as `compare_folds` does."""
    one, two = first.scores, second.scores
    _see_that_they_pair(one, two)
    if first.classes != second.classes or not np.array_equal(first.drawn.weights, second.drawn.weights):
        raise InputError("a paired comparison needs the same classes, measured in the same resamples; these two differ")
    pooled = compared(first.pooled, second.pooled)
    measures = paired_sides(first.measured, second.measured, first.classes, pooled)
    gains: list[FoldGain] = []
    for k, c in enumerate(first.classes):
        change = _change(first.means[k], second.means[k], pooled.first.patients)
        positive = one.labels[:, k]
        having, lacking = (len(np.unique(one.patient[rows])) for rows in (positive, ~positive))
        same = bool((one.probabilities[:, k] == two.probabilities[:, k]).all())
        gains.append(FoldGain(c, having, lacking, change, pooled["auc", c], measures[c], same))
    return gains


def _change(first: MeanOfFolds, second: MeanOfFolds, patients: int) -> Difference:
    if first.samples is None or second.samples is None:
        return Difference(Estimate(None, None, first.estimate.note), None)
    return difference(first.estimate, second.estimate, second.samples - first.samples, patients)


def _see_that_they_pair(first: OutOfFold, second: OutOfFold) -> None:
    alike = len(first.labels) == len(second.labels) and first.labels.shape == second.labels.shape
    if not alike or any(
        (getattr(first, name) != getattr(second, name)).any() for name in ("patient", "fold", "labels")
    ):
        raise InputError("a paired comparison needs the same slices or exams, labels and folds; these two differ")
