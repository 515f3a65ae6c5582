"""What `ichnos evaluate` measures of a run and of a bundle alike: every level, and what stands beside it."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ichnos.counting import exactly
from ichnos.data.set import PreparedSet
from ichnos.errors import OutputError, UsageError
from ichnos.evaluation.calls import GivenThresholds, Prevalence, check_prevalence, check_thresholds
from ichnos.evaluation.level_measures import Measuring, measure_level
from ichnos.evaluation.levels import Judged, Level
from ichnos.evaluation.probabilities import KAGGLE_CLIP
from ichnos.evaluation.readout import AS_USUAL, Fitting
from ichnos.evaluation.resampling import RESAMPLES
from ichnos.files import replacing
from ichnos.predictions import Predictions
from ichnos.progress import SILENT, Progress
from ichnos.readout import POINTS, Readout
from ichnos.subtypes import Subtype
from ichnos.workflows.subgrouping import Subgrouping

BOOTSTRAP_SEED = 0
"""One seed for every interval, so that they can be made again and compared."""

SCORECARD, PREDICTIONS, EXAMS = "scorecard.json", "predictions.parquet", "exams.parquet"
"""What an evaluation writes beside its report."""

SLICES = "slices.parquet"
"""Slices as a readout smoothed and calibrated them, where PREDICTIONS, or a study's table of folds, has them as the
network gave them; beside it EXAMS, what it made of exams."""

Tree = dict[str, Any]
ClassMapping = Mapping[Subtype, tuple[Subtype, ...]]
"""For a class of the model those of the set that it stands for."""


@dataclass(frozen=True)
class EvaluationOptions:
    """What can be chosen about an evaluation."""

    prevalence: Prevalence = field(default_factory=dict[Subtype, float])
    """Where predictive values are wanted besides the set's own."""
    mapping: ClassMapping = field(default_factory=dict[Subtype, tuple[Subtype, ...]])
    """For a class of the model the set's classes, any of which it is measured against; itself where it is not named."""
    subgroups: Subgrouping = field(default_factory=Subgrouping)
    resamples: int = RESAMPLES
    fitting: Fitting = AS_USUAL
    """Of a run's readout; a bundle has its own."""
    thresholds: GivenThresholds = field(default_factory=dict[Subtype, float])
    """Where calls are measured besides both operating points."""

    def __post_init__(self) -> None:
        check_prevalence(self.prevalence)
        check_thresholds(self.thresholds)

    def command(self, model: Path, data: Path, out: Path, fold: int | None = None) -> str:
        """What to type to measure the same again."""
        words = ["ichnos", "evaluate", str(model), "--data", str(data), "--out", str(out)]
        words += ["--fold", str(fold)] if fold is not None else []
        words += prevalence_words(self.prevalence)
        words += [w for c, at in self.thresholds.items() for w in ("--threshold", f"{c.value}={exactly(at)}")]
        words += [
            word
            for c, theirs in self.mapping.items()
            for word in ("--map", f"{c.value}={'+'.join(each.value for each in theirs)}")
        ]
        words += self.subgroups.words
        words += ["--resamples", str(self.resamples)] if self.resamples != RESAMPLES else []
        words += self.fitting.words
        return shlex.join(words)


def prevalence_words(prevalence: Prevalence) -> list[str]:
    """As they are given to a command."""
    return [word for c, share in prevalence.items() for word in ("--prevalence", f"{c.value}={exactly(share)}")]


COMPARISON = "comparison.json"
"""What `ichnos compare` writes, beside reports of the names that every command gives its own."""


def see_that_no_report_is_there(out: Path) -> None:
    """Raise OutputError where `out` holds what measured or compared something already."""
    for name, what in ((SCORECARD, "scorecard"), (COMPARISON, "comparison")):
        if (out / name).exists():
            raise OutputError(f"{out} holds a {what} already; give --out another folder")


def see_that_it_goes_on(out: Path, form: str) -> None:
    """Raise OutputError where a study cannot go on in `out`: a file, or a folder with a scorecard of another form."""
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file; give --out a folder")
    if not (out / SCORECARD).exists():
        see_that_no_report_is_there(out)
        return
    try:
        found = json.loads((out / SCORECARD).read_bytes()).get("form")
    except (OSError, ValueError, AttributeError):
        found = None
    if found != form:
        raise OutputError(f"{out} holds the scorecard of another command; give --out another folder")


def labels_for(
    prepared: PreparedSet, classes: Sequence[Subtype], mapping: ClassMapping
) -> tuple[NDArray[np.bool_], tuple[Subtype, ...]]:
    """(slices, classes) what the set says of each class, and those of which it says something.

    Raises UsageError where the mapping names a class that the model has not.
    """
    if unknown := [c.value for c in mapping if c not in classes]:
        raise UsageError(f"the model names no {', '.join(unknown)}; it names {', '.join(classes)}")
    wanted = {c: mapping.get(c, (c,)) for c in classes}
    labels = np.column_stack([prepared.labels_of(theirs).any(axis=1) for theirs in wanted.values()])
    return labels, tuple(c for c, theirs in wanted.items() if set(theirs) <= set(prepared.header.labelled))


def see_that_options_are_of(measured: Sequence[Subtype], options: EvaluationOptions) -> None:
    """Before any network runs. Raises UsageError where a prevalence or a threshold is of a class that is not measured,
    or none is."""
    if not measured:
        raise UsageError("this set labels none of the classes that the model names, so there is nothing to measure")
    for option, given in (("prevalence", options.prevalence), ("threshold", options.thresholds)):
        if strangers := [c.value for c in given if c not in measured]:
            raise UsageError(
                f"--{option} is given for {', '.join(strangers)}, which is not measured here: the model does not name "
                f"it, or the set does not label it; measured are {', '.join(measured)}"
            )


def levels_of(prepared: PreparedSet) -> tuple[Level, ...]:
    """Those at which a set's labels can judge."""
    return tuple(Level) if prepared.header.labels_of == "slice" else (Level.EXAM, Level.PATIENT)


def measure_levels(
    judged: Mapping[Level, Judged],
    levels: Sequence[Level],
    readout: Readout,
    asked: Measuring,
    progress: Progress = SILENT,
) -> dict[str, Tree]:
    """Every measure of each level, by its name."""
    return {
        level.value: measure_level(level, judged[level], thresholds_of(readout, level), asked, progress)
        for level in levels
    }


def thresholds_of(readout: Readout, level: Level) -> dict[str, dict[Subtype, float]]:
    """Of each operating point for each class; a patient is called where an exam is."""
    points = readout.slices if level is Level.SLICE else readout.exams
    return {name: {c: getattr(points[c], name).threshold for c in readout.reported} for name in POINTS}


def write_tables(out: Path, slices: Predictions, exams: Judged, classes: tuple[Subtype, ...]) -> None:
    """predictions.parquet, a row a slice as they are given, and exams.parquet, a row an exam as it was judged."""
    for name, table in ((PREDICTIONS, slices), (EXAMS, table_of_exams(exams, classes, slices))):
        with replacing(out / name) as temporary:
            table.write_parquet(temporary)


def table_of_exams(exams: Judged, classes: tuple[Subtype, ...], slices: Predictions) -> Predictions:
    """A row an exam as it was judged; of the part and labels of its slices."""
    return Predictions(
        classes,
        exams.patient,
        exams.name,
        np.full(len(exams), ""),
        np.zeros(len(exams)),
        exams.probabilities,
        exams.labels,
        slices.part,
        slices.labels_of,
        "exam",
    )


def about_the_set(prepared: PreparedSet, labelled: Sequence[Subtype], options: EvaluationOptions) -> Tree:
    """What a scorecard says of the set, its labels and how intervals were made."""
    header = prepared.header
    return {
        "set": header.fingerprint,
        "source": header.source,
        "labels_of": header.labels_of,
        "labelled": [c.value for c in labelled],
        "mapping": {c.value: [each.value for each in theirs] for c, theirs in options.mapping.items()},
        "counts": {"patients": header.patients, "exams": header.exams, "slices": header.slices},
        "left_out_of_the_set": header.skipped,
        "prevalence": {c.value: share for c, share in options.prevalence.items()},
        "bootstrap_seed": BOOTSTRAP_SEED,
        "resamples": options.resamples,
        "kaggle_clip": KAGGLE_CLIP,
    }


FEWEST_TO_DESCRIBE = 3
"""Below it a median and a range are no aggregates: they are somebody's age."""


def demographics_of(prepared: PreparedSet, rows: NDArray[np.int64]) -> Tree:
    """Who was measured, as far as the set's index tells: {"patients", "age", "sex", "slice_thickness"}.

    rows: of the index. age (years, of patients), slice_thickness (mm, of series): {"known", "median", "low", "high"};
    sex: how many patients of each. A column that the index has not, or of fewer than three, is left out.
    """
    measured = prepared.index[rows]
    patients = measured.unique("patient", keep="first", maintain_order=True)
    tree: Tree = {"patients": len(patients)}
    for column, each in (
        ("age", patients),
        ("slice_thickness", measured.unique(["exam", "series"], keep="first", maintain_order=True)),
    ):
        if column in each.columns and (spread := _spread(each[column])):
            tree[column] = spread
    if "sex" in patients.columns:
        known = patients["sex"].cast(pl.String).drop_nulls()
        if len(known) >= FEWEST_TO_DESCRIBE:
            tree["sex"] = {sex: int((known == sex).sum()) for sex in sorted(known.unique().to_list())}
    return tree


def _spread(column: pl.Series) -> Tree | None:
    known = column.cast(pl.Float64, strict=False).drop_nulls().drop_nans()
    if len(known) < FEWEST_TO_DESCRIBE:
        return None
    low, median, high = (float(np.quantile(known.to_numpy(), share)) for share in (0, 0.5, 1))
    return {"known": len(known), "median": median, "low": low, "high": high}
