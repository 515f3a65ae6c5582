"""From two models' predictions of the same slices or exams to what tells them apart, and how surely."""

import hashlib
from pathlib import Path
from typing import Any

from ichnos.errors import InputError, OutputError, UsageError
from ichnos.evaluation.level_comparison import EXAMS_RECUR, SLICES_HANG_TOGETHER, compare_levels, exams_recur
from ichnos.evaluation.levels import Level
from ichnos.evaluation.resampling import RESAMPLES
from ichnos.files import write_json, write_text
from ichnos.predictions import OUT_OF_FOLD, OUT_OF_FOLD_CALIBRATED, Predictions
from ichnos.progress import Progress
from ichnos.reporting.comparison import comparison_report
from ichnos.workflows.fold_measures import OUT_OF_FOLD_TABLE, SLICES
from ichnos.workflows.measured import EXAMS, PREDICTIONS

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

_Pair = tuple[Predictions, Predictions]


def compare_predictions(
    first: Path, second: Path, out: Path, progress: Progress, *, resamples: int = RESAMPLES
) -> dict[str, Any]:
    """Compare two tables of predictions (predictions.parquet, out_of_fold.parquet or exams.parquet, or the folders
    that hold them); write comparison.json, report.md.

    Differences are the second less the first. Exams are scored as both evaluations or studies wrote them into
    exams.parquet beside their table, slices of folds as they were calibrated into slices.parquet; where either has
    none, exams are scored by their largest slice and slices as they were given. Raises InputError where the tables are
    absent, damaged or not of the same slices, UsageError where both are one file, OutputError where `out` holds a
    comparison already.
    """
    if (out / "comparison.json").exists():
        raise OutputError(f"{out} holds a comparison already; give --out another folder")
    first, second = _table_in(first), _table_in(second)
    if first.exists() and second.exists() and first.samefile(second):
        raise UsageError(f"{first} and {second} are one file; give the predictions of two models")
    paths = _as_judged(first, second)
    tables = (Predictions.read_parquet(paths[0]), Predictions.read_parquet(paths[1]))
    exams = _exams_beside(paths, tables)
    with progress.task("Comparing", 1) as task:
        rows = compare_levels(*tables, exams=exams, seed=SEED, resamples=resamples)
        task.advance()
    tree: dict[str, Any] = {
        "form": "ichnos-comparison",
        "notice": "Research use only. Not a medical device.",
        **{
            name: _told(path) | {"part": table.part} | ({"exams": _told(_beside(path))} if exams else {})
            for name, path, table in zip(("first", "second"), paths, tables, strict=True)
        },
        "rows_of": tables[0].rows_of,
        "labels_of": tables[0].labels_of,
        "bootstrap": {"seed": SEED, "resamples": resamples, "unit": "patient"},
        "exam_score": _exam_score(tables, exams),
        "correction": "Holm's correction over all classes and levels that were tested in the same way",
        "notes": _notes(tables, exams, {row.level for row in rows}),
        "rows": [row.to_json() for row in rows],
    }
    write_json(out / "comparison.json", tree)
    write_text(out / "report.md", comparison_report(tree))
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
    """Of folds the calibrated slices beside what the networks gave, where both sides have all that was judged."""
    judged: list[Path] = []
    for path in (first, second):
        found = path.parent / SLICES if path.name == OUT_OF_FOLD_TABLE else path
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


def _notes(tables: _Pair, exams: _Pair | None, levels: set[Level]) -> list[str]:
    """What a reader of the numbers must know."""
    notes = [SLICES_HANG_TOGETHER] if Level.SLICE in levels else []
    notes += [EXAMS_RECUR] if exams_recur(tables[0]) else []
    if tables[0].rows_of == "exam":
        notes.append(ROWS_ARE_EXAMS)
    else:
        notes += [LABELS_ARE_OF_EXAMS] if tables[0].labels_of == "exam" else []
        notes += [] if exams else [LARGEST_SLICE]
    parts = {table.part for table in tables}
    if not parts & {OUT_OF_FOLD, OUT_OF_FOLD_CALIBRATED}:
        return notes
    given = OUT_OF_FOLD in parts and tables[0].rows_of == "slice"
    return [*notes, FOLDS_ARE_POOLED if given else FOLDS_ARE_CALIBRATED, FOLDS_ARE_NO_ONE_MODEL]
