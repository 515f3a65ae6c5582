"""How fast training is fed, and how fast it learns: begin at `bench_train`."""

import json
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import torch

from ichnos.errors import UsageError
from ichnos.processes import cores
from ichnos.progress import Progress
from ichnos.training.devices import PRECISIONS, choose
from ichnos.workflows.bench import machine
from ichnos.workflows.bench.asked import Asked
from ichnos.workflows.bench.contenders import Contender
from ichnos.workflows.bench.evaluate import SLICES
from ichnos.workflows.bench.figures import parts_of, ratios, spread
from ichnos.workflows.bench.peers import ask_in_turn
from ichnos.workflows.bench.train_own import TrainWork, write_cache

OURS = ("fed", "trained", "copied", "on_device", "parts")
"""What train_own.py does here, in the order asked: nothing is fed faster than `copied`, or trained than `on_device`."""

EAGER = "eager"
"""Besides, where the network is to be compiled: `on_device` without torch.compile."""

Tree = dict[str, Any]


@dataclass(frozen=True)
class TrainBench(Asked):
    """What is measured."""

    NAME: ClassVar[str] = "train"
    VERSION: ClassVar[int] = 2
    """Of 1 `compiled` was text, and a round read 2,048 slices at most and copied them all at once."""
    STANDS_ON: ClassVar[tuple[str, ...]] = ("torch", "numpy", "monai")

    device: str = "auto"
    slices: int = 4096
    """Of a made-up cache; RSNA 2019's 752,803 take 38 GB at 224 px."""
    size: int = 224
    """Pixels of a slice."""
    steps: int = 8
    """Of training that are timed."""
    batch_size: int = 32
    precision: str | None = None
    """32-true, bf16-mixed, 16-mixed, or None for what the device gains by."""
    compile: bool | None = None
    """torch.compile; None: where `ichnos train` has it by itself, on one CUDA device."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.slices, self.steps, self.batch_size) < 1:
            raise UsageError("--slices, --steps and --batch-size are at least 1")
        if self.slices < self.batch_size or self.size % 32 or self.size < 32:
            raise UsageError("--slices is at least --batch-size, and --size a multiple of 32")
        if self.precision not in (None, *PRECISIONS):
            raise UsageError(f"--precision is one of {', '.join(PRECISIONS)}, got {self.precision}")


@dataclass(frozen=True)
class Sizes:
    """How much is measured where nobody says."""

    slices: int
    steps: int
    batch_size: int
    cores: int


def usual_sizes(device: str) -> Sizes:
    """RSNA 2019's whole cache and all cores where training is on a GPU, what a CPU does in minutes elsewhere."""
    if _on_gpu(device):
        return Sizes(slices=SLICES, steps=500, batch_size=256, cores=cores())
    return Sizes(slices=4096, steps=8, batch_size=32, cores=2)


def bench_train(options: TrainBench, progress: Progress) -> Tree:
    """Measure, and return everything as a tree for JSON.

    Every contender is a process of its own, and all are asked in turn, round by round: one alone is at work, and gives
    back what torch keeps of the GPU's memory before the next is asked. Raises TrainingError where the device is not
    there, OutputError where the cache cannot be written, and BenchmarkError where a contender fails.
    """
    choose(options.device, options.precision)  # before the cache is made, which takes minutes at RSNA's size
    with machine.on_cores(options.cores) as used, TemporaryDirectory(prefix="ichnos-bench-") as name:
        folder, stopwatch = Path(name), machine.Stopwatch(used)
        sizes = (options.slices, options.size, options.steps, options.batch_size)
        work = TrainWork(
            str(folder / "cache.u8"), str(folder / "runs"), options.device, *sizes, options.precision, options.compile
        )
        write_cache(work, progress)
        (folder / "work.json").write_text(json.dumps(asdict(work)), encoding="utf-8")
        figures = _measured(options, folder, progress)
        told = {"slices": options.slices, "size": options.size, "steps": options.steps}
        return options.tree(used, stopwatch, told | {"batch_size": options.batch_size, "bytes": work.bytes}, figures)


def _measured(options: TrainBench, folder: Path, progress: Progress) -> Tree:
    module = [sys.executable, "-m", "ichnos.workflows.bench.train_own", str(folder / "work.json")]
    compiles = _on_gpu(options.device) if options.compile is None else options.compile
    names = (*OURS, EAGER) if compiles else OURS
    with ExitStack() as open_ones:
        ours = [open_ones.enter_context(Contender(name, [*module, name], folder)) for name in names]
        answers: dict[str, list[Tree]] = {}
        with progress.task("Measuring", options.rounds + 1) as task:
            for _ in range(options.rounds + 1):
                ask_in_turn(ours, (), {}, answers)
                task.advance()
        taken = {each.name: each.close() for each in ours}
    learnt = None
    if _on_gpu(options.device) or options.compile or options.precision not in (None, "32-true"):
        with Contender("numerics", [*module, "numerics"], folder) as contender:  # alone: a GPU's memory is free again
            learnt = contender.once()["learnt"]
    peaks = {name: None if each is None else round(each.peak_mb) for name, each in taken.items()}
    return _figures(answers, peaks) | {"numerics": learnt}


def _on_gpu(device: str) -> bool:
    return device != "cpu" and torch.cuda.is_available()


def _figures(answers: Mapping[str, list[Tree]], peaks: Mapping[str, int | None]) -> Tree:
    """What every contender but `numerics` has answered, with the peak memory of each."""
    warm = {name: said[1:] for name, said in answers.items()}  # the first round warms everything up
    rates = {name: [each["slices"] / each["seconds"] for each in said] for name, said in warm.items()}
    figures = {
        name: {"slices_a_second": spread(rates[name]), "peak_mb": peaks[name]} for name in rates if name != "parts"
    }
    if EAGER in figures:
        figures[EAGER] |= {"compiled_to_it": ratios(rates["on_device"], rates[EAGER])}
    return {
        "fed": figures["fed"] | {"to_floor": ratios(rates["fed"], rates["copied"])},
        "trained": figures["trained"]
        | {"to_floor": ratios(rates["trained"], rates["on_device"]), "gpu_mb": answers["trained"][-1]["gpu_mb"]}
        | answers["on_device"][0]["about"],
        "parts_ms": parts_of(warm["parts"]),
        "floor": {name: figures[name] for name in ("copied", "on_device", EAGER) if name in figures},
    }
