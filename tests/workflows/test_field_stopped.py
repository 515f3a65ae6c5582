"""A field that was stopped again and again, and given again: it goes on, trains nothing twice, and ends the same."""

import json
import shutil
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from ichnos.data.preparing import prepare
from ichnos.data.splits import split
from ichnos.models.checkpoint import load_checkpoint
from ichnos.progress import SILENT, Progress, Task
from ichnos.training.session import Session
from ichnos.workflows.field import FieldOptions, study_field
from tests.data.in_memory import InMemorySource
from tests.workflows.test_field import SLICE, recipe_file

pytestmark = pytest.mark.usefixtures("one_thread", "undrawn", "unexported")

Step = tuple[str, int, int]
"""A run's folder under the study's, and the epoch and step of it that was trained."""


class StopAt:
    """Progress at which Ctrl-C is pressed: at the n-th time that something is said, or a task goes on, of this name."""

    def __init__(self, name: str, n: int = 1) -> None:
        self._name, self._left = name, n

    def task(self, description: str, total: float | None) -> AbstractContextManager[Task]:
        del total
        return nullcontext(_Watched(description, self))

    def message(self, text: str) -> None:
        if text.startswith(self._name):
            self._left -= 1
            if self._left == 0:
                signal.raise_signal(signal.SIGINT)


class _Watched:
    def __init__(self, name: str, watcher: StopAt) -> None:
        self._name, self._watcher = name, watcher

    def advance(self, amount: float = 1) -> None:
        if amount:
            self._watcher.message(self._name)

    def note(self, text: str) -> None:
        del text


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Ctrl-C is heard where the tests were begun deaf to it too, as a shell begins what it puts into the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True, scope="module")
def few_resamples() -> Iterator[None]:
    """Nobody looks at an interval."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ichnos.workflows.field_pairs.RESAMPLES", 200)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stopped")
    made = prepare(InMemorySource(exams=24, slices=3), folder / "set", SILENT, workers=1)
    split(made, seed=0, folds=3)
    return folder


@pytest.fixture(scope="module")
def options(folder: Path) -> FieldOptions:
    """The cascade's gate is the recipe before it, whose runs it takes over."""
    gate, second = ({f"{stage}.{name}": value for name, value in SLICE.items()} for stage in ("gate", "subtypes"))
    three = recipe_file(folder, "three", "reader", **SLICE)
    return FieldOptions((three, recipe_file(folder, "two_stages", "cascade", **gate, **second)))


def study(folder: Path, out: str, options: FieldOptions, steps: list[Step], progress: Progress = SILENT) -> None:
    """steps: to which every step is added that is trained."""
    trained = Session._train_step

    def noted(session: Session, positions: NDArray[Any], planes: Tensor, targets: Tensor) -> None:
        where = session.folder.path.relative_to(folder / out).as_posix()
        steps.append((where, session.state.epoch, session.state.step))
        trained(session, positions, planes, targets)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "_train_step", noted)
        study_field(folder / "set", folder / out, options, progress, device="cpu")


@pytest.fixture(scope="module")
def whole(folder: Path, options: FieldOptions) -> list[Step]:
    """The steps of one that nobody stopped."""
    steps: list[Step] = []
    study(folder, "whole", options, steps)
    return steps


def told(folder: Path) -> Any:
    """A scorecard, without what no two sittings have in common: how long it took, and where it lies."""

    def without(tree: Any) -> Any:
        if isinstance(tree, dict):
            return {name: without(each) for name, each in tree.items() if name not in ("seconds", "command")}
        return [without(each) for each in tree] if isinstance(tree, list) else tree

    return without(json.loads((folder / "scorecard.json").read_text()))


def see_that_they_are_the_same(ours: Path, theirs: Path) -> None:
    assert told(ours) == told(theirs)
    for name in ("three", "two_stages"):
        assert told(ours / name) == told(theirs / name)
        for table in ("out_of_fold", "slices", "exams"):
            assert (ours / name / f"{table}.parquet").read_bytes() == (theirs / name / f"{table}.parquet").read_bytes()
    runs = sorted(path.relative_to(theirs) for path in theirs.rglob("best.safetensors"))
    assert len(runs) == 9
    assert sorted(path.relative_to(ours) for path in ours.rglob("best.safetensors")) == runs
    for run in runs:
        mine, other = (load_checkpoint(each / run).tensors for each in (ours, theirs))
        assert all(torch.equal(mine[key], other[key]) for key in other)


STOPS = {
    "before anything is trained": StopAt("three: "),
    "in the second epoch of the second fold": StopAt("Training three", 7),
    "when a recipe is trained, before it is measured": StopAt("Measuring all folds together"),
    "between two recipes": StopAt("two_stages: Tiny"),
    "in the second stage of the first fold": StopAt("Training cascade_subtypes", 3),
    "when all are measured, before they are compared": StopAt("Differences"),
}


def test_it_goes_on_wherever_it_was_stopped(folder: Path, options: FieldOptions, whole: list[Step]) -> None:
    steps: list[Step] = []
    for where, stop in STOPS.items():
        with pytest.raises(KeyboardInterrupt):
            study(folder, "again", options, steps, stop)
        assert not (folder / "again" / "scorecard.json").exists(), where
    study(folder, "again", options, steps)
    assert steps == whole, "each step once, in the same order"
    see_that_they_are_the_same(folder / "again", folder / "whole")


@pytest.mark.slow
def test_a_run_that_was_half_taken_over_is_none(
    folder: Path, options: FieldOptions, whole: list[Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies while it copies what another recipe has trained; nothing of that is trained again."""
    steps: list[Step] = []
    with pytest.raises(KeyboardInterrupt):
        study(folder, "copied", options, steps, StopAt("two_stages: Tiny"))
    copied, files = shutil.copyfile, list[str]()

    def dying(source: Path, target: Path) -> None:
        files.append(str(source))
        copied(source, target)
        if len(files) == 8:  # of five a run: in the midst of the second
            target.write_bytes(target.read_bytes()[:100])
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", dying)
        with pytest.raises(KeyboardInterrupt):
            study(folder, "copied", options, steps)
    study(folder, "copied", options, steps)
    assert steps == whole
    see_that_they_are_the_same(folder / "copied", folder / "whole")
