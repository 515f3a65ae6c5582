"""`ichnos adapt` makes a run fit another hospital; `ichnos study adapt` measures what each way of it is worth there."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from ichnos.errors import UsageError

Run = Annotated[Path, typer.Argument(metavar="RUN", help="What `ichnos train` wrote.", show_default=False)]
Data = Annotated[Path, typer.Option("--data", help="The new hospital's prepared set.", show_default=False)]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of drawing patients.")]
Changes = Annotated[
    list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change a field of fine-tuning.")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


def adapt(
    run: Run,
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="The run to write.", show_default=False)],
    method: Annotated[str, typer.Option("--method", help="calibrate, batchnorm or fine-tune.", show_default=False)],
    patients: Annotated[
        int | None, typer.Option("--patients", min=1, help="So many of the training part; all by default.")
    ] = None,
    seed: Seed = 0,
    changes: Changes = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Adapt a run to another hospital: its thresholds alone, its BatchNorm, or fine-tuning with few labels.

    What comes of it is a run like any other. Only the new set's training part is learnt from. The labels of
    its validation part calibrate and set thresholds, choose the epoch of fine-tuning, and join networks anew that are
    stacked.
    """
    from ichnos.cli.parsing import parse_assignments
    from ichnos.cli.progress import on_standard_error
    from ichnos.workflows.adapt import AdaptOptions, Method, adapt_run

    if method not in set(Method):
        raise UsageError(f"--method is one of {', '.join(Method)}, got {method!r}")
    options = AdaptOptions(Method(method), patients, seed, parse_assignments(changes or []))
    with on_standard_error() as progress:
        summary = adapt_run(run, data, out, options, progress, device=device)
    if as_json:
        print(json.dumps(summary, indent=2))
    print(f"next: ichnos evaluate {out} --data {data} --out DIR", file=sys.stderr)


def study_adapt(
    run: Run,
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="The folder of runs and report.", show_default=False)],
    patients: Annotated[
        list[int] | None,
        typer.Option("--patients", min=1, help="To fine-tune on; may be repeated. By default 4, 8, 16 and 32."),
    ] = None,
    seed: Seed = 0,
    changes: Changes = None,
    resamples: Annotated[int, typer.Option("--resamples", min=1, help="Of patients, for intervals.")] = 1000,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Measure a run on another hospital's test patients: as it was, with its BatchNorm, fine-tuned with few labels.

    Goes on where it stopped.
    """
    from ichnos.cli.parsing import parse_assignments
    from ichnos.cli.progress import on_standard_error
    from ichnos.workflows.adaptation import AdaptationOptions, study_adaptation

    sizes = tuple(patients) if patients else None
    options = AdaptationOptions(sizes, seed, parse_assignments(changes or []), resamples)
    with on_standard_error() as progress:
        scorecard = study_adaptation(run, data, out, options, progress, device=device)
        progress.message(f"The report: {out / 'report.html'}")
    if as_json:
        print(json.dumps(scorecard, indent=2))
