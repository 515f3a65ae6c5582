"""A run from end to end on a tiny set: what it leaves, how it resumes, and what it refuses."""

import json
import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ichnos.evaluation.metrics import slice_metrics
from ichnos.files import LOCK
from ichnos.models import load_checkpoint, load_classifier
from ichnos.recipe import SliceRecipe
from ichnos.training import TrainingSlices, TrainingSummary, predict, session, train

Parts = tuple[TrainingSlices, TrainingSlices]


class Recorder:
    """A Progress that remembers, and can do something after a given number of steps."""

    def __init__(self, at: int | None = None, act=None) -> None:
        self.messages: list[str] = []
        self.notes: list[str] = []
        self.steps = 0.0
        self.total: float | None = None
        self._at, self._act = at, act

    def task(self, description: str, total: float | None):
        self.total = total
        return nullcontext(self)

    def message(self, text: str) -> None:
        self.messages.append(text)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def advance(self, amount: float = 1) -> None:
        self.steps += amount
        if self.steps == self._at and amount:
            self._act()


class PowerCutError(Exception):
    """Stands for a process that dies without a chance to save."""


def cut() -> None:
    raise PowerCutError


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(path).tensors


def same(first: Path, second: Path) -> bool:
    ours, theirs = weights(first), weights(second)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def lines(run: Path) -> list[dict[str, Any]]:
    entries = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    for entry in entries:
        entry.pop("seconds")
    return entries


def assert_same_run(first: Path, second: Path) -> None:
    assert lines(first) == lines(second)
    assert same(first / "last.safetensors", second / "last.safetensors")
    for name in ("best.safetensors", "best_until_1.safetensors"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


@pytest.fixture(scope="module")
def whole(recipe: SliceRecipe, tiny: Parts, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Recorder]:
    """A run that nobody disturbed."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    recorder = Recorder()
    return run, train(recipe, *tiny, run, device="cpu", progress=recorder), recorder


def test_what_a_run_leaves(whole: tuple[Path, TrainingSummary, Recorder], recipe: SliceRecipe, tiny: Parts):
    run, summary, recorder = whole
    names = {path.name for path in run.iterdir() if path.name != LOCK}
    assert names == {
        "best.safetensors",
        "best_until_1.safetensors",
        "environment.json",
        "journal.jsonl",
        "last.safetensors",
        "recipe.json",
        "tensorboard",
    }
    assert SliceRecipe.model_validate_json((run / "recipe.json").read_text()) == recipe
    assert [(entry["epoch"], entry["step"]) for entry in summary.journal] == [(1, 3), (2, 6)]
    assert summary.journal[0]["training"]["n"] == 12
    assert summary.journal[0]["validation"]["n"] == 6
    losses = [entry["validation"]["loss_mean"] for entry in summary.journal]
    assert summary.best_validation_loss == min(losses)
    assert summary.best_epoch == losses.index(min(losses)) + 1
    assert (summary.epochs, summary.stopped_early) == (2, False)
    assert (recorder.steps, recorder.total) == (6, 6)
    assert recorder.notes[-1] == f"epoch 2/2, validation loss {losses[-1]:.4f}"
    environment = json.loads((run / "environment.json").read_text())
    assert environment["device"] == "cpu"
    assert environment["precision"] == "32-true"
    assert environment["seconds"] > 0
    assert list((run / "tensorboard").iterdir())


def test_the_best_checkpoint_predicts_what_the_journal_says(
    whole: tuple[Path, TrainingSummary, Recorder], recipe: SliceRecipe, tiny: Parts
):
    run, summary, _ = whole
    classifier, _, metadata = load_classifier(run / "best.safetensors")
    assert metadata["epoch"] == summary.best_epoch
    probabilities = predict(classifier, tiny[1].images, tiny[1].rows, device="cpu")
    measured = slice_metrics(probabilities, tiny[1].labels, recipe.classes)
    assert measured.loss_mean == pytest.approx(summary.best_validation_loss, rel=1e-4)
    assert measured.auc == summary.journal[summary.best_epoch - 1]["validation"]["auc"]


def test_nothing_held_back_trains_every_epoch_and_takes_the_last(recipe: SliceRecipe, tiny: Parts, tmp_path: Path):
    recorder = Recorder()
    patient = recipe.derive(**{"fit.patience": 1, "fit.milestones": []})
    summary = train(patient, tiny[0], None, tmp_path, device="cpu", progress=recorder)
    assert (summary.epochs, summary.best_epoch, summary.best_validation_loss) == (2, 2, None)
    assert [entry["validation"] for entry in summary.journal] == [None, None]
    assert "training loss" in recorder.notes[-1]
    last, best = weights(tmp_path / "last.safetensors"), weights(tmp_path / "best.safetensors")
    assert all(torch.equal(best[name], last[name]) for name in best)
    before = (tmp_path / "best.safetensors").stat().st_mtime_ns
    assert train(patient, tiny[0], None, tmp_path, device="cpu").epochs == 2
    assert (tmp_path / "best.safetensors").stat().st_mtime_ns == before


def test_a_run_that_stops_after_an_epoch_goes_the_longer_ones_way(recipe: SliceRecipe, tiny: Parts, tmp_path: Path):
    longer = recipe.derive(**{"fit.milestones": []})
    cut_off = longer.derive(**{"fit.stop_after": 1})
    assert (longer.fit.schedule, longer.fit.epochs, cut_off.fit.last_epoch) == ("cosine", 2, 1)
    whole = train(longer, tiny[0], None, tmp_path / "whole", device="cpu")
    summary = train(cut_off, tiny[0], None, tmp_path / "cut", device="cpu")
    assert (summary.epochs, summary.best_epoch, summary.stopped_early) == (1, 1, False)
    for key in ("learning_rate", "training", "step"):
        assert summary.journal[0][key] == whole.journal[0][key], key
    shorter = train(longer.derive(**{"fit.epochs": 1}), tiny[0], None, tmp_path / "short", device="cpu")
    assert shorter.journal[0]["learning_rate"] < summary.journal[0]["learning_rate"], "a cosine of its own"


def test_a_run_without_validation_goes_on_as_if_never_stopped(recipe: SliceRecipe, tiny: Parts, tmp_path: Path):
    alone = recipe.derive(**{"fit.milestones": []})
    train(alone, tiny[0], None, tmp_path / "whole", device="cpu")
    with pytest.raises(PowerCutError):
        train(alone, tiny[0], None, tmp_path / "cut", device="cpu", progress=Recorder(4, cut))
    train(alone, tiny[0], None, tmp_path / "cut", device="cpu")
    assert lines(tmp_path / "whole") == lines(tmp_path / "cut")
    assert same(tmp_path / "whole" / "best.safetensors", tmp_path / "cut" / "best.safetensors")


def test_the_best_epoch_by_auc(recipe: SliceRecipe, tiny: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The second epoch has the higher loss and the higher AUC."""
    real, losses, aucs = session.slice_metrics, iter([0.1, 0.2]), iter([0.6, 0.7])

    def metrics(probabilities, labels, classes):
        found = real(probabilities, labels, classes)
        if len(labels) != len(tiny[1]):
            return found
        return replace(found, loss_mean=next(losses), mean_auc=next(aucs))

    monkeypatch.setattr(session, "slice_metrics", metrics)
    summary = train(recipe.derive(**{"fit.best": "auc"}), *tiny, tmp_path / "auc", device="cpu")
    assert (summary.best_epoch, summary.best_validation_loss) == (2, 0.2)
    losses, aucs = iter([0.1, 0.2]), iter([0.6, 0.7])
    assert train(recipe, *tiny, tmp_path / "loss", device="cpu").best_epoch == 1


def test_same_seed_same_run_and_a_finished_one_is_left_alone(
    whole: tuple[Path, TrainingSummary, Recorder], recipe: SliceRecipe, tiny: Parts, tmp_path: Path
):
    before = torch.get_rng_state()
    train(recipe, *tiny, tmp_path / "again", device="cpu")
    assert torch.equal(before, torch.get_rng_state())
    assert_same_run(tmp_path / "again", whole[0])
    stamp = (whole[0] / "last.safetensors").stat().st_mtime_ns
    summary = train(recipe, *tiny, whole[0], device="cpu")
    assert (whole[0] / "last.safetensors").stat().st_mtime_ns == stamp
    assert summary == whole[1]


@pytest.mark.parametrize("save_each_step", [False, True])
def test_a_run_cut_off_at_many_steps_ends_as_one_left_alone(
    whole: tuple[Path, TrainingSummary, Recorder],
    recipe: SliceRecipe,
    tiny: Parts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    save_each_step: bool,
):
    if save_each_step:
        monkeypatch.setattr(session, "SECONDS_BETWEEN_SAVES", 0.0)
    for at in (2, 5) if save_each_step else (4,):
        with pytest.raises(PowerCutError):
            train(recipe, *tiny, tmp_path, device="cpu", progress=Recorder(at, cut))
    recorder = Recorder()
    train(recipe, *tiny, tmp_path, device="cpu", progress=recorder)
    assert "tiny: goes on where it stopped" in recorder.messages
    assert recorder.steps == 6
    assert_same_run(tmp_path, whole[0])


@pytest.mark.parametrize("cut_before", ["_save_best", "_keep_milestones", "_save_last"])
def test_a_run_cut_off_while_it_closes_an_epoch_ends_as_one_left_alone(
    whole: tuple[Path, TrainingSummary, Recorder],
    recipe: SliceRecipe,
    tiny: Parts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cut_before: str,
):
    with monkeypatch.context() as patch:
        patch.setattr(session.Session, cut_before, lambda *_: cut())
        with pytest.raises(PowerCutError):
            train(recipe, *tiny, tmp_path, device="cpu")
    train(recipe, *tiny, tmp_path, device="cpu")
    assert_same_run(tmp_path, whole[0])


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_stop_saves_and_the_run_goes_on(
    whole: tuple[Path, TrainingSummary, Recorder],
    recipe: SliceRecipe,
    tiny: Parts,
    tmp_path: Path,
    sent: signal.Signals,
):
    handler = signal.getsignal(sent)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, *tiny, tmp_path, device="cpu", progress=Recorder(2, lambda: signal.raise_signal(sent)))
    assert signal.getsignal(sent) is handler
    assert load_classifier(tmp_path / "last.safetensors")[2]["step"] == 2
    # at the last step of the first epoch, so that it is the evaluation that is broken off
    with pytest.raises(KeyboardInterrupt):
        train(recipe, *tiny, tmp_path, device="cpu", progress=Recorder(3, lambda: signal.raise_signal(sent)))
    assert load_classifier(tmp_path / "last.safetensors")[2]["state"]["step"] == 3
    train(recipe, *tiny, tmp_path, device="cpu")
    assert_same_run(tmp_path, whole[0])


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from ichnos.recipe import SliceRecipe
from ichnos.training import session, train
from tests.training.conftest import parts
from tests.training.test_training import Recorder

torch.set_num_threads(1)
session.SECONDS_BETWEEN_SAVES = 0.0
recipe = SliceRecipe.model_validate_json(sys.argv[1])
kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
train(recipe, *parts(10, 6, size=32), Path(sys.argv[2]), device="cpu", progress=Recorder(5, kill))
"""


def test_sigkill(whole: tuple[Path, TrainingSummary, Recorder], recipe: SliceRecipe, tiny: Parts, tmp_path: Path):
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", KILLED, recipe.model_dump_json(), str(tmp_path)]
    ended = subprocess.run(command, cwd=root, env=os.environ | {"PYTHONPATH": str(root)}, timeout=300, check=False)
    assert ended.returncode == -signal.SIGKILL
    train(recipe, *tiny, tmp_path, device="cpu")
    assert_same_run(tmp_path, whole[0])
