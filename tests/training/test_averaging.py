"""Averaged weights: what they are, that they are what is kept, and that a stop changes nothing."""

from pathlib import Path

import pytest
import torch
from torch import nn

from ichnos.evaluation.metrics import slice_metrics
from ichnos.models import load_classifier
from ichnos.models.checkpoint import load_checkpoint
from ichnos.recipe import Averaging, SliceRecipe
from ichnos.training import TrainingSlices, predict, train
from ichnos.training.averaging import AveragedWeights
from tests.training.test_training import PowerCutError, Recorder, cut, lines, same

Parts = tuple[TrainingSlices, TrainingSlices]
KINDS = [{"kind": "ema", "decay": 0.9}, {"kind": "swa"}]


def network(value: float) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(1)
    return put(norm, value)


def put(norm: nn.BatchNorm2d, value: float) -> nn.BatchNorm2d:
    with torch.no_grad():
        norm.weight.fill_(value)
        norm.running_mean.fill_(value)
        norm.num_batches_tracked.fill_(int(value))
    return norm


def test_a_moving_average_forgets_its_first_weights_and_then_moves_slowly():
    norm = network(0)
    averaged = AveragedWeights(Averaging(decay=0.5), norm)
    expected = 0.0
    for step in range(1, 20):
        put(norm, step)
        averaged.after_step(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    with averaged.judged(epoch=1):
        assert norm.weight.item() == pytest.approx(expected)
        assert norm.running_mean.item() == pytest.approx(expected)
        assert norm.num_batches_tracked.item() == 19
    assert norm.weight.item() == 19


def test_the_mean_of_epochs_from_one_on():
    norm = network(0)
    averaged = AveragedWeights(Averaging(kind="swa", start=3), norm)
    seen = []
    for epoch in range(1, 6):
        put(norm, 10 * epoch)
        averaged.after_step(epoch)
        with averaged.judged(epoch):
            seen.append(norm.weight.item())
    assert seen == pytest.approx([10, 20, 30, 35, 40])


@pytest.mark.parametrize("averaging", KINDS)
def test_an_end_of_epoch_that_was_broken_off_does_not_count(averaging: dict[str, str]):
    norm = network(0)
    averaged = AveragedWeights(Averaging.model_validate(averaging), norm)
    put(norm, 10)
    with averaged.judged(1):
        pass
    before = {name: tensor.clone() for name, tensor in averaged.tensors().items()}
    put(norm, 20)
    with pytest.raises(KeyboardInterrupt), averaged.judged(2):
        raise KeyboardInterrupt
    assert norm.weight.item() == 20
    assert all(torch.equal(before[name], tensor) for name, tensor in averaged.tensors().items())


@pytest.mark.parametrize("averaging", KINDS)
def test_what_is_kept_is_averaged_and_predicts_what_the_journal_says(
    recipe: SliceRecipe, tiny: Parts, tmp_path: Path, averaging: dict[str, str]
):
    with_average = recipe.derive(**{"fit.averaging": averaging, "fit.reestimate_batchnorm": False})
    summary = train(with_average, *tiny, tmp_path, device="cpu")
    classifier, _, metadata = load_classifier(tmp_path / "best.safetensors")
    last = load_checkpoint(tmp_path / "last.safetensors").classifier_tensors()
    assert not torch.equal(classifier.state_dict()["head.hidden.weight"], last["head.hidden.weight"])
    probabilities = predict(classifier, tiny[1].images, tiny[1].rows, device="cpu")
    loss = slice_metrics(probabilities, tiny[1].labels, recipe.classes).loss_mean
    assert loss == pytest.approx(summary.journal[metadata["epoch"] - 1]["validation"]["loss_mean"], rel=1e-5)


@pytest.mark.parametrize("averaging", KINDS)
@pytest.mark.parametrize("at", [2, 4])
def test_a_run_cut_off_ends_as_one_left_alone(
    recipe: SliceRecipe, tiny: Parts, tmp_path: Path, averaging: dict[str, str], at: int
):
    with_average = recipe.derive(**{"fit.averaging": averaging, "augmentation.mixup": 0.4})
    train(with_average, *tiny, tmp_path / "whole", device="cpu")
    with pytest.raises(PowerCutError):
        train(with_average, *tiny, tmp_path / "cut", device="cpu", progress=Recorder(at, cut))
    train(with_average, *tiny, tmp_path / "cut", device="cpu")
    assert lines(tmp_path / "whole") == lines(tmp_path / "cut")
    for name in ("best.safetensors", "last.safetensors"):
        assert same(tmp_path / "whole" / name, tmp_path / "cut" / name)
