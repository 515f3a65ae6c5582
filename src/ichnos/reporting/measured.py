"""A study measured once: every number of the report with its interval, before any of it becomes text or a picture."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ichnos.counting import counted
from ichnos.errors import InputError
from ichnos.evaluation import Comparison, Evaluation, PatientResamples, compare, evaluate
from ichnos.evaluation.confusion import Confusion, confusion
from ichnos.predictions import Predictions
from ichnos.progress import SILENT, Progress
from ichnos.reporting.study import ModelResult, StudyResult

Part = Literal["validation", "test"]
PARTS: tuple[Part, ...] = ("validation", "test")


FEW_PATIENTS = 30
"""Below this the report says that intervals are too narrow: the percentile bootstrap covers too little in small samples
(Efron and Tibshirani 1993, 13.3 and 14.3)."""


@dataclass(frozen=True)
class MeasuredModel:
    """One model's numbers."""

    model: ModelResult
    validation: Evaluation
    test: Evaluation
    confusion: Confusion
    """On test."""

    def part(self, part: Part) -> Evaluation:
        """The numbers of one part."""
        return self.validation if part == "validation" else self.test


@dataclass(frozen=True)
class MeasuredPair:
    """The full model against the reduced one on the same slices and classes."""

    part: Part
    milestone: int | None
    """The full model's best of its first so many epochs; None: its best of all."""
    full_label: str
    reduced_label: str
    comparison: Comparison
    """First: full; second: reduced."""


@dataclass(frozen=True)
class MeasuredStudy:
    """All numbers of a study."""

    result: StudyResult
    models: tuple[MeasuredModel, ...]
    pairs: tuple[MeasuredPair, ...]


def measure(result: StudyResult, progress: Progress = SILENT) -> MeasuredStudy:
    """Evaluate every model on validation and test, and the like-for-like pair where the study names one."""
    models: list[MeasuredModel] = []
    with progress.task("Measuring, by resamples of patients", 2 * len(result.models)) as task:
        for model in result.models:
            validation = _evaluate(model.validation, result)
            task.advance()
            test = _evaluate(model.test, result)
            task.advance()
            confused = confusion(model.test.probabilities, model.test.labels, model.test.classes)
            models.append(MeasuredModel(model, validation, test, confused))
    return MeasuredStudy(result, tuple(models), _pairs(result, progress))


def _evaluate(predictions: Predictions, result: StudyResult) -> Evaluation:
    resamples = PatientResamples.draw(predictions.patient, result.seed, result.resamples)
    return evaluate(predictions.probabilities, predictions.labels, predictions.classes, resamples)


def _pairs(result: StudyResult, progress: Progress) -> tuple[MeasuredPair, ...]:
    if result.like_for_like is None:
        return ()
    full = result.model(result.like_for_like.full)
    reduced = result.model(result.like_for_like.reduced)
    pairs: list[MeasuredPair] = []
    early = [epochs for epochs in sorted(full.until_milestone) if epochs < len(full.history)]  # else the best of all
    rounds: list[int | None] = [None, *early]
    with progress.task("Differences", len(PARTS) * len(rounds)) as task:
        for part in reversed(PARTS):
            second = reduced.test if part == "test" else reduced.validation
            for epochs in rounds:
                given = (full.validation, full.test) if epochs is None else full.until_milestone[epochs]
                first = given[1] if part == "test" else given[0]
                label = full.label if epochs is None else f"{full.label}, best of {counted(epochs, 'epoch')}"
                pairs.append(MeasuredPair(part, epochs, label, reduced.label, _compare(first, second, result)))
                task.advance()
    return tuple(pairs)


def _compare(full: Predictions, reduced: Predictions, result: StudyResult) -> Comparison:
    first = full.restrict(reduced.classes).select(_rows_of(reduced, full))
    if not np.array_equal(first.labels, reduced.labels):
        raise InputError("two models were measured against different labels of the same slices; evaluate both anew")
    resamples = PatientResamples.draw(reduced.patient, result.seed, result.resamples)
    return compare(first.probabilities, reduced.probabilities, reduced.labels, reduced.classes, resamples)


def _rows_of(wanted: Predictions, given: Predictions) -> NDArray[np.intp]:
    """Where in `given` the slices of `wanted` are, in the order of `wanted`."""
    where = {key: row for row, key in enumerate(zip(given.exam, given.slice_name, strict=True))}
    rows = [where.get(key, -1) for key in zip(wanted.exam, wanted.slice_name, strict=True)]
    missing = rows.count(-1)
    if missing:
        raise InputError(f"{missing} of {len(rows)} slices of the smaller model were not given to the larger one")
    return np.array(rows, dtype=np.intp)
