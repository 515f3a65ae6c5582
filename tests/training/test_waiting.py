"""A step of training asks the device for nothing, so that the device is never waited for; batches come ahead."""

import traceback
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from ichnos.recipe import SliceRecipe
from ichnos.training import train
from ichnos.training.batches import onto, read_ahead
from ichnos.training.loss import LossWatch
from ichnos.training.session import Session
from tests.training.test_training import Parts

_ASKS = frozenset(
    [
        "item",
        "tolist",
        "cpu",
        "numpy",
        "nonzero",
        "__bool__",
        "__float__",
        "__int__",
        "__index__",
        "is_nonzero",
        "unique",
        "masked_select",
        "equal",
    ]
)
"""What must know values, and so waits for a device that has still to reckon them."""

_ON_THE_CPU = ("torch/distributions/", "ichnos/training/mixing.py")
"""Draws by the CPU's generator, of tensors that are on the CPU whatever the device."""


class Asked(TorchFunctionMode):
    """Writes down who wants to know values of tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.by: list[str] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        masked = name in ("__getitem__", "__setitem__") and any(
            isinstance(index, torch.Tensor) and index.dtype == torch.bool
            for index in (args[1] if isinstance(args[1], tuple) else (args[1],))
        )
        if name in _ASKS or masked:
            stack = [frame for frame in traceback.extract_stack() if frame.filename != __file__]
            if not any(part in frame.filename for frame in stack for part in _ON_THE_CPU):
                self.by.append(f"{name}: {stack[-1].filename}:{stack[-1].lineno}")
        return func(*args, **(kwargs or {}))


EVERYTHING = {
    "augmentation.crop": 0.5,
    "augmentation.erasing": 0.5,
    "augmentation.mixup": 0.4,
    "fit.averaging": {"kind": "ema"},
    "fit.loss": {"kind": "focal", "positives": "balanced", "smoothing": 0.1},
}


def test_a_step_asks_for_no_values(
    recipe: SliceRecipe, tiny: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, asked = Session._train_step, Asked()

    def watched(self: Session, *given) -> None:
        self._watch._interval = 50  # as on a GPU
        with asked:
            step(self, *given)

    monkeypatch.setattr(Session, "_train_step", watched)
    train(recipe.derive(**EVERYTHING), *tiny, tmp_path, device="cpu")
    assert asked.by == []
    with asked:
        LossWatch(torch.device("cpu")).add(torch.zeros(()), np.arange(2), 1)
    assert len(asked.by) == 1, "this test sees it where a loss is looked at"
    assert "loss.py" in asked.by[0]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("augmented", [False, True])
def test_a_step_on_a_gpu_waits_for_nothing(
    recipe: SliceRecipe, tiny: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, augmented: bool
) -> None:
    step = Session._train_step

    def watched(self: Session, *given) -> None:
        torch.cuda.set_sync_debug_mode("default" if self._steps_done() == 0 else "error")  # the first one sets up
        try:
            step(self, *given)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(Session, "_train_step", watched)
    asked = recipe.derive(**EVERYTHING) if augmented else recipe.derive(augmentation=None)
    assert train(asked, *tiny, tmp_path, device="cuda").epochs == 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_arrive_whole_on_a_gpu() -> None:
    """Memory of a batch that is still being read is not given to the next copy."""
    device = torch.device("cuda")
    images = np.random.default_rng(0).integers(0, 256, (512, 3, 64, 64), dtype=np.uint8)
    batches = np.split(np.random.default_rng(1).permutation(512), 16)
    with read_ahead(images, batches, device) as ready:
        sums = [batch.to(torch.float64).sum() for batch in ready]
    assert [int(each) for each in sums] == [int(images[rows].sum()) for rows in batches]


def test_small_tensors_go_onto_the_device() -> None:
    tensor = torch.rand(3)
    assert onto(torch.device("cpu"), tensor) is tensor
