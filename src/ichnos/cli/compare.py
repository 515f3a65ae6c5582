"""`ichnos compare`: two models' predictions of the same slices, or of the same exams."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ichnos.cli.evaluate import Prevalence


def compare(
    first: Annotated[
        Path,
        typer.Argument(
            help="A predictions.parquet, out_of_fold.parquet or exams.parquet of one, or the folder that holds it.",
            show_default=False,
        ),
    ],
    second: Annotated[
        Path, typer.Argument(help="The same of another, of the same slices or exams.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", help="The folder to write.", show_default=False)],
    prevalence: Prevalence = None,
    resamples: Annotated[
        int, typer.Option("--resamples", min=100, help="Of patients; more give p values of finer steps.")
    ] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Compare two models on the same slices: every class at slice, exam and patient level, second less first.

    Exams are scored by exams.parquet where it lies beside both tables, else by their largest slice; slices of runs and
    folds by slices.parquet; where labels are of exams, slices are not compared. Of AUC intervals and p by the bootstrap
    over patients; DeLong's test for patients, and for exams where each patient has one; p corrected after Holm; no p of
    a class that fewer than ten patients have or lack. Intervals alone of average precision, Brier score and log loss,
    and of sensitivity, specificity, PPV, NPV, F1 and exact match, each model by the thresholds of the scorecard.json
    beside its table. Writes report.html too.
    """
    from ichnos.cli.parsing import parse_shares
    from ichnos.cli.progress import on_standard_error
    from ichnos.workflows.compare import compare_predictions

    with on_standard_error() as progress:
        shares = parse_shares(prevalence or [])
        tree = compare_predictions(first, second, out, progress, prevalence=shares, resamples=resamples)
        progress.message(f"{out / 'report.html'} and {out / 'comparison.json'} written")
    if as_json:
        print(json.dumps(tree, indent=2))
