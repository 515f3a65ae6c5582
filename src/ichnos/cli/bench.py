"""`ichnos bench ...`: how fast it is here, against others and against what the machine can do."""

import json
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from ichnos.cli.failures import NOTHING_KEPT, stopped_with
from ichnos.progress import Progress

Tree = dict[str, Any]

Rounds = Annotated[int, typer.Option("--rounds", help="How often everything is timed.")]
Cores = Annotated[int, typer.Option("--cores", help="Cores to use, where the system can hold to it.")]
Peers = Annotated[
    Path | None, typer.Option("--peers", help="A folder of peers' scripts; a clone's benchmarks/peers by default.")
]
Out = Annotated[Path | None, typer.Option("--out", help="A JSON file to write.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]

app = typer.Typer(help="Measure how fast ichnos is on this machine.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def benchmarks() -> None:
    """Measure how fast ichnos is on this machine, against other stacks and against what the machine can do at best."""


@app.command("predict", short_help="The reading of exams: warm, from a cold start, many.")
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
    rounds: Rounds = 7,
    slices: Annotated[int, typer.Option("--slices", help="Slices of an exam.")] = 36,
    matrix: Annotated[int, typer.Option("--matrix", help="Rows and columns of a slice.")] = 512,
    cores: Cores = 2,
    peers: Peers = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Time the reading of exams: one in a warm process, the command from a cold start, many; with memory and peers.

    Exams are synthetic and uncompressed. Every contender runs in a process of its own, all in turn, in one run.
    """
    from ichnos.cli.parsing import parse_assignments
    from ichnos.workflows.bench.predict import PredictBench, bench_predict
    from ichnos.workflows.bench.table import predict_circumstances, predict_rows

    options = PredictBench(
        rounds=rounds,
        exams=exams,
        slices=slices,
        matrix=matrix,
        cores=cores,
        bundle=bundle,
        changes=parse_assignments(changes or []),
        peers=_peers(peers),
    )
    _measure(partial(bench_predict, options), predict_rows, predict_circumstances, out, as_json=as_json)


@app.command("evaluate", short_help="The measuring of predictions, with intervals.")
def evaluate(
    slices: Annotated[int, typer.Option("--slices", help="Predictions; RSNA 2019 has 752,803.")] = 752_803,
    resamples: Annotated[int, typer.Option("--resamples", help="Of the bootstrap by patient.")] = 1000,
    rounds: Rounds = 3,
    cores: Cores = 2,
    peers: Peers = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Time the measuring of predictions: every measure of slices, exams and patients, with intervals by patient.

    Predictions are made up, in RSNA's proportions. Every contender runs in a process of its own, all in turn.
    """
    from ichnos.workflows.bench.evaluate import EvaluateBench, bench_evaluate
    from ichnos.workflows.bench.table import evaluate_circumstances, evaluate_rows

    options = EvaluateBench(slices, resamples, rounds=rounds, cores=cores, peers=_peers(peers))
    _measure(partial(bench_evaluate, options), evaluate_rows, evaluate_circumstances, out, as_json=as_json)


@app.command("prepare", short_help="The preparing of RSNA's layout, and of a cache.")
def prepare(
    exams: Annotated[int, typer.Option("--exams", help="Synthetic exams, of some 35 slices.")] = 120,
    matrix: Annotated[int, typer.Option("--matrix", help="Rows and columns of a slice.")] = 512,
    size: Annotated[int, typer.Option("--size", help="Pixels of the cache.")] = 224,
    rounds: Rounds = 3,
    cores: Cores = 2,
    peers: Peers = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Time the preparing of RSNA's layout, from folders and from the zip, and of a set's cache.

    Exams are synthetic. Every contender runs in a process of its own, all in turn, each time into an empty folder.
    """
    from ichnos.workflows.bench.prepare import PrepareBench, bench_prepare
    from ichnos.workflows.bench.table import prepare_circumstances, prepare_rows

    options = PrepareBench(exams, matrix, size, rounds=rounds, cores=cores, peers=_peers(peers))
    _measure(partial(bench_prepare, options), prepare_rows, prepare_circumstances, out, as_json=as_json)


@app.command("train", short_help="The feeding and the training of Model 2.")
def train(
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, or cuda:1 of several.")] = "auto",
    slices: Annotated[
        int | None,
        typer.Option(
            "--slices", help="Of the made-up cache: 4,096, on a GPU RSNA 2019's 752,803, which take 38 GB of disk."
        ),
    ] = None,
    size: Annotated[int, typer.Option("--size", help="Pixels of a slice.")] = 224,
    steps: Annotated[int | None, typer.Option("--steps", help="Of training that are timed: 12, on a GPU 500.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Slices of a step: 32, on a GPU 256.")] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision",
            help="32-true, bf16-mixed or 16-mixed; by default 32-true on a CPU, bf16-mixed on a GPU that has it, else "
            "16-mixed.",
        ),
    ] = None,
    compiled: Annotated[
        bool | None,
        typer.Option("--compile/--no-compile", help="torch.compile; by default on one CUDA device."),
    ] = None,
    rounds: Rounds = 5,
    cores: Annotated[
        int | None, typer.Option("--cores", help="Cores to use, where the system can hold to it: 2, on a GPU all.")
    ] = None,
    peers: Peers = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Time the feeding of training and the training of Model 2, against memory, the disk, the bare network and peers.

    The cache is noise. Every contender runs in a process of its own, all in turn. On a GPU also: its memory, the same
    network without torch.compile (unless --no-compile), and whether it learns there what single precision does.
    """
    from ichnos.workflows.bench.train import TrainBench, bench_train, usual_sizes
    from ichnos.workflows.bench.train_table import train_circumstances, train_rows

    usual = usual_sizes(device)
    options = TrainBench(
        device,
        usual.slices if slices is None else slices,
        size,
        usual.steps if steps is None else steps,
        usual.batch_size if batch_size is None else batch_size,
        precision,
        compiled,
        rounds=rounds,
        cores=usual.cores if cores is None else cores,
        peers=_peers(peers),
    )
    _measure(partial(bench_train, options), train_rows, train_circumstances, out, as_json=as_json)


@app.command("growth", short_help="What a slice costs, and memory, as the work grows.")
def growth(
    times: Annotated[
        str, typer.Option("--times", metavar="N,N,...", help="How many times the base size each is measured at.")
    ] = "1,4,16,64",
    rounds: Rounds = 3,
    cores: Cores = 2,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Prepare, predict and evaluate at 1, 4, 16 and 64 times a base size: what a slice costs, and the peak memory.

    Each size is a process of its own. Exams and predictions are synthetic.
    """
    from ichnos.workflows.bench.growth import GrowthBench, bench_growth
    from ichnos.workflows.bench.table import growth_circumstances, growth_rows

    options = GrowthBench(times, rounds=rounds, cores=cores)
    _measure(partial(bench_growth, options), growth_rows, growth_circumstances, out, as_json=as_json)


def _peers(given: Path | None) -> Path | None:
    """What was given, or a clone's own, or none."""
    from ichnos.workflows.bench.peers import PEERS

    return given or (PEERS if PEERS.is_dir() else None)


def _measure(
    bench: Callable[[Progress], Tree],
    rows_of: Callable[[Tree], Iterable[tuple[str, str, str]]],
    circumstances_of: Callable[[Tree], str],
    out: Path | None,
    *,
    as_json: bool,
) -> None:
    """Run a benchmark, print what it measured, and write it: last, so that it is seen even where it cannot be written.

    That it can be is tried before, as far as one can.
    """
    from ichnos.cli.progress import on_standard_error
    from ichnos.files import check_can_be_written, write_json

    if out is not None:
        check_can_be_written(out)
    with stopped_with(NOTHING_KEPT), on_standard_error() as progress:
        tree = bench(progress)
    if as_json:
        print(json.dumps(tree, indent=2, ensure_ascii=False))
    else:
        for what, measured, aim in rows_of(tree):
            print(f"{what}: {measured}{f'  (aim: {aim})' if aim else ''}")
        print(circumstances_of(tree))
    if out is not None:
        write_json(out, tree)
