"""The command `ichnos`: one function a verb; what each does lies in workflows/."""

import atexit
import gc
import json
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ichnos import __version__
from ichnos.cli.adapt import adapt
from ichnos.cli.bench import app as bench_app
from ichnos.cli.bundle import app as bundle_app
from ichnos.cli.bundle import export
from ichnos.cli.compare import compare
from ichnos.cli.evaluate import evaluate
from ichnos.cli.failures import STOPPED, exit_code
from ichnos.cli.inspect import inspect
from ichnos.cli.predict import predict
from ichnos.cli.prepare import app as prepare_app
from ichnos.cli.study import app as study_app
from ichnos.cli.submit import submit
from ichnos.counting import counted

NOTICE = "Research use only. Not a medical device."

app = typer.Typer(
    name="ichnos",
    help=f"Finds and names intracranial hemorrhage on head CT. {NOTICE}",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(prepare_app, name="prepare")
app.add_typer(study_app, name="study")
app.add_typer(bundle_app, name="bundle")
app.add_typer(bench_app, name="bench")
app.command("adapt")(adapt)
app.command("compare")(compare)
app.command("evaluate")(evaluate)
app.command("export")(export)
app.command("inspect")(inspect)
app.command("predict")(predict)
app.command("submit")(submit)

Data = Annotated[
    list[Path],
    typer.Option("--data", help="A prepared set; repeated: several, trained on together.", show_default=False),
]
Out = Annotated[Path, typer.Option("--out", help="The folder to write.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change a field of the recipe.")]
Fold = Annotated[int | None, typer.Option("--fold", help="Use fold K: it tests, fold K+1 validates, the rest train.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]


@app.callback(invoke_without_command=True)
def main(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Show the version where asked for."""
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def recipes(
    name: Annotated[str | None, typer.Argument(help="A recipe, or the path of a .py file.")] = None,
    as_json: Json = False,
) -> None:
    """List the recipes, or show one: what it is, where it differs from its source, and every field."""
    from ichnos import recipes as package

    if name is None:
        found = [package.find(each) for each in package.names()]
        if as_json:
            _print_json([f.recipe.model_dump(mode="json") for f in found])
            return
        width = max(len(f.recipe.name) for f in found)
        for f in found:
            print(f"{f.recipe.name:<{width}}  {f.docstring.splitlines()[0]}")
        return
    one = package.find(name)
    if as_json:
        _print_json(one.recipe.model_dump(mode="json"))
        return
    networks = [(stage.network, stage.input.size) for stage in one.recipe.stages.values()]
    costs = [f"{each.backbone}: {each.facts.cost(size)}" for each, size in networks if each.facts is not None]
    print(one.docstring, "", *costs, "", one.recipe.model_dump_json(indent=2), sep="\n")


@app.command()
def phantom(
    exams: Annotated[int, typer.Option("--exams", help="How many exams.", show_default=False)],
    out: Out,
    seed: Annotated[int, typer.Option("--seed", help="The same seed, the same bytes.")] = 0,
    prevalence: Annotated[
        str, typer.Option("--prevalence", help="rsna, raised (each subtype in 30 % of exams), or epidural=0.1,...")
    ] = "rsna",
    matrix: Annotated[int, typer.Option("--matrix", help="Rows and columns of a slice.")] = 512,
    slices: Annotated[str, typer.Option("--slices", metavar="FEWEST-MOST", help="Slices an exam.")] = "20-60",
    patients: Annotated[
        str,
        typer.Option(
            "--patients",
            help="emergency; or trauma: children, swollen scalps, fractures, turned heads, thin epidurals.",
        ),
    ] = "emergency",
) -> None:
    """Make a synthetic head-CT cohort in RSNA 2019's own layout, with masks."""
    from ichnos.cli.parsing import parse_patients, parse_prevalence, parse_range
    from ichnos.cli.progress import on_standard_error
    from ichnos.phantom import CohortSettings
    from ichnos.workflows.phantom import write_cohort

    settings = CohortSettings(
        exams=exams,
        seed=seed,
        prevalence=parse_prevalence(prevalence),
        matrix=matrix,
        slices=parse_range(slices),
        patients=parse_patients(patients),
    )
    with on_standard_error() as progress:
        write_cohort(settings, out, progress)
        progress.message(f"{counted(exams, 'synthetic exam')} in {out}; next: ichnos prepare phantom {out} --out SET")


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, or the path of a .py file.", show_default=False)],
    data: Data,
    out: Out,
    changes: Set = None,
    fold: Fold = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, or cuda:1 of several.")] = "auto",
    devices: Annotated[
        int | None, typer.Option("--devices", help="Train by so many processes, each with a device (or CPU cores).")
    ] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", help="32-true, bf16-mixed or 16-mixed; by default the fastest.")
    ] = None,
    compiled: Annotated[
        bool | None, typer.Option("--compile/--no-compile", help="torch.compile; by default on one CUDA device.")
    ] = None,
    accumulate: Annotated[
        int, typer.Option("--accumulate", help="Learn from each batch in so many pieces, where memory is short.")
    ] = 1,
    as_json: Json = False,
) -> None:
    """Train one model. A stopped run goes on where it was with the same command.

    On several GPUs: --devices, or torchrun for many machines; fit.batch_size is that of all together.
    """
    from ichnos import recipes as package
    from ichnos.cli.parsing import parse_assignments
    from ichnos.cli.progress import on_standard_error
    from ichnos.processes import is_first_of_training
    from ichnos.progress import SILENT
    from ichnos.recipe import fits_of
    from ichnos.training.devices import Execution
    from ichnos.workflows.train import train_model

    resolved = package.find(recipe).recipe.override(parse_assignments(changes or []))
    execution = Execution(devices=devices, accumulate=accumulate, compile=compiled, precision=precision)
    if not is_first_of_training():
        train_model(resolved, data, out, SILENT, fold=fold, device=device, execution=execution)
        return
    with on_standard_error() as progress:
        summary = train_model(resolved, data, out, progress, fold=fold, device=device, execution=execution)
    if as_json:
        _print_json(summary)
        return
    called = {name: f"{resolved.name}, {name}" for name in fits_of(resolved)}
    called |= {path: stage.name for path, stage in resolved.stages.items()}
    for name, shown in called.items():
        trained = summary[name] if name else summary
        loss = trained["best_validation_loss"]  # there is one: only a study trains on everyone
        print(
            f"{shown}: best epoch {trained['best_epoch']} of {trained['epochs']}, validation loss {loss:.4f} "
            "(mean over outputs)",
            file=sys.stderr,
        )
    print(f"next: ichnos evaluate {out} --data {data[0]} --out DIR", file=sys.stderr)


@app.command()
def demo(
    out: Out = Path("demo"),
    device: Device = "auto",
) -> None:
    """The study on a small synthetic cohort, from nothing to a report, in some minutes on two cores."""
    from ichnos.cli.progress import on_standard_error
    from ichnos.workflows.demo import run_demo

    with on_standard_error() as progress:
        report = run_demo(out, progress, device=device)
    print(f"One exam read: {(out / 'findings' / 'exam-001' / 'report.html').resolve()}")
    print(f"The report: {report.resolve()}")


def run() -> None:
    """The console script: errors become one line and an exit code (1 failed, 2 wrong use, 130 stopped)."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's stop is the user's
    atexit.register(gc.freeze)  # the process ends: to look for garbage in what it held takes a fifth of a second
    try:
        app(standalone_mode=True)
    except SystemExit as ended:
        if ended.code == STOPPED:  # Typer makes this of Ctrl-C
            exit_code(KeyboardInterrupt())
        raise
    except (Exception, KeyboardInterrupt) as error:
        sys.exit(exit_code(error))


def _print_json(tree: Any) -> None:
    print(json.dumps(tree, indent=2, ensure_ascii=False))
