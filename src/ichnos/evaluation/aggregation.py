"""From slices to exams: which aggregator tells validation exams apart best."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from ichnos.evaluation.calibration import fit_scaling, measure_calibration
from ichnos.readout import Aggregator, Scaling, logit, slice_weights
from ichnos.subtypes import Subtype

CANDIDATES = (
    Aggregator(kind="max"),
    Aggregator(kind="top-mean", k=2),
    Aggregator(kind="top-mean", k=3),
    Aggregator(kind="top-mean", k=5),
    Aggregator(kind="noisy-or"),
)
"""Ranked by how little they assume; the earlier one wins where two are equal."""


@dataclass(frozen=True, eq=False)
class ExamTable:
    """Exams of a validation part. slices: the rows of each exam; labels: (exams, classes)."""

    slices: tuple[NDArray[np.intp], ...]
    labels: NDArray[np.bool_]

    @classmethod
    def of(cls, exams: NDArray[np.str_], labels: NDArray[np.bool_]) -> "ExamTable":
        """From (n,) exam names and (n, classes) slice labels: an exam has what any of its slices has."""
        _, unit = np.unique(exams, return_inverse=True)
        order = np.argsort(unit, kind="stable")
        rows = tuple(np.split(order, np.cumsum(np.bincount(unit))[:-1]))
        return cls(rows, np.stack([labels[each].any(axis=0) for each in rows]))

    def scores(
        self, aggregator: Aggregator, probabilities: NDArray[np.float64], offsets: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        """(exams, classes) from (n, classes) probabilities of slices, which lie at (n,) mm."""
        return np.stack([aggregator.apply(probabilities[rows], slice_weights(offsets[rows])) for rows in self.slices])


@dataclass(frozen=True, eq=False)
class AggregatorChoice:
    """The aggregator that was chosen, its scaling a class, and what every candidate gave."""

    aggregator: Aggregator
    scaling: dict[Subtype, Scaling]
    """For every class; the identity where the exams do not define one."""
    tried: list[dict[str, Any]]
    """A row a candidate: aggregator, log_loss and auc (means over the classes that define them)."""


def choose_aggregator(
    probabilities: NDArray[np.float64], offsets: NDArray[np.floating], exams: ExamTable, classes: Sequence[Subtype]
) -> AggregatorChoice:
    """The candidate with the lowest mean log-loss of scaled exam probabilities; of equal ones, the higher mean AUC.

    probabilities: (n, classes) calibrated, of slices; offsets: (n,) mm, where they lie. Each candidate is scaled on the
    same exams, with as many parameters, so that log-losses can be compared; they flatter all of them alike.
    """
    tried: list[dict[str, Any]] = []
    scalings: list[dict[Subtype, Scaling]] = []
    for candidate in CANDIDATES:
        scores = exams.scores(candidate, probabilities, offsets)
        scaling, losses, aucs = _measure(scores, exams.labels, classes)
        scalings.append(scaling)
        tried.append(
            {
                "aggregator": candidate.text,
                "log_loss": float(np.mean(losses)) if losses else None,
                "auc": float(np.mean(aucs)) if aucs else None,
            }
        )
    best = min(range(len(CANDIDATES)), key=lambda i: _rank(tried[i]))
    return AggregatorChoice(CANDIDATES[best], scalings[best], tried)


def _measure(
    scores: NDArray[np.float64], labels: NDArray[np.bool_], classes: Sequence[Subtype]
) -> tuple[dict[Subtype, Scaling], list[float], list[float]]:
    scaling: dict[Subtype, Scaling] = {}
    losses: list[float] = []
    aucs: list[float] = []
    for k, c in enumerate(classes):
        fitted = fit_scaling(logit(scores[:, k]), labels[:, k])
        scaling[c] = fitted or Scaling()
        if fitted is not None:
            losses.append(measure_calibration(fitted.apply(scores[:, k]), labels[:, k]).log_loss)
            aucs.append(float(roc_auc_score(labels[:, k], scores[:, k])))
    return scaling, losses, aucs


def _rank(row: dict[str, Any]) -> tuple[float, float]:
    """Equal to six digits is equal."""
    loss = round(row["log_loss"], 6) if row["log_loss"] is not None else np.inf
    return loss, -(row["auc"] or 0.0)
