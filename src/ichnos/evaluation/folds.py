"""What a procedure is worth over folds: every patient is measured once, by a model that has not seen them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichnos.evaluation.calibration import measure_calibration, reliability_table
from ichnos.evaluation.intervals import Estimate, defined_share_note, evaluate, percentile_interval
from ichnos.evaluation.levels import Judged
from ichnos.evaluation.ranking import Ranking
from ichnos.evaluation.resampling import PatientResamples
from ichnos.subtypes import Subtype

FEWEST_PATIENTS = 10
"""Positive patients, and negative ones, below which a class's numbers only describe."""


def only_describes(positive_patients: int, negative_patients: int) -> bool:
    """Whether too few patients have a class, or too few lack it, for a p to mean something.

    A patient is positive where some of their cases (slices, exams or themselves) have it, negative where some do not.
    """
    return min(positive_patients, negative_patients) < FEWEST_PATIENTS


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Slices, or exams, of all folds together, each as the model of its own fold judged it.

    patient: (n,) names. fold: (n,). raw, probabilities: (n, classes) before and after calibration on the fold's
    validation patients; an exam's raw is what the fitted aggregator makes of its slices' raw ones. labels:
    (n, classes). called: for each operating point (n, classes), by the fold's thresholds.
    """

    patient: NDArray[np.str_]
    fold: NDArray[np.int64]
    raw: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    labels: NDArray[np.bool_]
    called: Mapping[str, NDArray[np.bool_]]

    @classmethod
    def of(cls, judged: Judged, fold: int) -> "OutOfFold":
        """Of one fold."""
        return cls(
            judged.patient,
            np.full(len(judged), fold),
            judged.raw,
            judged.probabilities,
            judged.labels,
            judged.called,
        )

    @classmethod
    def joined(cls, parts: Sequence["OutOfFold"]) -> "OutOfFold":
        """All folds in one."""
        return cls(
            np.concatenate([p.patient for p in parts]),
            np.concatenate([p.fold for p in parts]),
            np.concatenate([p.raw for p in parts]),
            np.concatenate([p.probabilities for p in parts]),
            np.concatenate([p.labels for p in parts]),
            {name: np.concatenate([p.called[name] for p in parts]) for name in parts[0].called},
        )

    def of_fold(self, fold: int) -> "OutOfFold":
        """Those of one fold."""
        rows = self.fold == fold
        return OutOfFold(
            self.patient[rows],
            self.fold[rows],
            self.raw[rows],
            self.probabilities[rows],
            self.labels[rows],
            {name: values[rows] for name, values in self.called.items()},
        )


_DEFINED = 0.5
"""Of the resamples, how many must define a mean over folds. Folds are cut so that each has patients with a class where
that can be; of 16 in five folds a quarter of the resamples leave some fold without any, and the interval is of the
others. Its note says how many they are."""


def measure_folds(scores: OutOfFold, classes: Sequence[Subtype], seed: int) -> dict[str, Any]:
    """JSON: n, and for each class AUC pooled over folds and as the mean of the folds', average precision, sensitivity
    and specificity at each operating point, calibration before and after; 95 % intervals by patient.

    Pooled AUC ranks calibrated probabilities of different models against each other; the mean of folds compares only
    what one model said.
    """
    resamples = PatientResamples.draw(scores.patient, seed=seed)
    pooled = evaluate(scores.probabilities, scores.labels, classes, resamples)
    points = {
        name: evaluate(called.astype(np.float64), scores.labels, classes, resamples)
        for name, called in scores.called.items()
    }
    tree: dict[str, Any] = {"n": len(scores.labels), "patients": resamples.patients, "classes": {}}
    for k, c in enumerate(classes):
        support = pooled.support[c]
        tree["classes"][c.value] = {
            "positives": support.positive_slices,
            "positive_patients": support.positive_patients,
            "negative_patients": support.negative_patients,
            "descriptive_only": only_describes(support.positive_patients, support.negative_patients),
            "auc": pooled["auc", c].to_json(),
            "auc_mean_of_folds": mean_of_folds(scores, k, resamples).estimate.to_json(),
            "average_precision": pooled["average_precision", c].to_json(),
            "operating_points": {
                name: {rate: point[rate, c].to_json() for rate in ("sensitivity", "specificity", "precision")}
                for name, point in points.items()
            },
            "calibration": {
                "before": measure_calibration(scores.raw[:, k], scores.labels[:, k]).to_json(),
                "after": measure_calibration(scores.probabilities[:, k], scores.labels[:, k]).to_json(),
                "reliability": reliability_table(scores.probabilities[:, k], scores.labels[:, k]),
            },
        }
    return tree


@dataclass(frozen=True, eq=False)
class MeanOfFolds:
    """One class's AUC as the mean of the folds' that define it."""

    estimate: Estimate
    samples: NDArray[np.float64] | None
    """(resamples,) the same in each resample, NaN where one does not define every such fold."""


def mean_of_folds(scores: OutOfFold, k: int, resamples: PatientResamples) -> MeanOfFolds:
    """Of column k, over the folds that have both; a resample in which one of these has not is left out."""
    values: list[float] = []
    samples: list[NDArray[np.float64]] = []
    fewest: dict[str, int] = {}
    for fold in np.unique(scores.fold):
        rows = scores.fold == fold
        positive, units = scores.labels[rows, k], resamples.units[rows]
        if positive.all() or not positive.any():
            continue
        ranking = Ranking.of(scores.probabilities[rows, k], positive, units)
        width = int(units.max()) + 1
        values.append(float(ranking.measure(np.ones((1, width), np.uint16))[0][0]))
        samples.append(ranking.measure(resamples.weights[:, :width])[0])
        found = {kind: len(np.unique(units[of])) for kind, of in (("positive", positive), ("negative", ~positive))}
        fewest = {kind: min(count, fewest.get(kind, count)) for kind, count in found.items()}
    if not values:
        return MeanOfFolds(Estimate(None, None, "not defined (no fold has both positives and negatives)"), None)
    folds = len(np.unique(scores.fold))
    note = f"of the {len(values)} of {folds} folds that define it" if len(values) < folds else None
    means: NDArray[np.float64] = np.mean(samples, axis=0)
    interval = percentile_interval(means)
    if 1 in fewest.values():
        kind = next(kind for kind, count in fewest.items() if count == 1)
        note, interval = _and(note, f"no interval: a fold rests on one {kind} patient"), None
    elif interval is not None and interval.defined_share < _DEFINED:
        share = 100 * interval.defined_share
        note, interval = _and(note, f"no interval: only {share:.0f} % of resamples define every fold"), None
    elif (share_note := defined_share_note(interval)) is not None:
        note = _and(note, share_note)
    return MeanOfFolds(Estimate(float(np.mean(values)), interval, note), means)


def _and(note: str | None, more: str) -> str:
    return f"{note}; {more}" if note else more
