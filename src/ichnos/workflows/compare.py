"""From two models' predictions of the same slices to what tells them apart, and how surely."""

import hashlib
from pathlib import Path
from typing import Any

from ichnos.errors import OutputError, UsageError
from ichnos.evaluation.level_comparison import EXAMS_RECUR, SLICES_HANG_TOGETHER, compare_levels, exams_recur
from ichnos.evaluation.resampling import RESAMPLES
from ichnos.files import write_json, write_text
from ichnos.predictions import OUT_OF_FOLD, Predictions
from ichnos.progress import Progress
from ichnos.reporting.comparison import comparison_report

SEED = 0
"""Of the bootstrap: the same two files give the same numbers."""

FOLDS_ARE_POOLED = (
    "out-of-fold predictions are of several models, one a fold, ranked against each other before calibration: a shift "
    "between folds lowers AUC here that no single model would show"
)


def compare_predictions(
    first: Path, second: Path, out: Path, progress: Progress, *, resamples: int = RESAMPLES
) -> dict[str, Any]:
    """Compare two tables of predictions (predictions.parquet, out_of_fold.parquet); write comparison.json, report.md.

    Differences are the second less the first. Raises InputError where the tables are absent, damaged or not of the same
    slices, UsageError where both are one file, OutputError where `out` holds a comparison already.
    """
    if (out / "comparison.json").exists():
        raise OutputError(f"{out} holds a comparison already; give --out another folder")
    if first.exists() and second.exists() and first.samefile(second):
        raise UsageError(f"{first} and {second} are one file; give the predictions of two models")
    tables = (Predictions.read_parquet(first), Predictions.read_parquet(second))
    with progress.task("Comparing", 1) as task:
        rows = compare_levels(*tables, seed=SEED, resamples=resamples)
        task.advance()
    notes = [SLICES_HANG_TOGETHER, *([EXAMS_RECUR] if exams_recur(tables[0]) else [])]
    notes += [FOLDS_ARE_POOLED] if OUT_OF_FOLD in {table.part for table in tables} else []
    tree: dict[str, Any] = {
        "form": "ichnos-comparison",
        "notice": "Research use only. Not a medical device.",
        **{
            name: {
                "file": f"{path.resolve().parent.name}/{path.name}",
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "part": table.part,
            }
            for name, path, table in zip(("first", "second"), (first, second), tables, strict=True)
        },
        "bootstrap": {"seed": SEED, "resamples": resamples, "unit": "patient"},
        "exam_score": "the largest of its slices, for both models",
        "correction": "Holm's correction over all classes and levels that were tested in the same way",
        "notes": notes,
        "rows": [row.to_json() for row in rows],
    }
    write_json(out / "comparison.json", tree)
    write_text(out / "report.md", comparison_report(tree))
    return tree
