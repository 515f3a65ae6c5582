"""`ichnos export` makes a bundle of trained runs; `ichnos bundle show` says what one is."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ichnos.cli.evaluate import BoundOption, Sensitivity
from ichnos.networks import Weights
from ichnos.readout import Bound

app = typer.Typer(help="Look at bundles.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def bundles() -> None:
    """Look at bundles."""


@app.command("show")
def show(
    file: Annotated[
        Path | None,
        typer.Argument(help="A bundle; by default what ICHNOS_BUNDLE names, or ichnos' own.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print bundle.json on standard output.")] = False,
) -> None:
    """Check a bundle and print its model card."""
    from ichnos.inference import read_bundle, read_default_bundle

    bundle = read_default_bundle() if file is None else read_bundle(file)
    if as_json:
        print(json.dumps(bundle.manifest.model_dump(mode="json") | {"digest": bundle.digest}, indent=2))
        return
    print("".join(c for c in bundle.card if c.isprintable() or c == "\n"))  # no terminal's control sequences


_Data = Annotated[
    list[Path] | None,
    typer.Option(
        "--data", help="The prepared set of the runs: its validation part calibrates; of several all, or one."
    ),
]
_Calibration = Annotated[
    Path | None,
    typer.Option(
        "--calibration",
        help="An out_of_fold.parquet of `ichnos study folds`; predictions of test patients are refused.",
    ),
]

WeightsOption = Annotated[
    Weights, typer.Option("--weights", help="How the bundle stores its weights; int16 makes it half as large.")
]


def export(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="What `ichnos train` wrote.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", help="The bundle to write.", show_default=False)],
    data: _Data = None,
    fold: Annotated[int | None, typer.Option("--fold", help="The fold that the runs were trained with.")] = None,
    calibration: _Calibration = None,
    scorecard: Annotated[
        Path | None, typer.Option("--scorecard", help="A scorecard.json to embed; RUN/scorecard.json by default.")
    ] = None,
    title: Annotated[str | None, typer.Option("--title", help="The bundle's name; the recipe's by default.")] = None,
    licence: Annotated[
        str | None, typer.Option("--licence", help="Of the bundle; by default its data's, where that is known.")
    ] = None,
    sensitivity: Sensitivity = 0.95,
    bound: BoundOption = Bound.CAP_SUBTYPES,
    demonstration: Annotated[
        str | None,
        typer.Option("--demonstration", help="Why it is a demonstration and no more: every reading says so."),
    ] = None,
    weights: WeightsOption = Weights.FLOAT32,
    force: Annotated[bool, typer.Option("--force", help="Replace the file where it exists.")] = False,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary as JSON on standard output.")] = False,
) -> None:
    """Make one bundle of one or several trained runs: network, calibration, thresholds and model card in one file."""
    from ichnos.cli.progress import on_standard_error
    from ichnos.evaluation.readout import Fitting
    from ichnos.workflows.export import ExportOptions, export_runs

    options = ExportOptions(
        data=data,
        fold=fold,
        calibration=calibration,
        scorecard=scorecard,
        title=title,
        licence=licence,
        fitting=Fitting(sensitivity, bound),
        demonstration=demonstration,
        weights=weights,
    )
    with on_standard_error() as progress:
        summary = export_runs(runs, out, progress, options, force=force, device=device)
        progress.message(f"{out}: {summary['bytes'] / 1e6:.1f} MB; next: ichnos bundle show {out}")
    if as_json:
        print(json.dumps(summary, indent=2))
