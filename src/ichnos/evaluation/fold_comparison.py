"""Two procedures over the same folds: paired differences by the bootstrap over patients; those of AUC are tested."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ichnos.errors import InputError
from ichnos.evaluation.comparison import Difference, compare, difference
from ichnos.evaluation.folds import OutOfFold, mean_of_folds, only_describes
from ichnos.evaluation.intervals import Estimate
from ichnos.evaluation.paired import Called, PairedMeasures, paired_measures
from ichnos.evaluation.resampling import RESAMPLES, PatientResamples
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


def compare_folds(
    first: OutOfFold, second: OutOfFold, classes: Sequence[Subtype], *, seed: int, resamples: int = RESAMPLES
) -> list[FoldGain]:
    """For each class (a column of both), second less first. The same patients are drawn for both.

    Raises InputError where the two are not of the same slices or exams, in one order and the same folds.
    """
    alike = len(first.labels) == len(second.labels) and first.labels.shape == second.labels.shape
    if not alike or any(
        (getattr(first, name) != getattr(second, name)).any() for name in ("patient", "fold", "labels")
    ):
        raise InputError("a paired comparison needs the same slices or exams, labels and folds; these two differ")
    drawn = PatientResamples.draw(first.patient, seed, resamples)
    pooled = compare(first.probabilities, second.probabilities, first.labels, classes, drawn)
    scores, called = (first.probabilities, second.probabilities), (Called(first.called), Called(second.called))
    measures = paired_measures(scores, called, first.labels, classes, drawn, pooled)
    gains: list[FoldGain] = []
    for k, c in enumerate(classes):
        one, two = (mean_of_folds(each, k, drawn) for each in (first, second))
        if one.samples is None or two.samples is None:
            change = Difference(Estimate(None, None, one.estimate.note), None)
        else:
            change = difference(one.estimate, two.estimate, two.samples - one.samples, drawn.patients)
        positive = first.labels[:, k]
        having, lacking = (len(np.unique(first.patient[rows])) for rows in (positive, ~positive))
        same = bool((first.probabilities[:, k] == second.probabilities[:, k]).all())
        gains.append(FoldGain(c, having, lacking, change, pooled["auc", c], measures[c], same))
    return gains
