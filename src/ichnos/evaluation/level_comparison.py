"""Two models on the same slices, at slice, exam and patient level: differences of AUC, and how sure they are."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from ichnos.evaluation.calls import AS_FOUND, Prevalence
from ichnos.evaluation.comparison import Difference, compare
from ichnos.evaluation.delong import DeLong, delong
from ichnos.evaluation.folds import only_describes
from ichnos.evaluation.intervals import Estimate, evaluate
from ichnos.evaluation.levels import Level
from ichnos.evaluation.multiplicity import holm
from ichnos.evaluation.paired import Paired, PairedMeasures, paired_exact_match, paired_kaggle_loss, paired_measures
from ichnos.evaluation.paired_cases import Cases, LevelCalls, aligned, cases_of_levels, scored_cases
from ichnos.evaluation.resampling import RESAMPLES, PatientResamples
from ichnos.predictions import Predictions
from ichnos.progress import SILENT, Progress
from ichnos.subtypes import Subtype

SLICES_HANG_TOGETHER = (
    "slices of an exam hang together, so DeLong's test, which takes cases for independent, is not of them"
)
EXAMS_RECUR = (
    "some patients have several exams here, which DeLong's test would take for independent, so it is made of patients "
    "alone"
)

_THE_SAME = "the same probabilities by both models, as of a cascade and its gate"


@dataclass(frozen=True)
class Row:
    """One class at one level: second model less first."""

    level: Level
    subtype: Subtype
    n: int
    patients: int
    positives: int
    positive_patients: int
    negative_patients: int
    first: float | None
    second: float | None
    bootstrap: Difference
    """By the bootstrap over patients: at every level."""
    delong: DeLong | None
    """At patient level, and of exams where every patient has one: it takes cases for independent."""
    bootstrap_holm: float | None = None
    delong_holm: float | None = None
    """Corrected over all classes and levels for which the same kind of test was made."""
    measures: PairedMeasures | None = None
    """Beside AUC, where calls were asked for."""
    identical: bool = False
    """Both gave every case the same probability of the class: the difference is 0, and there is nothing to test."""

    @property
    def descriptive_only(self) -> bool:
        """Too few patients have the class, or lack it, for any p to mean something."""
        return only_describes(self.positive_patients, self.negative_patients)

    @property
    def bootstrap_tested(self) -> float | None:
        """The bootstrap's p; None where there is none, both are the same, or too few patients have the class or lack
        it."""
        return None if self.identical or self.descriptive_only else self.bootstrap.bootstrap_p

    @property
    def delong_tested(self) -> float | None:
        """The same of DeLong's test."""
        return None if self.identical or self.descriptive_only or self.delong is None else self.delong.p

    def to_json(self) -> dict[str, Any]:
        """All of it, None where something is not defined or not tested; measures where they were asked for."""
        measures = {} if self.measures is None else {"measures": self.measures.to_json()}
        return {
            "level": self.level.value,
            "class": self.subtype.value,
            "n": self.n,
            "patients": self.patients,
            "positives": self.positives,
            "positive_patients": self.positive_patients,
            "negative_patients": self.negative_patients,
            "descriptive_only": self.descriptive_only,
            "identical": self.identical,
            "auc_first": self.first,
            "auc_second": self.second,
            "difference": self.bootstrap.to_json()
            | {
                "bootstrap_p": self.bootstrap_tested,
                "holm_p": self.bootstrap_holm,
                "untested": _THE_SAME if self.identical else self.bootstrap.untested,
            },
            "delong": None
            if self.delong is None
            else self.delong.to_json() | {"p": self.delong_tested, "holm_p": self.delong_holm},
            **measures,
        }


def compare_levels(
    first: Predictions,
    second: Predictions,
    *,
    exams: tuple[Predictions, Predictions] | None = None,
    called: LevelCalls | None = None,
    prevalence: Prevalence = AS_FOUND,
    seed: int,
    resamples: int = RESAMPLES,
    progress: Progress = SILENT,
) -> list[Row]:
    """Second less first for every class that both have, at every level that rows and labels allow.

    Slices are compared where both the rows and the labels are of slices. exams: what each model said of whole exams;
    where there is none, the score of an exam is that of its largest slice. A patient's is the largest of their exams'.
    Rows of any table may be in any order. The patient level is left out where every patient has one exam, as it is the
    exam level then. A class that fewer than FEWEST_PATIENTS have or lack is described, not tested.
    called: what both call of the slices and of the exams (without `exams`, of the slices' table by exam); with it each
    row has its measures beside AUC, of which none is tested; prevalence: where predictive values are among them too.
    Raises InputError where the tables are not of the same slices or exams with the same labels, or share no class,
    UsageError where a prevalence is not inside (0, 1).
    """
    levels = scored_cases(first, second, exams, called)
    rows: list[Row] = []
    with progress.task("Comparing, by resamples of patients", sum(len(cases.patient) for cases in levels)) as task:
        for cases in levels:
            task.note(f"{cases.level.value}s")
            rows += _rows(cases, prevalence, seed, resamples, partial(task.advance, len(cases.patient) / 4))
    bootstrap = holm([row.bootstrap_tested for row in rows])
    exact = holm([row.delong_tested for row in rows])
    return [
        replace(row, bootstrap_holm=one, delong_holm=other)
        for row, one, other in zip(rows, bootstrap, exact, strict=True)
    ]


def compare_kaggle_loss(
    first: Predictions, second: Predictions, *, seed: int, resamples: int = RESAMPLES
) -> Paired | None:
    """Second less first of Kaggle's weighted log loss of slices; None where there are none whose labels are known.

    Raises InputError as `compare_levels` does.
    """
    one, two = aligned(first, second)
    if (one.rows_of, one.labels_of) != ("slice", "slice"):
        return None
    drawn = PatientResamples.draw(one.patient, seed, resamples)
    return paired_kaggle_loss(one.probabilities, two.probabilities, one.labels, one.classes, drawn)


def compare_exact_match(
    first: Predictions,
    second: Predictions,
    *,
    exams: tuple[Predictions, Predictions] | None = None,
    called: LevelCalls,
    seed: int,
    resamples: int = RESAMPLES,
) -> dict[Level, dict[str, Paired]]:
    """At every level and each operating point second less first of the share of cases where every class that both have
    is called as it is labelled.

    Arguments are those of `compare_levels`. Raises InputError as it does.
    """
    return {
        cases.level: paired_exact_match(
            cases.called, cases.labels, PatientResamples.draw(cases.patient, seed, resamples)
        )
        for cases in scored_cases(first, second, exams, called)
        if cases.called is not None
    }


def auc_of_levels(table: Predictions, *, seed: int, resamples: int = RESAMPLES) -> dict[Level, dict[Subtype, Estimate]]:
    """Of one model what `compare_levels` compares: the AUC of every class at every level, with its interval."""
    found: dict[Level, dict[Subtype, Estimate]] = {}
    for cases in cases_of_levels((table, table), (table, table)):
        drawn = PatientResamples.draw(cases.patient, seed, resamples)
        measured = evaluate(cases.first, cases.labels, table.classes, drawn)
        found[cases.level] = {c: measured["auc", c] for c in table.classes}
    return found


def _rows(
    cases: Cases, prevalence: Prevalence, seed: int, resamples: int, advance: Callable[[], None]
) -> Iterator[Row]:
    """advance: called four times."""
    drawn = PatientResamples.draw(cases.patient, seed, resamples)
    comparison = compare(cases.first, cases.second, cases.labels, cases.classes, drawn, advance=advance)
    scores = cases.first, cases.second
    independent = cases.level is not Level.SLICE and drawn.patients == len(cases.patient)
    measures: dict[Subtype, PairedMeasures] = {}
    if cases.called is not None:
        measures = paired_measures(scores, cases.called, cases.labels, cases.classes, drawn, comparison, prevalence)
    advance()
    advance()
    for k, c in enumerate(cases.classes):
        positive = cases.labels[:, k]
        yield Row(
            cases.level,
            c,
            len(positive),
            drawn.patients,
            int(positive.sum()),
            len(np.unique(cases.patient[positive])),
            len(np.unique(cases.patient[~positive])),
            comparison.first["auc", c].value,
            comparison.second["auc", c].value,
            comparison["auc", c],
            delong(cases.first[:, k], cases.second[:, k], positive) if independent else None,
            measures=measures.get(c),
            identical=bool((cases.first[:, k] == cases.second[:, k]).all()),
        )
