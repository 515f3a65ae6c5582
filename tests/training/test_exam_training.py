"""Training of networks of exams: resumed = uninterrupted, reproducible, it learns, and what it refuses."""

import dataclasses
import json
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch

from ichnos import recipes
from ichnos.errors import TrainingError
from ichnos.models.exam_checkpoint import load_exam_checkpoint, load_exam_network
from ichnos.models.exam_network import ExamNetwork
from ichnos.recipe import ExamRecipe, SequenceHead
from ichnos.training.exam_loop import train_exam_network
from ichnos.training.exam_session import ExamSession, answers_of
from ichnos.training.exam_slices import ExamSlices, batch_of
from ichnos.training.interruption import Interrupted
from ichnos.training.journal import read_journal
from ichnos.training.loop import TrainingSummary

RECIPE = ExamRecipe(
    name="tiny",
    title="Tiny",
    slices=recipes.find("reader").of_one_model,
    head=SequenceHead(hidden=8),
).derive(**{"fit.epochs": 4, "fit.batch_size": 3, "fit.learning_rate": 0.01})


def part(seed: int, *lengths: int, maps: bool = False) -> ExamSlices:
    """Exams in which a lesion fills three slices, and the slice stage sees only the middle one."""
    draw = np.random.default_rng(seed)
    lengths = lengths or (6, 1, 9, 7, 12, 5, 8, 10)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    labels = np.zeros((starts[-1], 6), dtype=np.bool_)
    features = draw.normal(size=(starts[-1], 5)).astype(np.float32)
    for first, length in zip(starts[:-1], lengths, strict=True):
        if length > 4 and draw.random() < 0.7:
            middle = first + draw.integers(1, length - 1)
            labels[middle - 1 : middle + 2, [1, 5]] = True
            features[middle, 0] += 6
    return ExamSlices(
        rows=np.arange(starts[-1]),
        starts=starts,
        offsets=np.concatenate([np.arange(length) * 5.0 - 40 for length in lengths]),
        labels=labels,
        features=features,
        logits=np.full((starts[-1], 6), -2, dtype=np.float32),
        maps=draw.random((starts[-1], 6, 2, 2), dtype=np.float32) if maps else None,
        made_by="a slice stage",
    )


def trained(run: Path, recipe: ExamRecipe = RECIPE, *, maps: bool = False) -> TrainingSummary:
    return train_exam_network(recipe, part(1, maps=maps), part(2, maps=maps), run, device="cpu")


def written(run: Path) -> tuple[dict[str, torch.Tensor], list[dict[str, object]]]:
    """Every tensor of `last` and `best`, and the journal without its clock."""
    files = {name: load_exam_checkpoint(run / f"{name}.safetensors").tensors for name in ("last", "best")}
    tensors = {f"{file}.{name}": tensor for file, each in files.items() for name, tensor in each.items()}
    return tensors, [{**entry, "seconds": None} for entry in read_journal(run / "journal.jsonl")]


def same(one: Path, two: Path) -> None:
    (first, journal), (second, other) = written(one), written(two)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert journal == other


@pytest.mark.parametrize("kind", ["gru", "conv-lstm", "two-stage"])
def test_a_resumed_run_equals_one_left_alone(kind: str, tmp_path: Path) -> None:
    recipe = RECIPE.derive(**{"head.kind": kind, "head.layers": 2})
    maps = kind == "conv-lstm"
    trained(tmp_path / "whole", recipe, maps=maps)
    step, steps = ExamSession._train_step, iter(range(100))

    def stopping(session: ExamSession, *given: object) -> object:
        if next(steps) == 7:  # in the midst of the third epoch
            raise Interrupted
        return step(session, *given)  # type: ignore[arg-type]

    with patch.object(ExamSession, "_train_step", stopping), pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "stopped", recipe, maps=maps)
    assert len(read_journal(tmp_path / "stopped" / "journal.jsonl")) == 2
    trained(tmp_path / "stopped", recipe, maps=maps)
    same(tmp_path / "whole", tmp_path / "stopped")


def test_the_same_seed_gives_the_same_and_another_one_does_not(tmp_path: Path) -> None:
    trained(tmp_path / "one")
    trained(tmp_path / "two")
    same(tmp_path / "one", tmp_path / "two")
    trained(tmp_path / "other", RECIPE.derive(**{"fit.seed": 1}))
    with pytest.raises(AssertionError):
        same(tmp_path / "one", tmp_path / "other")


@pytest.mark.slow
def test_it_learns_what_only_neighbours_show(tmp_path: Path) -> None:
    changes = {"fit.epochs": 30, "fit.batch_size": 10, "fit.patience": None, "fit.learning_rate": 0.03}
    recipe = RECIPE.derive(**changes, **{"fit.subsampling": 0.0, "head.dropout": 0.0})
    training = part(5, *([9] * 40))
    train_exam_network(recipe, training, part(6, *([9] * 20)), tmp_path, device="cpu")
    network, _ = load_exam_network(tmp_path / "best.safetensors")
    unseen = part(7, *([9] * 20))
    said = answers_of(network, unseen, torch.device("cpu"))[:, 1]
    beside = unseen.labels[:, 1] & (unseen.features[:, 0] < 3)
    assert np.mean(said[beside][:, None] > said[~unseen.labels[:, 1]][None, :]) > 0.85


def test_validation_chooses_the_epoch_and_patience_ends_the_run(tmp_path: Path) -> None:
    summary = trained(tmp_path, RECIPE.derive(**{"fit.epochs": 30, "fit.patience": 1, "fit.learning_rate": 0.3}))
    losses = [entry["validation"]["loss_mean"] for entry in summary.journal]
    assert summary.stopped_early
    assert summary.best_epoch == 1 + int(np.argmin(losses)) == summary.epochs - 1
    assert summary.best_validation_loss == min(losses)


def test_without_validation_the_last_weights_are_kept(tmp_path: Path) -> None:
    summary = train_exam_network(RECIPE, part(1), None, tmp_path, device="cpu")
    assert (summary.best_epoch, summary.best_validation_loss) == (4, None)
    assert json.loads((tmp_path / "journal.jsonl").read_text().splitlines()[0])["validation"] is None


def test_exams_are_thinned_and_reversed_as_the_recipe_says() -> None:
    given = part(1, 5)
    fit = RECIPE.fit.model_copy(update={"reversal": 1.0, "subsampling": 1.0})
    seen = set()
    for seed in range(12):
        batch = batch_of(given, [0], torch.device("cpu"), fit, np.random.default_rng(seed))
        seen.add(tuple(batch.rows.tolist()))
        assert batch.exams.offsets[0].tolist() == [10.0 * k for k in range(len(batch.rows))]
        np.testing.assert_array_equal(batch.exams.features[0].numpy(), given.features[batch.rows])
        np.testing.assert_array_equal(batch.targets(given).numpy(), given.labels[batch.rows])
    assert seen == {(4, 2, 0), (3, 1)}
    plain = batch_of(given, [0], torch.device("cpu"))
    assert plain.rows.tolist() == [0, 1, 2, 3, 4]


def test_an_exam_of_one_slice_is_never_thinned_away() -> None:
    fit = RECIPE.fit.model_copy(update={"reversal": 1.0, "subsampling": 1.0})
    for seed in range(4):
        batch = batch_of(part(1, 1), [0], torch.device("cpu"), fit, np.random.default_rng(seed))
        assert (batch.rows.tolist(), batch.exams.offsets.tolist()) == ([0], [[0.0]])


def test_what_is_refused(tmp_path: Path) -> None:
    bad = part(1)
    bad.features[3, 0] = np.nan
    with pytest.raises(TrainingError, match=r"1 training slices is not finite, rows \[3\]"):
        train_exam_network(RECIPE, bad, None, tmp_path, device="cpu")
    none = dataclasses.replace(part(1), starts=np.zeros(1, dtype=np.int64))
    with pytest.raises(TrainingError, match="validation part has no exams"):
        train_exam_network(RECIPE, part(1), none, tmp_path, device="cpu")
    trained(tmp_path)
    with pytest.raises(TrainingError, match="on other slices or over another slice stage"):
        train_exam_network(RECIPE, dataclasses.replace(part(1), made_by="x"), part(2), tmp_path, device="cpu")
    with pytest.raises(TrainingError, match=r"another recipe \(head\.hidden: 8 there, 4 here\)"):
        trained(tmp_path, RECIPE.derive(**{"head.hidden": 4}))


@pytest.mark.parametrize(
    ("learning", "said"),
    [
        (True, "in training of a network of exams, with batches of 3 exams: .*lower fit.batch_size"),
        (False, "in prediction by a network of exams, with one exam at a time"),
    ],
)
def test_memory_that_runs_out_says_in_what(
    learning: bool, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = ExamNetwork.forward

    def out_of_memory(self: ExamNetwork, *given: object) -> object:
        if self.training is learning:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return answered(self, *given)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(ExamNetwork, "forward", out_of_memory)
    with pytest.raises(TrainingError, match=said):
        trained(tmp_path)
