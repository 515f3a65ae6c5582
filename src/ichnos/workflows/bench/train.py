"""How fast training is fed, and how fast it learns: begin at `bench_train`."""

import json
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ichnos
from ichnos.errors import UsageError
from ichnos.progress import Progress
from ichnos.workflows.bench import machine
from ichnos.workflows.bench.contenders import Contender
from ichnos.workflows.bench.figures import ratios, spread
from ichnos.workflows.bench.peers import ask_in_turn
from ichnos.workflows.bench.train_own import TrainWork, write_cache

VERSION = 1
"""Of the JSON: raised where a field changes its meaning or goes away."""

OURS = ("fed", "trained", "copied", "on_device")
"""What train_own.py does here, in the order asked: nothing can be fed or trained faster than the last two."""

_VERSIONS = ("torch", "numpy", "monai")

Tree = dict[str, Any]


@dataclass(frozen=True)
class TrainBench:
    """What is measured.

    slices: of a made-up cache of `size` pixels; RSNA 2019's 752,803 take 113 GB at 224. steps: of training that are
    timed, of `batch_size` slices each. rounds: how often everything is timed, in turn.
    """

    device: str = "auto"
    slices: int = 4096
    size: int = 224
    steps: int = 8
    batch_size: int = 32
    rounds: int = 3
    cores: int = 2

    def __post_init__(self) -> None:
        if sys.platform == "win32":
            raise UsageError("benchmarks measure memory as Linux and macOS count it; run them there")
        if min(self.slices, self.steps, self.batch_size, self.rounds, self.cores) < 1:
            raise UsageError("--slices, --steps, --batch-size, --rounds and --cores are at least 1")
        if self.slices < self.batch_size or self.size % 32 or self.size < 32:
            raise UsageError("--slices is at least --batch-size, and --size a multiple of 32")

    @property
    def words(self) -> str:
        """The command that asks for this."""
        usual = TrainBench()
        names = ("device", "slices", "size", "steps", "batch_size", "rounds", "cores")
        changed = [name for name in names if getattr(self, name) != getattr(usual, name)]
        said = (f"--{name.replace('_', '-')} {getattr(self, name)}" for name in changed)
        return " ".join(["ichnos bench train", *said])


def bench_train(options: TrainBench, progress: Progress) -> Tree:
    """Measure, and return everything as a tree for JSON.

    Every contender is a process of its own, and all are asked in turn, round by round. Raises BenchmarkError where one
    fails, as where the device is not there.
    """
    with machine.on_cores(options.cores) as cores, TemporaryDirectory(prefix="ichnos-bench-") as name:
        folder, stopwatch = Path(name), machine.Stopwatch(cores)
        sizes = (options.slices, options.size, options.steps, options.batch_size)
        work = TrainWork(str(folder / "cache.u8"), str(folder / "runs"), options.device, *sizes)
        write_cache(work, progress)
        (folder / "work.json").write_text(json.dumps(asdict(work)), encoding="utf-8")
        figures = _measured(options, folder, progress)
        return {
            "version": VERSION,
            "benchmark": "train",
            "asked": options.words,
            "machine": machine.description(cores) | {"other_work": stopwatch.others()},
            "versions": {"ichnos": ichnos.__version__} | machine.versions(_VERSIONS),
            "work": {"slices": options.slices, "size": options.size, "steps": options.steps}
            | {"batch_size": options.batch_size, "bytes": work.bytes},
            "rounds": options.rounds,
            **figures,
        }


def _measured(options: TrainBench, folder: Path, progress: Progress) -> Tree:
    module = [sys.executable, "-m", "ichnos.workflows.bench.train_own", str(folder / "work.json")]
    with ExitStack() as open_ones:
        ours = [open_ones.enter_context(Contender(name, [*module, name], folder)) for name in OURS]
        answers: dict[str, list[Tree]] = {}
        with progress.task("Measuring", options.rounds + 1) as task:
            for _ in range(options.rounds + 1):
                ask_in_turn(ours, (), {}, answers)
                task.advance()
        warm = {name: said[1:] for name, said in answers.items()}  # the first round warms everything up
        rates = {name: [each["slices"] / each["seconds"] for each in said] for name, said in warm.items()}
        taken = {each.name: each.close() for each in ours}
    peaks = {name: None if each is None else round(each.peak_mb) for name, each in taken.items()}
    figures = {name: {"slices_a_second": spread(rates[name]), "peak_mb": peaks[name]} for name in OURS}
    return {
        "fed": figures["fed"] | {"to_floor": ratios(rates["fed"], rates["copied"])},
        "trained": figures["trained"]
        | {"to_floor": ratios(rates["trained"], rates["on_device"])}
        | answers["on_device"][0]["about"],
        "floor": {name: figures[name] for name in OURS[2:]},
    }
