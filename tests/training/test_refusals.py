"""What training refuses or reports, and in which words."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from ichnos.errors import OutputError, TrainingError, WeightsError
from ichnos.models import SliceClassifier, load_checkpoint, save_checkpoint
from ichnos.recipe import SliceRecipe
from ichnos.training import TrainingSlices, predict, session, train
from ichnos.training.folder import RunFolder
from ichnos.training.loss import MultilabelLoss
from tests.training.test_training import Parts, Recorder


def short(recipe: SliceRecipe, **changes) -> SliceRecipe:
    return recipe.derive(**{"fit.epochs": 1, "fit.steps_per_epoch": 1, "fit.milestones": [], **changes})


def test_loss_that_is_not_finite_names_the_slices(
    recipe: SliceRecipe, tiny: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(MultilabelLoss, "forward", lambda _, logits, __: logits.sum() * float("nan"))
    with pytest.raises(TrainingError, match=r"loss of step 1 is nan.*rows \[\d+, \d+, \d+, \d+\]"):
        train(recipe, *tiny, tmp_path, device="cpu")
    assert not (tmp_path / "last.safetensors").exists()


def test_outputs_that_are_not_finite_in_validation(
    recipe: SliceRecipe, tiny: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(session, "probabilities_of", lambda *_: np.full((6, 5), np.nan))
    with pytest.raises(TrainingError, match="not finite on 6 validation slices"):
        train(short(recipe), *tiny, tmp_path, device="cpu")


def test_absent_class_is_reported_and_not_measured(recipe: SliceRecipe, tiny: Parts, tmp_path: Path):
    training, validation = tiny
    keep = ~validation.labels[:, 0]
    assert 0 < keep.sum() < len(keep)
    without = TrainingSlices(validation.images, validation.rows[keep], validation.labels[keep])
    recorder = Recorder()
    summary = train(short(recipe), training, without, tmp_path, device="cpu", progress=recorder)
    assert "no validation slice is epidural: its validation metrics are not defined" in recorder.messages
    assert summary.journal[0]["validation"]["auc"]["epidural"] is None


def test_early_stopping_and_milestones_beyond_it(
    recipe: SliceRecipe, tiny: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(session, "probabilities_of", lambda *_: np.full((6, 5), 0.5))
    changes = {"fit.epochs": 9, "fit.patience": 2, "fit.milestones": [2, 7], "sampling": "natural"}
    summary = train(short(recipe, **changes), *tiny, tmp_path, device="cpu")
    assert (summary.epochs, summary.best_epoch, summary.stopped_early) == (3, 1, True)
    best = (tmp_path / "best.safetensors").read_bytes()
    assert (tmp_path / "best_until_2.safetensors").read_bytes() == best
    assert (tmp_path / "best_until_7.safetensors").read_bytes() == best


def test_a_run_from_before_a_field_was_there_goes_on(recipe: SliceRecipe, tiny: Parts, tmp_path: Path):
    train(short(recipe), *tiny, tmp_path, device="cpu")
    tree = json.loads((tmp_path / "recipe.json").read_text())
    del tree["fit"]["best"]
    (tmp_path / "recipe.json").write_text(json.dumps(tree))
    assert train(short(recipe), *tiny, tmp_path, device="cpu").epochs == 1


def test_a_run_goes_on_whatever_its_recipe_is_called(recipe: SliceRecipe, tiny: Parts, tmp_path: Path):
    train(short(recipe), *tiny, tmp_path, device="cpu")
    renamed = short(recipe, name="renamed", title="Renamed")
    assert train(renamed, *tiny, tmp_path, device="cpu").epochs == 1


@pytest.mark.parametrize("told", [{"epoch": 3}, {"epoch": 1, "adapted": {"method": "batchnorm", "slices": 9}}])
def test_weights_that_were_not_trained_here_are_not_trained_over(
    recipe: SliceRecipe, tiny: Parts, tmp_path: Path, told: dict[str, object]
):
    best = tmp_path / "best.safetensors"
    save_checkpoint(best, SliceClassifier.seeded(short(recipe), 1), told)
    before = best.read_bytes()
    with pytest.raises(TrainingError, match="holds weights that were not trained there"):
        train(short(recipe), *tiny, tmp_path, device="cpu")
    assert best.read_bytes() == before
    save_checkpoint(best, SliceClassifier.seeded(short(recipe), 1), {"epoch": 1})  # killed before it said more
    assert train(short(recipe), *tiny, tmp_path, device="cpu").epochs == 1


def test_run_of_another_recipe_or_other_slices(recipe: SliceRecipe, tiny: Parts, tmp_path: Path):
    train(short(recipe), *tiny, tmp_path, device="cpu")
    with pytest.raises(TrainingError, match=r"another recipe \(fit.seed: 3 there, 4 here\)"):
        train(short(recipe, **{"fit.seed": 4}), *tiny, tmp_path, device="cpu")
    training, validation = tiny
    fewer = TrainingSlices(training.images, training.rows[:8], training.labels[:8])
    with pytest.raises(TrainingError, match="other slices"):
        train(short(recipe), fewer, validation, tmp_path, device="cpu")
    (tmp_path / "best.safetensors").unlink()
    with pytest.raises(TrainingError, match=r"best\.safetensors is gone"):
        train(short(recipe), *tiny, tmp_path, device="cpu")
    (tmp_path / "last.safetensors").write_bytes(b"torn")
    with pytest.raises(WeightsError, match=r"last\.safetensors is damaged"):
        train(short(recipe), *tiny, tmp_path, device="cpu")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: TrainingSlices(s.images, s.rows[:1], s.labels[:1]), "the training part has 1 slices, at least 2"),
        (lambda s: TrainingSlices(s.images[:, :, :16], s.rows, s.labels), "training images must be uint8 of shape"),
        (lambda s: TrainingSlices(s.images, s.rows, s.labels[:, :4]), r"labels must be of shape \(10, 5\)"),
        (lambda s: TrainingSlices(s.images[:2], s.rows, s.labels), "rows must lie in 0 to 1"),
    ],
)
def test_parts_that_do_not_fit(recipe: SliceRecipe, tiny: Parts, tmp_path: Path, change, message: str):
    with pytest.raises(TrainingError, match=message):
        train(recipe, change(tiny[0]), tiny[1], tmp_path, device="cpu")
    assert not list(tmp_path.iterdir())


def test_empty_validation(recipe: SliceRecipe, tiny: Parts, tmp_path: Path):
    training, validation = tiny
    empty = TrainingSlices(validation.images, validation.rows[:0], validation.labels[:0])
    with pytest.raises(TrainingError, match="the validation part has 0 slices, at least 1"):
        train(recipe, training, empty, tmp_path, device="cpu")


def test_a_full_disk_stops_training_and_with_room_it_goes_on(
    recipe: SliceRecipe, tiny: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """At every fourth of the files that a run makes sure of: what comes out is what a run left alone gives."""
    small = recipe.derive(**{"network.backbone": "small-cnn", "network.head.hidden": None})
    flush, done, full_at = os.fsync, 0, 10**9

    def fsync(descriptor: int) -> None:
        nonlocal done
        done += 1
        if done >= full_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    whole = train(small, *tiny, tmp_path / "whole", device="cpu")
    expected, files = load_checkpoint(tmp_path / "whole" / "last.safetensors").tensors, done
    assert files > 6
    for at in range(1, files + 1, 4):
        run, done, full_at = tmp_path / f"full-{at}", 0, at
        with pytest.raises(OutputError, match=r"the disk is full: .* could not be written; what was finished"):
            train(small, *tiny, run, device="cpu")
        full_at = 10**9
        assert not list(run.glob("**/.*.tmp")), "nothing half written stays"
        again = train(small, *tiny, run, device="cpu")
        tensors = load_checkpoint(run / "last.safetensors").tensors
        assert all(torch.equal(tensors[name], expected[name]) for name in expected)
        assert [each["training"] for each in again.journal] == [each["training"] for each in whole.journal]


def test_two_trainings_in_one_folder(recipe: SliceRecipe, tiny: Parts, tmp_path: Path):
    with RunFolder(tmp_path / "run").held(), pytest.raises(OutputError, match="another process is at work"):
        train(recipe, *tiny, tmp_path / "run", device="cpu")


@pytest.mark.parametrize(
    ("room", "said"), [(2, r"batches of 4 slices; 2 fit: give --set fit\.batch_size=2"), (1, "2 do not fit either")]
)
def test_memory_that_runs_out_says_which_batch_fits(
    room: int, said: str, recipe: SliceRecipe, tiny: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    learnt = MultilabelLoss.forward

    def small(self: MultilabelLoss, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if len(logits) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return learnt(self, logits, targets)

    monkeypatch.setattr(MultilabelLoss, "forward", small)
    with pytest.raises(TrainingError, match=said):
        train(recipe, *tiny, tmp_path, device="cpu")
    assert not (tmp_path / "last.safetensors").exists(), "weights that a trial moved are not kept"


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that has room for training, and none for what comes after it."""
    said = SliceClassifier.logits

    def out_of_memory(self: SliceClassifier, unit: torch.Tensor) -> torch.Tensor:
        if not self.training:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return said(self, unit)

    monkeypatch.setattr(SliceClassifier, "logits", out_of_memory)


@pytest.mark.usefixtures("crowded")
@pytest.mark.parametrize(
    ("anew", "work", "asked"),
    [(False, "validation", "batches of 64 slices: .*give the same command again"), (True, "BatchNorm's", "10 slices")],
)
def test_memory_that_runs_out_after_an_epoch_says_in_what(
    anew: bool, work: str, asked: str, recipe: SliceRecipe, tiny: Parts, tmp_path: Path
):
    with pytest.raises(
        TrainingError, match=f"out of memory on cpu in .*{work}.*, with .*{asked}.*a computer that has more"
    ):
        train(short(recipe, **{"fit.reestimate_batchnorm": anew}), *tiny, tmp_path, device="cpu")


@pytest.mark.usefixtures("crowded")
def test_memory_that_runs_out_in_prediction(recipe: SliceRecipe, tiny: Parts):
    classifier = SliceClassifier.seeded(recipe, 0)
    with pytest.raises(TrainingError, match="in prediction, with batches of 3 slices"):
        predict(classifier, tiny[1].images, tiny[1].rows, batch_size=3, device="cpu")
    assert classifier.training, "given back as it was"


def test_memory_that_runs_out_before_the_first_step(
    recipe: SliceRecipe, tiny: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def out_of_memory(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(MultilabelLoss, "to", out_of_memory)
    with pytest.raises(TrainingError, match="in training, with batches of 4 slices"):
        train(short(recipe), *tiny, tmp_path, device="cpu")
