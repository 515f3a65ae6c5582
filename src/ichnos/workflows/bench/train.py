"""How fast training is fed, and how fast it learns: begin at `bench_train`."""

import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
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
from ichnos.workflows.bench.peers import ask_in_turn, begin_peers
from ichnos.workflows.bench.train_cold import POSSIBLE
from ichnos.workflows.bench.train_figures import our_figures, peer_figures
from ichnos.workflows.bench.train_work import PICTURES, TrainWork, write_cache

OURS = ("fed", "copied", "on_device", "trained", "on_device", "parts")
"""What train_own.py does here, in the order asked: nothing is fed faster than `copied`, or trained than `on_device`,
which is asked before and after: on a machine whose speed drifts the mean of both is of the moment between them."""

FROM_DISK = ("cold", "raw")
"""Besides, where the system forgets a file when asked: the input side from the disk, and the bare bytes from there."""

EAGER = "eager"
"""Besides, where the network is to be compiled: `on_device` without torch.compile."""

Tree = dict[str, Any]


@dataclass(frozen=True)
class TrainBench(Asked):
    """What is measured."""

    NAME: ClassVar[str] = "train"
    VERSION: ClassVar[int] = 3
    """Of 1 `compiled` was text, and a round read 2,048 slices at most and copied them all at once. Until 2 the rate of
    training was of whole runs, their beginning and end included."""
    STANDS_ON: ClassVar[tuple[str, ...]] = ("torch", "numpy", "monai")

    device: str = "auto"
    slices: int = 4096
    """Of a made-up cache; RSNA 2019's 752,803 take 38 GB at 224 px."""
    size: int = 224
    """Pixels of a slice."""
    steps: int = 12
    """Of training that are timed, after the first two of a run."""
    batch_size: int = 32
    precision: str | None = None
    """32-true, bf16-mixed, 16-mixed, or None for what the device gains by."""
    compile: bool | None = None
    """torch.compile; None: where `ichnos train` has it by itself, on one CUDA device."""
    rounds: int = field(default=5, kw_only=True)

    def _said(self, name: str, usual: object) -> Sequence[str]:
        """Against what is usual on the device."""
        return super()._said(name, getattr(usual_sizes(self.device), name, usual))

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
    return Sizes(slices=4096, steps=12, batch_size=32, cores=2)


def bench_train(options: TrainBench, progress: Progress) -> Tree:
    """Measure, and return everything as a tree for JSON.

    Every contender is a process of its own, and all are asked in turn, round by round: one alone is at work, and gives
    back what torch keeps of the GPU's memory before the next is asked. Raises TrainingError where the device is not
    there, OutputError where the cache cannot be written, and BenchmarkError where one of ours fails; a peer that fails
    stands in the tree with its reason.
    """
    choose(options.device, options.precision)  # before the cache is made, which takes minutes at RSNA's size
    asked = options.words  # before this process keeps to fewer cores, by which it tells what is usual
    with machine.on_cores(options.cores) as used, TemporaryDirectory(prefix="ichnos-bench-") as name:
        folder, stopwatch = Path(name), machine.Stopwatch(used)
        work = _work(options, folder)
        write_cache(work, progress)
        (folder / "work.json").write_text(json.dumps(asdict(work)), encoding="utf-8")
        figures = _measured(options, folder, progress)
        told = {"slices": options.slices, "size": options.size, "steps": options.steps}
        told |= {"batch_size": options.batch_size, "bytes": work.bytes, "pictures": work.pictured}
        return options.tree(used, stopwatch, told, figures) | {"asked": asked}


def _work(options: TrainBench, folder: Path) -> TrainWork:
    device = options.device
    if device == "auto":  # peers need not know what we make of it
        device = "cuda" if _on_gpu(device) else "cpu"
    return TrainWork(
        cache=str(folder / "cache.u8"),
        runs=str(folder / "runs"),
        device=device,
        slices=options.slices,
        size=options.size,
        steps=options.steps,
        batch_size=options.batch_size,
        precision=options.precision,
        compile=options.compile,
        pictures=str(folder / "pictures"),
        pictured=min(options.slices, PICTURES) if options.peers else 0,
    )


def _measured(options: TrainBench, folder: Path, progress: Progress) -> Tree:
    module = [sys.executable, "-m", "ichnos.workflows.bench.train_own", str(folder / "work.json")]
    compiles = _on_gpu(options.device) if options.compile is None else options.compile
    names = (*(FROM_DISK if POSSIBLE else ()), *OURS, *((EAGER,) if compiles else ()))
    with ExitStack() as open_ones:
        ours = {
            name: open_ones.enter_context(Contender(name, [*module, name], folder)) for name in dict.fromkeys(names)
        }
        peers, refused = begin_peers("train", options.peers, folder, open_ones)
        answers: dict[str, list[Tree]] = {}
        with progress.task("Measuring", options.rounds + 1) as task:
            for _ in range(options.rounds + 1):
                ask_in_turn([ours[name] for name in names], peers, refused, answers)
                task.advance()
        taken = {each.name: each.close() for each in (*ours.values(), *peers)}
    learnt = None
    if _on_gpu(options.device) or options.compile or options.precision not in (None, "32-true"):
        with Contender("numerics", [*module, "numerics"], folder) as contender:  # alone: a GPU's memory is free again
            learnt = contender.once()["learnt"]
    peaks = {name: None if each is None else round(each.peak_mb) for name, each in taken.items()}
    # the first round warms everything up
    warm = {name: _of_rounds(said, options.rounds + 1)[1:] for name, said in answers.items()}
    of_peers = {peer.name: peer_figures(peer.about, warm, peer.name, peaks) for peer in peers if peer.name in warm}
    return our_figures(warm, peaks) | {"numerics": learnt, "peers": of_peers, "peers_not_run": refused}


def _of_rounds(said: Sequence[Tree], rounds: int) -> list[Tree]:
    """What a contender answered, a round each: where it was asked twice in one, what both took together."""
    times = len(said) // rounds
    by_round = [said[k * times : (k + 1) * times] for k in range(rounds)]
    return [
        each[-1] | {what: sum(one[what] for one in each) for what in ("seconds", "slices") if what in each[-1]}
        for each in by_round
    ]


def _on_gpu(device: str) -> bool:
    return device != "cpu" and torch.cuda.is_available()
