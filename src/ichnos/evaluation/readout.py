"""From predictions on patients that the model has not seen to its readout: temperatures, aggregator, thresholds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichnos.counting import exactly
from ichnos.errors import InputError, UsageError
from ichnos.evaluation.aggregation import AggregatorChoice, ExamTable, choose_aggregator
from ichnos.evaluation.calibration import fit_scaling, measure_calibration, reliability_table
from ichnos.evaluation.operating_points import HIGH_SENSITIVITY, measured, operating_points
from ichnos.predictions import Predictions
from ichnos.readout import (
    NEVER_FIRES,
    POINTS,
    AnyRule,
    Bound,
    OperatingPoint,
    Readout,
    Scaling,
    Thresholds,
    logit,
    sigmoid,
)
from ichnos.subtypes import CLASSES, SUBTYPES, Subtype

SMOOTHINGS = (0.0, 0.25, 0.5, 1.0)
"""Candidates; the smaller one wins where two are equal."""

NO_TEMPERATURE = "no temperature"
"""How a note goes on behind the name of a class that could not be calibrated."""

AT_HALF = "thresholds of 0.5"
"""And behind that name and `slice` or `exam`, of one whose thresholds could not be chosen."""

_FIRES = 0.5
"""A network, or a cascade's gate, whose P(any) is below this on every slice is said never to fire."""


@dataclass(frozen=True, eq=False)
class FittedReadout:
    """A readout and what it stands on."""

    readout: Readout
    patients: int
    exams: int
    slices: int
    positives: dict[Subtype, tuple[int, int]]
    """Slices and exams with each reported class."""
    report: dict[str, Any]
    """JSON: calibration before and after, reliability, every aggregator and smoothing tried, what was not fitted."""


@dataclass(frozen=True)
class Fitting:
    """What can be chosen about a readout: nothing of it is fitted. Raises UsageError."""

    sensitivity: float = HIGH_SENSITIVITY
    """Of the positives, how many the high-sensitivity point must find."""
    bound: Bound = Bound.CAP_SUBTYPES
    """What gives way where a subtype comes out likelier than any hemorrhage."""

    def __post_init__(self) -> None:
        if not 0 < self.sensitivity <= 1:
            raise UsageError(f"--sensitivity is a share above 0 and at most 1, got {self.sensitivity:g}")

    @property
    def words(self) -> list[str]:
        """As they are given to a command; nothing of what is usual."""
        words = ["--sensitivity", exactly(self.sensitivity)] if self.sensitivity != HIGH_SENSITIVITY else []
        return words + (["--bound", self.bound.value] if self.bound is not Bound.CAP_SUBTYPES else [])

    def is_of(self, readout: Mapping[str, Any]) -> bool:
        """Whether a readout, as a scorecard has it, was fitted so."""
        return (readout.get("high_sensitivity"), readout.get("bound")) == (self.sensitivity, self.bound.value)


AS_USUAL = Fitting()
"""95 %, and subtypes give way."""


def fit_readout(predictions: Predictions, fitting: Fitting = AS_USUAL) -> FittedReadout:
    """Fit everything that turns the model's outputs into calls. `predictions`: raw σ(logit) of unseen patients.

    A class without positives or without negatives keeps a temperature of 1, no exam scaling and thresholds of 0.5, and
    the report says so.
    Raises InputError where there are no slices, or the bound needs subtypes that are not named.
    """
    _see_that_it_can_be_fitted(predictions, fitting.bound)
    sensitivity = fitting.sensitivity
    raw_logits = logit(predictions.probabilities, certain=1e-15)  # as predicted, but for what a double cannot hold
    smoothing, smoothings = _choose_smoothing(raw_logits, predictions)
    logits = smoothed_by_exam(raw_logits, predictions, smoothing)
    notes: list[str] = []
    scalings = _scalings(logits, predictions, notes)
    labels = reported_labels(predictions)
    draft = _with_any_rule(predictions.classes, scalings, logits, labels[:, -1], fitting.bound)
    draft = draft.model_copy(update={"smoothing": smoothing})
    slices = draft.slice_probabilities(logits)
    table = ExamTable.of(predictions.exam, labels)
    choice = choose_aggregator(slices, predictions.offset, table, draft.reported)
    draft = draft.model_copy(update={"aggregator": choice.aggregator, "exam_scaling": choice.scaling})
    exams = np.stack([draft.exam_probabilities(slices[rows], predictions.offset[rows]) for rows in table.slices])
    readout = Readout.model_validate(
        draft.model_dump()
        | {
            "slices": _points(draft.reported, slices, labels, sensitivity, notes, "slice"),
            "exams": _points(draft.reported, exams, table.labels, sensitivity, notes, "exam"),
            "calibrated": True,
            "high_sensitivity": sensitivity,
        }
    )
    readout = _as_called(readout, exams, table.labels)
    raw = Readout.uncalibrated(predictions.classes).slice_probabilities(raw_logits)
    notes += _silence(raw[:, -1])
    return FittedReadout(
        readout=readout,
        patients=len(np.unique(predictions.patient)),
        exams=len(table.slices),
        slices=len(predictions),
        positives={c: (int(labels[:, k].sum()), int(table.labels[:, k].sum())) for k, c in enumerate(readout.reported)},
        report=_report(readout.reported, (raw, slices, labels), (exams, table.labels), choice, notes)
        | {"smoothings": smoothings},
    )


def _see_that_it_can_be_fitted(predictions: Predictions, bound: Bound) -> None:
    if not len(predictions):
        raise InputError("there are no slices to calibrate on: the validation part is empty")
    if bound is Bound.BETWEEN and not set(SUBTYPES) <= set(predictions.classes):
        raise InputError(
            f"any is at most the sum of all five subtypes, and these predictions name "
            f"{', '.join(predictions.classes)}; take another bound"
        )


def _silence(raw: NDArray[np.float64]) -> list[str]:
    """A note where no slice's (n,) raw P(any) reaches _FIRES."""
    largest = raw.max()
    note = (
        f"{NEVER_FIRES}: before calibration no slice reaches {_FIRES} (at most {largest:.2g}), and no subtype is above "
        "it; calibrated probabilities then say little more than how common each class is"
    )
    return [note] if largest < _FIRES else []


def smoothed_by_exam(logits: NDArray[np.float64], predictions: Predictions, smoothing: float) -> NDArray[np.float64]:
    """Readout.smoothed of every exam of a table whose rows are in any order. (n, outputs) → (n, outputs)."""
    readout = Readout.uncalibrated(predictions.classes).model_copy(update={"smoothing": smoothing})
    result = np.empty_like(logits)
    _, exam = np.unique(predictions.exam, return_inverse=True)
    order = np.lexsort((predictions.offset, exam))
    for rows in np.split(order, np.cumsum(np.bincount(exam))[:-1]):
        result[rows] = readout.smoothed(logits[rows], predictions.offset[rows])
    return result


def _choose_smoothing(
    logits: NDArray[np.float64], predictions: Predictions
) -> tuple[float, list[dict[str, float | None]]]:
    """The candidate with the lowest mean log-loss of slices behind fitted scalings, and what each gave."""
    tried: list[dict[str, float | None]] = []
    for smoothing in SMOOTHINGS:
        mixed = smoothed_by_exam(logits, predictions, smoothing)
        losses: list[float] = []
        for k in range(len(predictions.classes)):
            line = fit_scaling(mixed[:, k], predictions.labels[:, k])
            if line is not None:
                said = sigmoid(line.slope * mixed[:, k] + line.intercept)
                losses.append(measure_calibration(said, predictions.labels[:, k]).log_loss)
        tried.append({"smoothing": smoothing, "log_loss": float(np.mean(losses)) if losses else None})
    best = min(tried, key=lambda row: np.inf if row["log_loss"] is None else round(row["log_loss"], 6))
    return float(best["smoothing"] or 0.0), tried


def _scalings(logits: NDArray[np.float64], predictions: Predictions, notes: list[str]) -> dict[Subtype, Scaling]:
    """In log-odds, of each output."""
    scalings: dict[Subtype, Scaling] = {}
    for k, c in enumerate(predictions.classes):
        fitted = fit_scaling(logits[:, k], predictions.labels[:, k])
        if fitted is None:
            notes.append(f"{c.value}: {NO_TEMPERATURE}, as not both slices with and without it are there")
        scalings[c] = fitted or Scaling()
    return scalings


def reported_labels(predictions: Predictions) -> NDArray[np.bool_]:
    """(n, reported): `any` as it is labelled where it is a class, else the union of the subtypes."""
    subtypes = [predictions.classes.index(c) for c in CLASSES if c in predictions.classes and c is not Subtype.ANY]
    some = predictions.labels.any(axis=1)
    return np.column_stack([predictions.labels[:, subtypes], some])


def _with_any_rule(
    classes: tuple[Subtype, ...],
    scalings: dict[Subtype, Scaling],
    logits: NDArray[np.float64],
    positive: NDArray[np.bool_],
    bound: Bound,
) -> Readout:
    """With the network's own `any` where it has one, else by the rule with the lower log-loss over slices."""
    lines = {
        "temperatures": {c: 1 / line.slope for c, line in scalings.items()},
        "shifts": {c: line.intercept for c, line in scalings.items()},
        "bound": bound,
    }
    draft = Readout.uncalibrated(classes).model_copy(update=lines)
    if draft.any_rule is AnyRule.EXPLICIT:
        return draft
    drafts = [draft.model_copy(update={"any_rule": rule}) for rule in (AnyRule.NOISY_OR, AnyRule.MAX)]
    losses = [measure_calibration(d.slice_probabilities(logits)[:, -1], positive).log_loss for d in drafts]
    return drafts[int(np.argmin(losses))]


def _points(
    classes: Sequence[Subtype],
    probabilities: NDArray[np.float64],
    labels: NDArray[np.bool_],
    sensitivity: float,
    notes: list[str],
    of: str,
) -> dict[Subtype, Thresholds]:
    points: dict[Subtype, Thresholds] = {}
    for k, c in enumerate(classes):
        chosen = operating_points(probabilities[:, k], labels[:, k], sensitivity)
        if chosen is None:
            notes.append(f"{c.value}: {of} {AT_HALF}, as not both {of}s with and without it are there")
            half = OperatingPoint(threshold=0.5)
            chosen = Thresholds(high_sensitivity=half, balanced=half)
        points[c] = chosen
    return points


def _as_called(readout: Readout, exams: NDArray[np.float64], labels: NDArray[np.bool_]) -> Readout:
    """With what each point of exams gives as exams are called: a subtype only where any hemorrhage is."""
    calls = readout.exam_calls(exams)
    points: dict[Subtype, Thresholds] = {}
    for k, c in enumerate(readout.reported):
        point = {name: getattr(readout.exams[c], name) for name in POINTS}
        chosen = {name: each for name, each in point.items() if each.positives}
        given = {name: measured(each, calls[name][:, k], labels[:, k]) for name, each in chosen.items()}
        points[c] = Thresholds(**(point | given))
    return readout.model_copy(update={"exams": points})


def _report(
    classes: Sequence[Subtype],
    slices: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]],
    exams: tuple[NDArray[np.float64], NDArray[np.bool_]],
    choice: AggregatorChoice,
    notes: list[str],
) -> dict[str, Any]:
    raw, after, labels = slices
    return {
        "slices": {
            c.value: {
                "before": measure_calibration(raw[:, k], labels[:, k]).to_json(),
                "after": measure_calibration(after[:, k], labels[:, k]).to_json(),
                "reliability": reliability_table(after[:, k], labels[:, k]),
            }
            for k, c in enumerate(classes)
        },
        "exams": {
            c.value: {
                "after": measure_calibration(exams[0][:, k], exams[1][:, k]).to_json(),
                "reliability": reliability_table(exams[0][:, k], exams[1][:, k]),
            }
            for k, c in enumerate(classes)
        },
        "aggregators": choice.tried,
        "notes": notes,
        "fitted_and_measured_on": "the same patients: these numbers flatter; the scorecard's do not",
    }
