"""Our side of `ichnos bench train`, as a contender: `python -m ichnos.workflows.bench.train_own WORK WHAT`.

WHAT: `fed`, batches as training reads them, with nothing made of them; `cold` and `raw`, that and the bare bytes from
the disk (train_cold.py); `copied`, the same bytes copied in memory; `trained`, Model 2 as `ichnos train` trains it;
`on_device`, the same network on one batch that lies on the device; `eager`, that without torch.compile; `parts`, what a
step takes, part by part; `numerics`, whether it learns what single precision does.
"""

import shutil
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from ichnos.models.classifier import SliceClassifier
from ichnos.training import train
from ichnos.training.augmentation import AugmentedClassifier
from ichnos.training.batches import read_ahead
from ichnos.training.compilation import compile_where_it_works
from ichnos.training.devices import Execution, choose
from ichnos.training.ranks import Ranks
from ichnos.training.slices import TrainingSlices
from ichnos.workflows.bench.contenders import answer_when_asked
from ichnos.workflows.bench.train_cold import AT_LEAST, cold, raw
from ichnos.workflows.bench.train_numerics import learnt_both_ways
from ichnos.workflows.bench.train_work import TrainWork

Tree = dict[str, Any]

_COPIED = 2048
"""Slices that are copied over and over, or all where there are fewer: 103 MB at 224 px, beyond a processor's caches."""


def fed(work: TrainWork) -> Callable[[], Tree]:
    """As training reads: all slices in random order, some batches ahead, onto the device; again where they are few."""
    device, images, rounds = choose(work.device).device, work.images, iter(range(10**9))

    def once() -> Tree:
        seconds, count = 0.0, 0
        while not count or seconds < AT_LEAST:
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
        while not count or seconds < AT_LEAST:
            for piece in pieces:
                np.copyto(target[: len(piece)], piece)
            seconds, count = time.perf_counter() - begun, count + len(source)
        return {"seconds": seconds, "slices": count}

    return once


def trained(work: TrainWork) -> Callable[[], Tree]:
    """A whole run: reading, augmentation, steps, metrics, checkpoints. `seconds` are those of the steps that are timed,
    all that happens between two of them included; `beside` those of the rest, which a longer run has no more of."""
    recipe, out = work.recipe, Path(work.runs)
    labels = np.random.default_rng(1).random((work.slices, len(recipe.classes))) < 0.2
    slices = TrainingSlices(work.images, np.arange(work.slices), labels)

    def once() -> Tree:
        shutil.rmtree(out, ignore_errors=True)
        device = choose(work.device).device
        clock = _StepClock(device, work.untimed, work.untimed + work.steps)
        summary = train(recipe, slices, None, out, device=work.device, execution=work.execution, progress=clock)
        _let_go(device)
        seconds, count = clock.seconds, work.steps * work.batch_size
        beside = summary.seconds - seconds
        return {"seconds": seconds, "slices": count, "beside": beside, "gpu_mb": gpu_mb(device)}

    return once


def on_device(work: TrainWork) -> Callable[[], Tree]:
    """Forward, backward and Adam on a batch that stays: what this network can be trained at. Half as many steps."""
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
    loss_of, half = torch.nn.BCEWithLogitsLoss(), -(-work.steps // 2)  # it is asked twice a round
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
        for _ in range(half):
            step()
        _wait(fabric.device)
        seconds = time.perf_counter() - begun
        optimizer.zero_grad()
        _let_go(fabric.device)
        return {"seconds": seconds, "slices": half * len(planes), "about": about}

    return once


def parts(work: TrainWork) -> Callable[[], Tree]:
    """Milliseconds of each part of a step, the device waited for after each, as no training does."""
    recipe, fabric = work.recipe, choose(work.device, work.execution.precision)
    classifier = SliceClassifier.seeded(recipe, 0).to(fabric.device)
    classifier.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    plain = torch.optim.Adam(classifier.parameters(), lr=recipe.fit.learning_rate, fused=True)
    augmented, images = AugmentedClassifier(classifier, recipe.augmentation), work.images
    module, optimizer = fabric.setup(augmented, plain)
    compile_where_it_works(augmented, module, fabric, Ranks(), work.execution, work.batch_size, _Told())
    targets = torch.zeros((work.batch_size, len(recipe.classes)), device=fabric.device)
    rows, loss_of = iter(range(10**9)), torch.nn.BCEWithLogitsLoss()

    def once() -> Tree:
        module.train()
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
        with fabric.autocast():
            loss = loss_of(augmented.logits(unit).float(), targets[: len(unit)])
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


class _Told:
    """A Progress that keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def task(self, description: str, total: float | None) -> AbstractContextManager[Self]:
        del description, total
        return nullcontext(self)

    def advance(self, amount: float = 1) -> None:
        del amount

    def note(self, text: str) -> None:
        del text

    def message(self, text: str) -> None:
        self.messages.append(text)


class _StepClock(_Told):
    """A Progress that notes when training has done step `first` and step `last`, the device waited for these twice."""

    def __init__(self, device: torch.device, first: int, last: int) -> None:
        super().__init__()
        self._device, self._steps = device, 0.0
        self._marks: dict[float, float | None] = {first: None, last: None}

    @property
    def seconds(self) -> float:
        """Between the two."""
        first, last = self._marks.values()
        assert first is not None  # training is over, and so has done all steps
        assert last is not None
        return last - first

    def advance(self, amount: float = 1) -> None:
        self._steps += amount
        if self._steps in self._marks:
            _wait(self._device)
            self._marks[self._steps] = time.perf_counter()


_WHAT: dict[str, Callable[[TrainWork], Callable[[], Tree]]] = {
    each.__name__: each for each in (fed, cold, raw, copied, trained, on_device, eager, parts, numerics)
}

if __name__ == "__main__":
    answer_when_asked(TrainWork, _WHAT, sys.argv)
