"""`ichnos bench ...`: how fast it is here, against others and against what the machine can do."""

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Measure how fast ichnos is on this machine.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def benchmarks() -> None:
    """Measure how fast ichnos is on this machine, against other stacks and against what the machine can do at best."""


@app.command("predict")
def predict(
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="A bundle to read with; an untrained one (needs torch) by default.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Change the untrained bundle's recipe: input.size=128."),
    ] = None,
    exams: Annotated[
        int, typer.Option("--exams", help="Exams of the batch, of which up to 1 GB lie on disk; 0: none.")
    ] = 100,
    rounds: Annotated[int, typer.Option("--rounds", help="How often one exam is timed.")] = 7,
    slices: Annotated[int, typer.Option("--slices", help="Slices of an exam.")] = 36,
    matrix: Annotated[int, typer.Option("--matrix", help="Rows and columns of a slice.")] = 512,
    cores: Annotated[int, typer.Option("--cores", help="Cores to use, where the system can hold to it.")] = 2,
    peers: Annotated[
        Path | None, typer.Option("--peers", help="A folder of peers' scripts; a clone's benchmarks/peers by default.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="A JSON file to write.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Time the reading of exams: one in a warm process, the command from a cold start, many; with memory and peers.

    Exams are synthetic and uncompressed. Every contender runs in a process of its own, all in turn, in one run.
    """
    from ichnos.cli.parsing import parse_assignments
    from ichnos.cli.progress import on_standard_error
    from ichnos.files import write_json
    from ichnos.workflows.bench.predict import PEERS, PredictBench, bench_predict
    from ichnos.workflows.bench.table import predict_circumstances, predict_rows

    options = PredictBench(
        rounds=rounds,
        exams=exams,
        slices=slices,
        matrix=matrix,
        cores=cores,
        bundle=bundle,
        changes=parse_assignments(changes or []),
        peers=peers or (PEERS if PEERS.is_dir() else None),
    )
    with on_standard_error() as progress:
        tree = bench_predict(options, progress)
    if out is not None:
        write_json(out, tree)
    if as_json:
        print(json.dumps(tree, indent=2, ensure_ascii=False))
        return
    for what, measured, aim in predict_rows(tree):
        print(f"{what}: {measured}{f'  (aim: {aim})' if aim else ''}")
    print(predict_circumstances(tree))
