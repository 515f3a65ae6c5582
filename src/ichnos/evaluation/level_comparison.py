"""Two models on the same slices, at slice, exam and patient level: differences of AUC, and how sure they are."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichnos.errors import InputError
from ichnos.evaluation.aggregation import ExamTable
from ichnos.evaluation.comparison import Difference, compare
from ichnos.evaluation.delong import DeLong, delong
from ichnos.evaluation.folds import FEWEST_PATIENTS
from ichnos.evaluation.intervals import Estimate, evaluate
from ichnos.evaluation.levels import Level
from ichnos.evaluation.multiplicity import holm
from ichnos.evaluation.resampling import RESAMPLES, PatientResamples
from ichnos.predictions import Predictions
from ichnos.subtypes import CLASSES, Subtype

SLICES_HANG_TOGETHER = (
    "slices of an exam hang together, so DeLong's test, which takes cases for independent, is not of them"
)
EXAMS_RECUR = "some patients have several exams here, which DeLong's test takes for independent: read the patient level"


@dataclass(frozen=True)
class Row:
    """One class at one level: second model less first."""

    level: Level
    subtype: Subtype
    n: int
    patients: int
    positives: int
    positive_patients: int
    first: float | None
    second: float | None
    bootstrap: Difference
    """By the bootstrap over patients: at every level."""
    delong: DeLong | None
    """At exam and patient level."""
    bootstrap_holm: float | None = None
    delong_holm: float | None = None
    """Corrected over all classes and levels for which the same kind of test was made."""

    @property
    def descriptive_only(self) -> bool:
        """Too few patients have the class for any p to mean something."""
        return self.positive_patients < FEWEST_PATIENTS

    @property
    def bootstrap_tested(self) -> float | None:
        """The bootstrap's p; None where there is none, or too few patients have the class."""
        return None if self.descriptive_only else self.bootstrap.bootstrap_p

    @property
    def delong_tested(self) -> float | None:
        """The same of DeLong's test."""
        return None if self.descriptive_only or self.delong is None else self.delong.p

    def to_json(self) -> dict[str, Any]:
        """All of it, None where something is not defined or not tested."""
        return {
            "level": self.level.value,
            "class": self.subtype.value,
            "n": self.n,
            "patients": self.patients,
            "positives": self.positives,
            "positive_patients": self.positive_patients,
            "descriptive_only": self.descriptive_only,
            "auc_first": self.first,
            "auc_second": self.second,
            "difference": self.bootstrap.to_json()
            | {
                "bootstrap_p": self.bootstrap_tested,
                "holm_p": self.bootstrap_holm,
                "untested": self.bootstrap.untested,
            },
            "delong": None
            if self.delong is None
            else self.delong.to_json() | {"p": self.delong_tested, "holm_p": self.delong_holm},
        }


@dataclass(frozen=True, eq=False)
class _Cases:
    """Slices, exams or patients as both models scored them."""

    level: Level
    classes: tuple[Subtype, ...]
    patient: NDArray[np.str_]
    first: NDArray[np.float64]
    second: NDArray[np.float64]
    labels: NDArray[np.bool_]


def compare_levels(
    first: Predictions,
    second: Predictions,
    *,
    exams: tuple[Predictions, Predictions] | None = None,
    seed: int,
    resamples: int = RESAMPLES,
) -> list[Row]:
    """Second less first for every class that both have, at every level that rows and labels allow.

    Slices are compared where both the rows and the labels are of slices. exams: what each model said of whole exams;
    where there is none, the score of an exam is that of its largest slice. A patient's is the largest of their exams'.
    Rows of any table may be in any order. The patient level is left out where every patient has one exam, as it is the
    exam level then. A class that fewer than FEWEST_PATIENTS have is described, not tested.
    Raises InputError where the tables are not of the same slices or exams with the same labels, or share no class.
    """
    tables = aligned(first, second)
    levels = _levels(tables, aligned(*exams) if exams else tables)
    rows = [row for cases in levels for row in _rows(cases, seed, resamples)]
    bootstrap = holm([row.bootstrap_tested for row in rows])
    exact = holm([row.delong_tested for row in rows])
    return [
        replace(row, bootstrap_holm=one, delong_holm=other)
        for row, one, other in zip(rows, bootstrap, exact, strict=True)
    ]


def auc_of_levels(table: Predictions, *, seed: int, resamples: int = RESAMPLES) -> dict[Level, dict[Subtype, Estimate]]:
    """Of one model what `compare_levels` compares: the AUC of every class at every level, with its interval."""
    found: dict[Level, dict[Subtype, Estimate]] = {}
    for cases in _levels((table, table), (table, table)):
        drawn = PatientResamples.draw(cases.patient, seed, resamples)
        measured = evaluate(cases.first, cases.labels, table.classes, drawn)
        found[cases.level] = {c: measured["auc", c] for c in table.classes}
    return found


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


def _levels(slices: tuple[Predictions, Predictions], exams: tuple[Predictions, Predictions]) -> Iterator[_Cases]:
    """exams: by whose rows exams and patients are scored; the slices where nothing else was said of exams."""
    first, second = slices
    if (first.rows_of, first.labels_of) == ("slice", "slice"):
        scores = first.probabilities, second.probabilities
        yield _Cases(Level.SLICE, first.classes, first.patient, *scores, first.labels)
    yield _grouped(Level.EXAM, *exams, exams[0].exam)
    if exams_recur(exams[0]):
        yield _grouped(Level.PATIENT, *exams, exams[0].patient)


def _grouped(level: Level, first: Predictions, second: Predictions, unit: NDArray[np.str_]) -> _Cases:
    table = ExamTable.of(unit, first.labels)
    one, two = (np.stack([p.probabilities[rows].max(axis=0) for rows in table.slices]) for p in (first, second))
    return _Cases(level, first.classes, first.patient[[rows[0] for rows in table.slices]], one, two, table.labels)


def _rows(cases: _Cases, seed: int, resamples: int) -> Iterator[Row]:
    drawn = PatientResamples.draw(cases.patient, seed, resamples)
    comparison = compare(cases.first, cases.second, cases.labels, cases.classes, drawn)
    for k, c in enumerate(cases.classes):
        positive = cases.labels[:, k]
        yield Row(
            cases.level,
            c,
            len(positive),
            drawn.patients,
            int(positive.sum()),
            len(np.unique(cases.patient[positive])),
            comparison.first["auc", c].value,
            comparison.second["auc", c].value,
            comparison["auc", c],
            None if cases.level is Level.SLICE else delong(cases.first[:, k], cases.second[:, k], positive),
        )
