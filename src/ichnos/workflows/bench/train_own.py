"""Our side of `ichnos bench train`, as a contender: `python -m ichnos.workflows.bench.train_own WORK WHAT`.

WHAT: `fed`, batches as training reads them, with nothing made of them; `trained`, Model 2 as `ichnos train` trains it;
`copied`, the same bytes copied in memory; `on_device`, the same network on one batch that lies on the device; `eager`,
that without torch.compile; `parts`, what a step takes, part by part; `numerics`, whether it learns what single
precision does.
"""

import shutil
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ichnos import recipes
from ichnos.errors import OutputError
from ichnos.models.classifier import SliceClassifier
from ichnos.progress import Progress
from ichnos.recipe import SliceRecipe
from ichnos.training import train
from ichnos.training.augmentation import AugmentedClassifier
from ichnos.training.batches import in_batches, read_ahead
from ichnos.training.compilation import compile_where_it_works
from ichnos.training.devices import Execution, choose
from ichnos.training.ranks import Ranks
from ichnos.training.slices import TrainingSlices
from ichnos.workflows.bench.contenders import answer_when_asked
from ichnos.workflows.bench.train_numerics import learnt_both_ways

Tree = dict[str, Any]

_AT_ONCE = 256
"""Slices made up together."""

_CHECKPOINTS = 300_000_000
"""Bytes on the disk, beside the cache, of the runs that are trained: of each a `best` and a `last` of Model 2."""

_ANOTHER_PLACE = "free some space there, give fewer --slices, or let TMPDIR name a folder on another disk"

_AT_LEAST = 2.0
"""Seconds that reading and copying go on in a round: in less, whatever else the machine does just then decides."""

_COPIED = 2048
"""Slices that are copied over and over, or all where there are fewer: 103 MB at 224 px, beyond a processor's caches."""


@dataclass(frozen=True)
class TrainWork:
    """What there is to do: work.json. Paths as text."""

    cache: str
    """uint8 (slices, planes, size, size)."""
    runs: str
    device: str
    slices: int
    size: int
    steps: int
    batch_size: int
    precision: str | None = None
    """None: what the device gains by."""
    compile: bool | None = None
    """None: on one CUDA device."""

    @property
    def execution(self) -> Execution:
        """As `ichnos train` has it by itself, where nothing else was asked for."""
        return Execution(precision=self.precision, compile=self.compile)

    @property
    def recipe(self) -> SliceRecipe:
        """The study's Model 2 from random weights, for so many steps, with nothing held back."""
        fit = {"epochs": 1, "steps_per_epoch": self.steps, "batch_size": self.batch_size, "patience": None}
        fit |= {"milestones": ()}
        base = recipes.find("paper_model_2").of_one_model
        changes = {f"fit.{name}": value for name, value in fit.items()}
        return base.derive(**changes, **{"network.init": "random", "input.size": self.size})

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the cache."""
        return self.slices, self.recipe.input.stacked, self.size, self.size

    @property
    def bytes(self) -> int:
        """Of the cache."""
        return int(np.prod(self.shape))

    @property
    def images(self) -> NDArray[np.uint8]:
        """Mapped from the disk, as training has them."""
        return np.memmap(self.cache, dtype=np.uint8, mode="r", shape=self.shape)

    def batches(self, rounds: int) -> list[NDArray[np.int64]]:
        """All rows, in an order that is another each round."""
        return in_batches(np.random.default_rng(rounds).permutation(self.slices).astype(np.int64), self.batch_size)


def write_cache(work: TrainWork, progress: Progress) -> None:
    """Noise: no step of training asks what the pixels show. Raises OutputError where its disk has no room for it."""
    path = Path(work.cache)
    _check_room(path.parent, work.bytes)
    rng = np.random.default_rng(0)
    try:
        with path.open("wb") as file, progress.task("Making a cache", work.slices) as task:
            for start in range(0, work.slices, _AT_ONCE):
                count = min(_AT_ONCE, work.slices - start)
                file.write(rng.bytes(count * work.bytes // work.slices))
                task.advance(count)
    except OSError as error:
        raise OutputError(
            f"the benchmark's cache of {_size(work.bytes)} cannot be written to {path.parent}: {error.strerror}; "
            f"{_ANOTHER_PLACE}"
        ) from error


def _check_room(folder: Path, cache: int) -> None:
    wanted, free = cache + _CHECKPOINTS, shutil.disk_usage(folder).free
    if free < wanted:
        raise OutputError(
            f"the benchmark's cache and checkpoints take {_size(wanted)}, and {folder.parent} has {_size(free)} free; "
            f"{_ANOTHER_PLACE}"
        )


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB"


def fed(work: TrainWork) -> Callable[[], Tree]:
    """As training reads: all slices in random order, some batches ahead, onto the device; again where they are few."""
    device, images, rounds = choose(work.device).device, work.images, iter(range(10**9))

    def once() -> Tree:
        seconds, count = 0.0, 0
        while not count or seconds < _AT_LEAST:
            batches = work.batches(next(rounds))
            begun = time.perf_counter()
            with read_ahead(images, batches, device) as ready:
                count += sum(len(batch) for batch in ready)
            _wait(device)
            seconds += time.perf_counter() - begun
        _let_go(device)
        return {"seconds": seconds, "slices": count}

    return once


def copied(work: TrainWork) -> Callable[[], Tree]:
    """Memory to memory, one core, in order, in pieces of a batch's size to one place, which so stays in the caches."""
    source = np.array(work.images[:_COPIED])
    pieces = np.array_split(source, -(-len(source) // work.batch_size))
    target = np.empty_like(pieces[0])

    def once() -> Tree:
        seconds, count, begun = 0.0, 0, time.perf_counter()
        while not count or seconds < _AT_LEAST:
            for piece in pieces:
                np.copyto(target[: len(piece)], piece)
            seconds, count = time.perf_counter() - begun, count + len(source)
        return {"seconds": seconds, "slices": count}

    return once


def trained(work: TrainWork) -> Callable[[], Tree]:
    """A whole run: reading, augmentation, steps, metrics, checkpoints."""
    recipe, out = work.recipe, Path(work.runs)
    labels = np.random.default_rng(1).random((work.slices, len(recipe.classes))) < 0.2
    slices = TrainingSlices(work.images, np.arange(work.slices), labels)

    def once() -> Tree:
        shutil.rmtree(out, ignore_errors=True)
        summary = train(recipe, slices, None, out, device=work.device, execution=work.execution)
        count, device = work.steps * work.batch_size, choose(work.device).device
        _let_go(device)
        return {"seconds": summary.seconds, "slices": count, "gpu_mb": gpu_mb(device)}

    return once


def on_device(work: TrainWork) -> Callable[[], Tree]:
    """Forward, backward and Adam on a batch that stays: what this network can be trained at."""
    return _bare(work, work.execution)


def eager(work: TrainWork) -> Callable[[], Tree]:
    """The same without torch.compile."""
    return _bare(work, Execution(precision=work.precision, compile=False))


def numerics(work: TrainWork) -> Callable[[], Tree]:
    """The losses of a few epochs as training is carried out here, and in single precision."""
    out = Path(work.runs).with_name("numerics")

    def once() -> Tree:
        begun = time.perf_counter()
        learnt = learnt_both_ways(work.recipe, work.device, work.execution, out)
        return {"seconds": time.perf_counter() - begun, "learnt": learnt}

    return once


def gpu_mb(device: torch.device) -> Tree | None:
    """The most that this process has held of a GPU's memory, in 10⁶ bytes; None on a CPU, which has none.

    allocated: by tensors; reserved: by torch, which keeps what it frees.
    """
    if device.type != "cuda":
        return None
    most = {"allocated": torch.cuda.max_memory_allocated(device), "reserved": torch.cuda.max_memory_reserved(device)}
    return {name: round(count / 1e6) for name, count in most.items()}


def _bare(work: TrainWork, execution: Execution) -> Callable[[], Tree]:
    recipe, fabric, told = work.recipe, choose(work.device, execution.precision), _Told()
    classifier = SliceClassifier.seeded(recipe, 0).to(fabric.device)
    classifier.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    plain = torch.optim.Adam(classifier.parameters(), lr=recipe.fit.learning_rate, fused=True)
    bare = AugmentedClassifier(classifier, None)
    module, optimizer = fabric.setup(bare, plain)
    compiled = compile_where_it_works(bare, module, fabric, Ranks(), execution, work.batch_size, told)
    planes = torch.from_numpy(work.images[: work.batch_size].copy()).to(fabric.device)
    targets = torch.zeros((len(planes), len(recipe.classes)), device=fabric.device)
    loss_of = torch.nn.BCEWithLogitsLoss()
    about: Tree = {"device": _name(fabric.device), "precision": str(fabric.strategy.precision.precision)}
    about |= {"compiled": compiled, "compilation": " ".join(told.messages)}  # where training compiles

    def step() -> None:
        optimizer.zero_grad()
        fabric.backward(loss_of(module(planes), targets))
        optimizer.step()

    def once() -> Tree:
        module.train()
        step()  # which asks for the memory that was let go of
        _wait(fabric.device)
        begun = time.perf_counter()
        for _ in range(work.steps):
            step()
        _wait(fabric.device)
        seconds = time.perf_counter() - begun
        optimizer.zero_grad()
        _let_go(fabric.device)
        return {"seconds": seconds, "slices": work.steps * len(planes), "about": about}

    return once


def parts(work: TrainWork) -> Callable[[], Tree]:
    """Milliseconds of each part of a step, the device waited for after each, as no training does."""
    recipe, fabric = work.recipe, choose(work.device, work.precision)
    classifier = SliceClassifier.seeded(recipe, 0).to(fabric.device)
    classifier.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    plain = torch.optim.Adam(classifier.parameters(), lr=recipe.fit.learning_rate, fused=True)
    module, optimizer = fabric.setup(classifier, plain)
    module.mark_forward_method("logits")
    augmented, images = AugmentedClassifier(classifier, recipe.augmentation), work.images
    targets = torch.zeros((work.batch_size, len(recipe.classes)), device=fabric.device)
    rows, loss_of = iter(range(10**9)), torch.nn.BCEWithLogitsLoss()

    def once() -> Tree:
        module.train()
        augmented.train()
        batch = work.batches(next(rows))[0]
        marks = [time.perf_counter()]

        def mark() -> None:
            _wait(fabric.device)
            marks.append(time.perf_counter())

        planes = torch.from_numpy(images[batch])
        mark()
        planes = planes.to(fabric.device)
        mark()
        with torch.no_grad():
            unit = classifier.channels.unit(planes)
            unit = unit if augmented.augment is None else augmented.augment(unit)
        mark()
        loss = loss_of(module.logits(unit), targets[: len(unit)])
        mark()
        fabric.backward(loss)
        mark()
        optimizer.step()
        optimizer.zero_grad()
        mark()
        names = ("read", "to the device", "augment", "forward", "backward", "optimizer")
        took = {name: 1000 * (after - before) for name, before, after in zip(names, marks, marks[1:], strict=False)}
        del planes, unit, loss
        _let_go(fabric.device)
        return {"seconds": marks[-1] - marks[0], "slices": len(batch), "parts": took}

    return once


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _let_go(device: torch.device) -> None:
    """Give back the memory of a GPU that torch keeps after a round: another contender's process is asked next."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


@dataclass
class _Told:
    """A Progress that keeps what it is told."""

    messages: list[str] = field(default_factory=list)

    def task(self, description: str, total: float | None) -> "AbstractContextManager[_Told]":
        del description, total
        return nullcontext(self)

    def advance(self, amount: float = 1) -> None:
        del amount

    def note(self, text: str) -> None:
        del text

    def message(self, text: str) -> None:
        self.messages.append(text)


_WHAT: dict[str, Callable[[TrainWork], Callable[[], Tree]]] = {
    each.__name__: each for each in (fed, copied, trained, on_device, eager, parts, numerics)
}

if __name__ == "__main__":
    answer_when_asked(TrainWork, _WHAT, sys.argv)
