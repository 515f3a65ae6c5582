"""Every measure of one level, as JSON: ranking, calls at operating points, predictive values, calibration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichnos.errors import UsageError
from ichnos.evaluation.calibration import reliability_table
from ichnos.evaluation.calls import (
    GIVEN,
    GivenThresholds,
    Prevalence,
    check_prevalence,
    check_thresholds,
    exact_match,
    measure_calls,
)
from ichnos.evaluation.folds import only_describes
from ichnos.evaluation.intervals import Estimate, estimate_of, support_of
from ichnos.evaluation.levels import Judged, Level
from ichnos.evaluation.probabilities import measure_calibration_of, measure_kaggle_loss
from ichnos.evaluation.ranking import Ranking
from ichnos.evaluation.resampling import RESAMPLES, PatientResamples
from ichnos.progress import SILENT, Progress
from ichnos.subtypes import Subtype

Tree = dict[str, Any]

StatedThresholds = Mapping[str, Mapping[Subtype, float | Sequence[float]]]
"""Of each operating point for each class: one, or one a fold where several models judged."""


@dataclass(frozen=True)
class Measuring:
    """What is asked of every level.

    classes: the columns of every table. labelled: those of them that the set's labels tell; the others are reported as
    not labelled. prevalence: where predictive values are wanted besides this set's own. given: thresholds of
    some classes besides the stated ones, the same at every level.
    """

    classes: tuple[Subtype, ...]
    labelled: tuple[Subtype, ...]
    prevalence: Prevalence = field(default_factory=dict[Subtype, float])
    seed: int = 0
    resamples: int = RESAMPLES
    given: GivenThresholds = field(default_factory=dict[Subtype, float])

    def __post_init__(self) -> None:
        check_prevalence(self.prevalence)
        check_thresholds(self.given)
        if not self.labelled:
            raise UsageError("the set labels none of the classes that the model names, so there is nothing to measure")

    @property
    def columns(self) -> list[int]:
        """Of the labelled classes."""
        return [k for k, c in enumerate(self.classes) if c in self.labelled]


def measure_level(
    level: Level, judged: Judged, thresholds: StatedThresholds, asked: Measuring, progress: Progress = SILENT
) -> Tree:
    """All measures of slices, exams or patients. thresholds: for the record, what was called is in `judged`.

    {"n", "patients", "resamples", "exact_match": {point}, "kaggle_loss": {before, after} of slices, "classes":
    {class: ...}};
    every number is an Estimate as JSON, None with the reason in its note where it is not defined.
    """
    columns = asked.columns
    classes = [asked.classes[k] for k in columns]
    resamples = PatientResamples.draw(judged.patient, asked.seed, asked.resamples)
    all_of_them = columns == list(range(len(asked.classes)))
    taken = slice(None) if all_of_them else columns  # a list of columns would copy
    labels, raw, said = judged.labels[:, taken], judged.raw[:, taken], judged.probabilities[:, taken]
    points = {
        name: measure_calls(called[:, taken], labels, classes, resamples, asked.prevalence)
        for name, called in judged.called.items()
    }
    limits = np.array([asked.given.get(c, np.inf) for c in classes])
    given = measure_calls(said >= limits, labels, classes, resamples, asked.prevalence) if asked.given else {}
    tree: Tree = {"n": len(judged), "patients": resamples.patients, "resamples": len(resamples)}
    tree["exact_match"] = {
        name: exact_match(called[:, taken], labels, resamples).to_json() for name, called in judged.called.items()
    }
    if level is Level.SLICE:
        tree["kaggle_loss"] = {
            when: measure_kaggle_loss(values, labels, classes, resamples).to_json()
            for when, values in (("before", raw), ("after", said))
        }
    stated_points = [(name, point, thresholds[name]) for name, point in points.items()]
    rows: dict[str, Tree] = {c.value: {"labelled": False} for c in asked.classes}
    with progress.task(f"Measuring {level.value}s", len(classes)) as task:
        for k, c in enumerate(classes):
            rows[c.value] = {
                "labelled": True,
                **_ranking(said, labels, classes, k, resamples),
                "operating_points": {
                    name: {"threshold": stated[c], **{rate: e.to_json() for rate, e in point[c].items()}}
                    for name, point, stated in (*stated_points, (GIVEN, given, asked.given))
                    if c in stated
                },
                "calibration": _calibration(raw[:, k], said[:, k], labels[:, k], resamples),
            }
            task.advance()
    return tree | {"classes": rows}


def _ranking(
    said: NDArray[np.float64],
    labels: NDArray[np.bool_],
    classes: Sequence[Subtype],
    k: int,
    resamples: PatientResamples,
) -> Tree:
    c = classes[k]
    support = support_of(said >= 0.5, labels, classes, resamples)  # calls are no part of a ranking
    ranking = Ranking.of(said[:, k], labels[:, k], resamples.units)
    whole = ranking.measure(np.ones((1, resamples.patients), np.uint16))
    drawn = ranking.measure(resamples.weights)
    estimates: dict[str, Estimate] = {}
    for name, value, values in zip(("auc", "average_precision"), whole, drawn, strict=True):
        number = None if np.isnan(value[0]) else float(value[0])
        estimates[name] = estimate_of((name, c), number, values, support, resamples.patients)
    return {
        "positives": support[c].positive_slices,
        "positive_patients": support[c].positive_patients,
        "negative_patients": support[c].negative_patients,
        "descriptive_only": only_describes(support[c].positive_patients, support[c].negative_patients),
        **{name: estimate.to_json() for name, estimate in estimates.items()},
    }


def _calibration(
    raw: NDArray[np.float64], said: NDArray[np.float64], positive: NDArray[np.bool_], resamples: PatientResamples
) -> Tree:
    return {
        when: {
            **{name: e.to_json() for name, e in measure_calibration_of(values, positive, resamples).items()},
            "reliability": reliability_table(values, positive),
        }
        for when, values in (("before", raw), ("after", said))
    }
