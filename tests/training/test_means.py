"""By what means a run learns: how images and weights lie in memory, which Adam, and the loss scale of fp16."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision.amp import MixedPrecision
from torch import Tensor, nn

from ichnos.ct.windows import BRAIN
from ichnos.models import load_checkpoint
from ichnos.networks import Head
from ichnos.recipe import Fit, InputSpec, Network, SliceRecipe
from ichnos.training import train
from ichnos.training.exam_loop import train_exam_network
from ichnos.training.exam_session import ExamSession
from ichnos.training.session import Session
from tests.training.test_exam_training import RECIPE as EXAM_RECIPE
from tests.training.test_exam_training import part
from tests.training.test_training import Parts, PowerCutError, Recorder, cut, lines, same


@pytest.fixture(scope="module")
def small() -> SliceRecipe:
    """Two epochs of three steps."""
    return SliceRecipe(
        name="small",
        title="Small",
        input=InputSpec(windows=(BRAIN,), size=32),
        network=Network(backbone="small-cnn", init="random", head=Head(hidden=None, dropout=0.0)),
        fit=Fit(learning_rate=1e-3, batch_size=4, epochs=2, patience=None, seed=3),
    )


def before_each_step(monkeypatch: pytest.MonkeyPatch, session: type, look: Callable[[Any], object]) -> None:
    step = session._train_step

    def looked(self: Any, *given: Any) -> Any:
        look(self)
        return step(self, *given)

    monkeypatch.setattr(session, "_train_step", looked)


def in_channels_last(tensor: Tensor) -> bool:
    """And in no other layout."""
    return tensor.is_contiguous(memory_format=torch.channels_last) and not tensor.is_contiguous()


def test_images_lie_channels_last(
    small: SliceRecipe, tiny: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights and feature maps: a third faster on a CPU, and as a GPU's tensor cores take them."""
    weights: list[Tensor] = []
    maps: list[Tensor] = []

    def look(session: Session) -> None:
        for layer in session.classifier.modules():
            if isinstance(layer, nn.Conv2d) and min(layer.weight.shape) > 1:  # of others both layouts are the same
                weights.append(layer.weight)
                layer.register_forward_hook(lambda _, __, said: maps.append(said))

    before_each_step(monkeypatch, Session, look)
    train(small.derive(**{"fit.epochs": 1, "fit.steps_per_epoch": 1}), tiny[0], None, tmp_path, device="cpu")
    assert len(weights) == len(maps) > 0
    assert all(in_channels_last(each) for each in weights + maps)


def test_adam_is_torchs_fused_one(
    small: SliceRecipe, tiny: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of slices and of exams."""
    found: list[Any] = []
    before_each_step(monkeypatch, Session, lambda session: found.append(session.plain_optimizer))
    before_each_step(monkeypatch, ExamSession, lambda session: found.append(session.optimizer))
    train(small.derive(**{"fit.epochs": 1, "fit.steps_per_epoch": 1}), tiny[0], None, tmp_path / "s", device="cpu")
    train_exam_network(EXAM_RECIPE.derive(**{"fit.epochs": 1}), part(1), None, tmp_path / "e", device="cpu")
    assert len(found) == 1 + 3
    assert all(group["fused"] for each in found for group in each.param_groups)


class Scaled(MixedPrecision):
    """fp16's scale of losses, without its floats, which are slow on a CPU."""

    def forward_context(self) -> AbstractContextManager[None]:
        return nullcontext()

    def convert_input(self, data: Any) -> Any:
        return data


def test_a_run_that_was_begun_in_another_precision_goes_on_with_a_scale_of_its_own(
    small: SliceRecipe, tiny: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PowerCutError):
        train(small, tiny[0], None, tmp_path, progress=Recorder(4, cut))
    assert load_checkpoint(tmp_path / "last.safetensors").metadata["scaler"] == {}
    fabric = Fabric(
        accelerator="cpu",
        devices=1,
        plugins=[Scaled("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=1024.0))],
    )
    monkeypatch.setattr("ichnos.training.loop.choose_all", lambda *_: fabric)
    train(small, tiny[0], None, tmp_path)
    assert load_checkpoint(tmp_path / "last.safetensors").metadata["scaler"]["scale"] == 1024


def test_the_loss_scale_goes_on_where_it_stood(
    small: SliceRecipe, tiny: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It grows after four steps that went well, of six in all."""

    def scaled(*_: object) -> Fabric:
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=4)
        return Fabric(accelerator="cpu", devices=1, plugins=[Scaled("16-mixed", "cpu", scaler)])

    monkeypatch.setattr("ichnos.training.loop.choose_all", scaled)
    scales: list[float] = []
    before_each_step(
        monkeypatch, Session, lambda session: scales.append(session.fabric.strategy.precision.scaler.get_scale())
    )
    train(small, tiny[0], None, tmp_path / "whole")
    assert scales == [1024] * 4 + [2048] * 2
    scales.clear()
    with pytest.raises(PowerCutError):
        train(small, tiny[0], None, tmp_path / "cut", progress=Recorder(4, cut))
    train(small, tiny[0], None, tmp_path / "cut")
    assert scales == [1024] * 5 + [2048] * 2, "the fourth step twice: the last save was after the third"
    assert lines(tmp_path / "whole") == lines(tmp_path / "cut")
    assert same(tmp_path / "whole" / "last.safetensors", tmp_path / "cut" / "last.safetensors")
    kept = [load_checkpoint(tmp_path / name / "last.safetensors").metadata["scaler"] for name in ("whole", "cut")]
    assert kept[0] == kept[1]
    assert (kept[0]["scale"], kept[0]["_growth_tracker"]) == (2048, 2)
