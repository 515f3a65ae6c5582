"""From two models' predictions of the same slices or exams to what tells them apart, and how surely."""

import hashlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ichnos.errors import InputError, UsageError
from ichnos.evaluation.calls import AS_FOUND, Prevalence, check_prevalence
from ichnos.evaluation.intervals import Estimate
from ichnos.evaluation.level_comparison import (
    EXAMS_RECUR,
    SLICES_HANG_TOGETHER,
    Row,
    compare_exact_match,
    compare_kaggle_loss,
    compare_levels,
)
from ichnos.evaluation.levels import Level
from ichnos.evaluation.paired import Paired
from ichnos.evaluation.paired_cases import LevelCalls, StatedCalls, exams_recur, scored_cases
from ichnos.evaluation.resampling import RESAMPLES
from ichnos.files import write_json
from ichnos.findings import NOTICE
from ichnos.predictions import OUT_OF_FOLD, OUT_OF_FOLD_CALIBRATED, Predictions
from ichnos.progress import Progress
from ichnos.reporting.asked_sensitivity import asked_of
from ichnos.reporting.comparison import ComparisonReport, write_comparison
from ichnos.subtypes import CLASSES, Subtype
from ichnos.workflows.fold_measures import OUT_OF_FOLD_TABLE
from ichnos.workflows.measured import (
    COMPARISON,
    EXAMS,
    PREDICTIONS,
    SLICES,
    prevalence_words,
    see_that_no_report_is_there,
)
from ichnos.workflows.provenance import versions_of
from ichnos.workflows.stated_calls import LARGEST, as_given, scorecard_beside, stated_calls, unmeasured

SEED = 0
"""Of the bootstrap: the same two files give the same numbers."""

FOLDS_ARE_POOLED = (
    "out-of-fold predictions are of several models, one a fold, ranked against each other before calibration: a shift "
    "between folds lowers AUC here that no single model would show; the commands of both studies, given again, write "
    f"{SLICES} and {EXAMS}, by which they are ranked as the studies rank them"
)

FOLDS_ARE_CALIBRATED = (
    "out-of-fold predictions are of several models, one a fold, each calibrated and then ranked against each other: "
    "these differences are those that a study calls pooled, not its means of folds"
)

FOLDS_ARE_NO_ONE_MODEL = (
    "DeLong's test takes all scores for one model's, and these are of several: read it beside the bootstrap"
)

LABELS_ARE_OF_EXAMS = "labels are of whole exams, which do not say which slices bleed: slices are not compared"
ROWS_ARE_EXAMS = "the tables are of whole exams: slices are not compared"
LARGEST_SLICE = (
    "an exam's score here is that of its largest slice, not what either model's readout makes of the exam: "
    f"{EXAMS}, as `ichnos evaluate` writes it, was not beside both tables"
)

RAW = (
    "slices of at least one of the two are as the network gave them, before calibration, and so are their Brier score "
    "and log loss"
)

_Pair = tuple[Predictions, Predictions]


@dataclass(frozen=True, eq=False)
class _Sides:
    """Two tables, what was made of exams where both have it, and the scorecards beside them."""

    paths: tuple[Path, Path]
    tables: _Pair
    exams: _Pair | None
    cards: tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]
    left_out: tuple[Subtype, ...]
    """Classes of both that one of the evaluations did not measure; the tables are without them."""

    def called(self) -> LevelCalls:
        """What each model calls by its own thresholds. Raises InputError where a scorecard is not of its table."""
        given = [stated_calls(*side) for side in zip(self.paths, self.tables, self.cards, strict=True)]
        if self.tables[0].rows_of == "exam":
            exams = given
        elif self.exams is None:
            exams = [StatedCalls(why_not=LARGEST)] * 2
        else:
            beside = map(_beside, self.paths)
            exams = [stated_calls(*side) for side in zip(beside, self.exams, self.cards, strict=True)]
        return {Level.SLICE: (given[0], given[1]), Level.EXAM: (exams[0], exams[1])}

    @property
    def mapping(self) -> dict[str, list[str]]:
        """As either scorecard says: for a class of the models those of the set that it was measured against."""
        return {c: theirs for card in self.cards if card is not None for c, theirs in card.get("mapping", {}).items()}


def compare_predictions(
    first: Path,
    second: Path,
    out: Path,
    progress: Progress,
    *,
    prevalence: Prevalence = AS_FOUND,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Compare two tables of predictions (predictions.parquet, out_of_fold.parquet or exams.parquet, or the folders
    that hold them); write comparison.json, report.md and report.html.

    Differences are the second less the first. Exams are scored as both evaluations or studies wrote them into
    exams.parquet beside their table, slices as they were calibrated into slices.parquet; where either has none, exams
    are scored by their largest slice and slices as they were given. Calls are by the thresholds that the scorecard
    beside each table states; prevalence: where their predictive values are wanted besides the set's own.
    Raises InputError where the tables are absent, damaged or not of the same slices, UsageError where both are one file
    or a prevalence is none or of a class that is not compared, OutputError where `out` holds a report already.
    """
    see_that_no_report_is_there(out)
    sides = _read(_as_judged(*_two_tables(first, second)))
    _see_that_prevalence_is_of(sides.tables, prevalence)
    called = sides.called()
    rows = compare_levels(
        *sides.tables,
        exams=sides.exams,
        called=called,
        prevalence=prevalence,
        seed=SEED,
        resamples=resamples,
        progress=progress,
    )
    words = ["ichnos", "compare", str(first), str(second), "--out", str(out), *prevalence_words(prevalence)]
    tree = _tree(sides, rows, called, resamples)
    tree |= {
        "prevalence": {c.value: share for c, share in prevalence.items()},
        "exact_match": _exact_match(sides, called, resamples),
        "kaggle_loss": _kaggle_loss(sides, resamples),
        "command": shlex.join([*words, "--resamples", str(resamples)]),
        "versions": versions_of("ichnos", "numpy", "scikit-learn"),
    }
    write_json(out / COMPARISON, tree)
    write_comparison(ComparisonReport(tree, scored_cases(*sides.tables, sides.exams)), out, progress)
    return tree


def _two_tables(first: Path, second: Path) -> tuple[Path, Path]:
    """Those that were given, or lie in the folders that were. Raises UsageError where both are one file."""
    first, second = _table_in(first), _table_in(second)
    if first.exists() and second.exists() and first.samefile(second):
        raise UsageError(f"{first} and {second} are one file; give the predictions of two models")
    return first, second


def _see_that_prevalence_is_of(tables: _Pair, prevalence: Prevalence) -> None:
    """Raises UsageError where one is none, or of a class that is not compared."""
    check_prevalence(prevalence)
    compared = [c for c in tables[0].classes if c in tables[1].classes]
    if strangers := [c.value for c in prevalence if c not in compared]:
        raise UsageError(
            f"--prevalence is given for {', '.join(strangers)}, which is not compared here: a model does not name it, "
            f"or its set does not label it; compared are {', '.join(compared) or 'none'}"
        )


def _read(paths: tuple[Path, Path]) -> _Sides:
    """Without the classes that one of the two did not measure."""
    tables = (Predictions.read_parquet(paths[0]), Predictions.read_parquet(paths[1]))
    exams = _exams_beside(paths, tables)
    cards = (scorecard_beside(paths[0]), scorecard_beside(paths[1]))
    out = unmeasured(cards[0]) | unmeasured(cards[1])
    pairs = [tables] if exams is None else [tables, exams]
    shared = {c for first, second in pairs for c in first.classes if c in second.classes}
    left_out = tuple(c for c in CLASSES if c in out & shared)
    if exams is not None:
        exams = _without(left_out, *exams)
    return _Sides(paths, _without(left_out, *tables), exams, cards, left_out)


def _without(classes: Sequence[Subtype], first: Predictions, second: Predictions) -> _Pair:
    one, two = (
        table.restrict(tuple(c for c in table.classes if c not in classes)) if classes else table
        for table in (first, second)
    )
    return one, two


def _kaggle_loss(sides: _Sides, resamples: int) -> dict[str, Any] | None:
    """Of slices; None where there are none to compare."""
    found = compare_kaggle_loss(*sides.tables, seed=SEED, resamples=resamples)
    if found is None or not sides.mapping:
        return None if found is None else found.to_json()
    nothing = Estimate(None, None, "not Kaggle's: classes are mapped")
    return Paired(nothing, nothing, nothing).to_json()


def _exact_match(sides: _Sides, called: LevelCalls, resamples: int) -> dict[str, Any]:
    """By level and operating point."""
    found = compare_exact_match(*sides.tables, exams=sides.exams, called=called, seed=SEED, resamples=resamples)
    return {level.value: {point: each.to_json() for point, each in at.items()} for level, at in found.items()}


def _tree(sides: _Sides, rows: Sequence[Row], called: LevelCalls, resamples: int) -> dict[str, Any]:
    tables, exams = sides.tables, sides.exams
    return {
        "form": "ichnos-comparison",
        "notice": NOTICE,
        **{
            name: _told(path) | {"part": table.part} | ({"exams": _told(_beside(path))} if exams else {})
            for name, path, table in zip(("first", "second"), sides.paths, tables, strict=True)
        },
        "rows_of": tables[0].rows_of,
        "labels_of": tables[0].labels_of,
        "bootstrap": {"seed": SEED, "resamples": resamples, "unit": "patient"},
        "exam_score": _exam_score(tables, exams),
        "correction": "Holm's correction over all classes and levels whose AUC was tested in the same way",
        "tested": {
            "bootstrap": sum(row.bootstrap_tested is not None for row in rows),
            "delong": sum(row.delong_tested is not None for row in rows),
        },
        "mapping": sides.mapping,
        "high_sensitivity": dict(zip(("first", "second"), map(asked_of, sides.cards), strict=True)),
        "left_out": [c.value for c in sides.left_out],
        "notes": _notes(sides, {row.level for row in rows}),
        "rows": [_row(row, called) for row in rows],
    }


def _row(row: Row, called: LevelCalls) -> dict[str, Any]:
    """With the thresholds beside what was called by them: a number, one a fold, or None."""
    tree = row.to_json()
    stated = called[Level.SLICE if row.level is Level.SLICE else Level.EXAM]
    for point, rates in tree["measures"]["operating_points"].items():
        each = [side.thresholds.get(point, {}).get(row.subtype) for side in stated]
        rates["thresholds"] = dict(zip(("first", "second"), each, strict=True))
    return tree


def _table_in(path: Path) -> Path:
    """The predictions of slices, or else of exams, where a folder was given. Raises InputError where it has none."""
    if not path.is_dir():
        return path
    names = (OUT_OF_FOLD_TABLE, PREDICTIONS, EXAMS)
    for name in names:
        if (path / name).is_file():
            return path / name
    inner = sorted({table.parent.name for name in names for table in path.glob(f"*/{name}")})
    do = f"give a folder that is in it: {', '.join(inner)}" if inner else "give the folder of an evaluation or study"
    raise InputError(f"no predictions in the folder {path} (none of {', '.join(names)}); {do}")


def _as_judged(first: Path, second: Path) -> tuple[Path, Path]:
    """Of runs and folds the calibrated slices beside what the networks gave, where both sides have all that was
    judged."""
    judged: list[Path] = []
    for path in (first, second):
        calibrated = path.parent / SLICES
        of_a_run = path.name == PREDICTIONS and calibrated.is_file()
        found = calibrated if path.name == OUT_OF_FOLD_TABLE or of_a_run else path
        if not (found.is_file() and _beside(found).is_file()):
            return first, second
        judged.append(found)
    for path, found in zip((first, second), judged, strict=True):
        if found != path:
            _see_that_these_are_one_study(path, found)
    return judged[0], judged[1]


def _see_that_these_are_one_study(given: Path, calibrated: Path) -> None:
    keys = [
        set(zip(table.exam.tolist(), table.slice_name.tolist(), strict=True))
        for table in map(Predictions.read_parquet, (given, calibrated))
    ]
    if keys[0] != keys[1]:
        raise InputError(
            f"{calibrated} is not of the slices of the {given.name} beside it, so they are of two studies; move one of "
            "them away"
        )


def _beside(path: Path) -> Path:
    return path.parent / EXAMS


def _exams_beside(paths: tuple[Path, Path], tables: _Pair) -> _Pair | None:
    """What two evaluations made of whole exams; None where either has not written it, or the tables are that."""
    if any(path.name not in (PREDICTIONS, SLICES) or not _beside(path).is_file() for path in paths):
        return None
    first, second = (Predictions.read_parquet(_beside(path)) for path in paths)
    for path, table, own in zip(paths, tables, (first, second), strict=True):
        if own.rows_of != "exam" or set(own.exam.tolist()) != set(table.exam.tolist()):
            raise InputError(
                f"{_beside(path)} is not of the exams of the {path.name} beside it, so they are of two evaluations; "
                "move one of them away"
            )
    return first, second


def _told(path: Path) -> dict[str, Any]:
    """By which file it was, without the folders of a machine."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"file": f"{path.resolve().parent.name}/{path.name}", "sha256": digest}


def _exam_score(tables: _Pair, exams: _Pair | None) -> str:
    if tables[0].rows_of == "exam":
        return "what the tables say of it"
    if exams:
        return f"what each model's readout made of its slices ({EXAMS} beside each table)"
    return "the largest of its slices, for both models"


def _notes(sides: _Sides, levels: set[Level]) -> list[str]:
    """What a reader of the numbers must know."""
    tables, exams = sides.tables, sides.exams
    notes = [SLICES_HANG_TOGETHER] if Level.SLICE in levels else []
    notes += [EXAMS_RECUR] if exams_recur(tables[0]) else []
    if tables[0].rows_of == "exam":
        notes.append(ROWS_ARE_EXAMS)
    else:
        notes += [LABELS_ARE_OF_EXAMS] if tables[0].labels_of == "exam" else []
        notes += [] if exams else [LARGEST_SLICE]
    if Level.SLICE in levels and any(map(as_given, sides.paths, sides.cards)):
        notes.append(RAW)
    if sides.left_out:
        names = ", ".join(c.display_name.lower() for c in sides.left_out)
        notes.append(f"not compared, as an evaluation did not measure it (no labels, or in every slice): {names}")
    parts = {table.part for table in tables}
    if not parts & {OUT_OF_FOLD, OUT_OF_FOLD_CALIBRATED}:
        return notes
    given = OUT_OF_FOLD in parts and tables[0].rows_of == "slice"
    return [*notes, FOLDS_ARE_POOLED if given else FOLDS_ARE_CALIBRATED, FOLDS_ARE_NO_ONE_MODEL]
