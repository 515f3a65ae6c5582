"""Two models' tables as pairs of cases: rows in one order, then slices, exams and patients as both scored them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ichnos.errors import InputError
from ichnos.evaluation.aggregation import ExamTable
from ichnos.evaluation.levels import Level
from ichnos.evaluation.paired import Called
from ichnos.predictions import Predictions
from ichnos.subtypes import CLASSES, Subtype

Pair = tuple[Predictions, Predictions]


@dataclass(frozen=True, eq=False)
class StatedCalls:
    """What one model calls of the rows of a table, by the thresholds that were stated for it; or why nobody knows.

    points: for each operating point that table with 1 in the place of a probability where a class is called, else 0.
    thresholds: for each point and class the threshold, or one a fold.
    """

    points: Mapping[str, Predictions] = field(default_factory=dict[str, Predictions])
    thresholds: Mapping[str, Mapping[Subtype, float | list[float]]] = field(
        default_factory=dict[str, Mapping[Subtype, float | list[float]]]
    )
    why_not: str | None = None


LevelCalls = Mapping[Level, tuple[StatedCalls, StatedCalls]]
"""Of both models, for slices and for exams; patients are called where an exam is."""


@dataclass(frozen=True, eq=False)
class Cases:
    """Slices, exams or patients as both models scored them."""

    level: Level
    classes: tuple[Subtype, ...]
    patient: NDArray[np.str_]
    first: NDArray[np.float64]
    second: NDArray[np.float64]
    labels: NDArray[np.bool_]
    called: tuple[Called, Called] | None
    """None where nobody asked for calls."""


def scored_cases(
    first: Predictions, second: Predictions, exams: Pair | None, called: LevelCalls | None = None
) -> tuple[Cases, ...]:
    """Every level of two tables, with calls where they are given. Raises InputError where they do not go together."""
    tables = aligned(first, second)
    return tuple(cases_of_levels(tables, aligned(*exams) if exams else tables, called))


def cases_of_levels(slices: Pair, exams: Pair, called: LevelCalls | None = None) -> Iterator[Cases]:
    """slices, exams: aligned. exams: by whose rows exams and patients are scored; the slices where nothing else was
    said of exams."""
    first, second = slices
    if (first.rows_of, first.labels_of) == ("slice", "slice"):
        scores = first.probabilities, second.probabilities
        calls = _calls_of(Level.SLICE, called, first.classes, None)
        yield Cases(Level.SLICE, first.classes, first.patient, *scores, first.labels, calls)
    yield _grouped(Level.EXAM, *exams, exams[0].exam, called)
    if exams_recur(exams[0]):
        yield _grouped(Level.PATIENT, *exams, exams[0].patient, called)


def aligned(first: Predictions, second: Predictions) -> tuple[Predictions, Predictions]:
    """Both with the classes that they share and rows in one order. Raises InputError where they do not go together."""
    if first.rows_of != second.rows_of:
        raise InputError(
            f"the first table is of {first.rows_of}s, the second of {second.rows_of}s; give predictions.parquet of "
            "both evaluations, or exams.parquet of both"
        )
    if first.labels_of != second.labels_of:
        raise InputError(
            f"the labels of the first table are of {first.labels_of}s, those of the second of {second.labels_of}s: "
            "they are of two sets; predict the same part of the same set with both models"
        )
    classes = tuple(c for c in CLASSES if c in first.classes and c in second.classes)
    if not classes:
        raise InputError(
            f"the two share no class: {', '.join(first.classes)} and {', '.join(second.classes)}; nothing to compare"
        )
    one, two = (_settled(table.restrict(classes)) for table in (first, second))
    keys = [set(zip(table.exam.tolist(), table.slice_name.tolist(), strict=True)) for table in (one, two)]
    if not len(one) and not len(two):
        raise InputError("the two tables are empty; nothing to compare")
    if keys[0] != keys[1] or len(keys[0]) != len(one) or len(one) != len(two):
        raise InputError(
            f"a paired comparison needs the same {one.rows_of}s, each once: {len(one)} and {len(two)} rows, "
            f"{len(keys[0] & keys[1])} {one.rows_of}s in both; predict the same part of the same set with both models"
        )
    if (one.patient != two.patient).any() or (one.labels != two.labels).any():
        raise InputError(
            f"the two do not agree whose {one.rows_of}s these are, or how they are labelled: they are of two sets"
        )
    return one, two


def exams_recur(predictions: Predictions) -> bool:
    """Whether some patient has several exams."""
    return len(np.unique(predictions.exam)) > len(np.unique(predictions.patient))


def _settled(table: Predictions) -> Predictions:
    return table.select(np.lexsort((table.slice_name, table.exam)))


def _grouped(
    level: Level, first: Predictions, second: Predictions, unit: NDArray[np.str_], called: LevelCalls | None
) -> Cases:
    table = ExamTable.of(unit, first.labels)
    one, two = (_largest(each.probabilities, table) for each in (first, second))
    patient = first.patient[[rows[0] for rows in table.slices]]
    return Cases(level, first.classes, patient, one, two, table.labels, _calls_of(level, called, first.classes, table))


def _largest(values: NDArray[np.float64], table: ExamTable) -> NDArray[np.float64]:
    return np.stack([values[rows].max(axis=0) for rows in table.slices])


def _calls_of(
    level: Level, called: LevelCalls | None, classes: tuple[Subtype, ...], table: ExamTable | None
) -> tuple[Called, Called] | None:
    """In the order of the aligned tables; an exam or patient of several rows is called where any of them is."""
    if called is None:
        return None
    first, second = called[Level.SLICE if level is Level.SLICE else Level.EXAM]
    return _called(first, classes, table), _called(second, classes, table)


def _called(stated: StatedCalls, classes: tuple[Subtype, ...], table: ExamTable | None) -> Called:
    points: dict[str, NDArray[np.bool_]] = {}
    for point, given in stated.points.items():
        values = _settled(given.restrict(classes)).probabilities
        points[point] = (values if table is None else _largest(values, table)) > 0
    return Called(points, stated.why_not)
