"""A step of training asks the device for nothing, so that the device is never waited for; batches come ahead."""

import traceback
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from ichnos.recipe import SliceRecipe
from ichnos.training import train
from ichnos.training.batches import onto, read_ahead
from ichnos.training.exam_loop import train_exam_network
from ichnos.training.exam_session import ExamSession
from ichnos.training.loss import LossWatch
from ichnos.training.session import Session
from tests.training.test_exam_training import RECIPE as EXAM_RECIPE
from tests.training.test_exam_training import part
from tests.training.test_segmentation import with_masks
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

_ON_THE_CPU = ("torch/distributions/", "ichnos/training/mixing.py", "torch/nn/modules/rnn.py", "torch/nn/utils/rnn.py")
"""Draws by the CPU's generator and lengths of exams: tensors that are on the CPU whatever the device."""

_PINNED = "ichnos/training/batches.py"
"""Copies from there do not wait."""


SMALL = {"network.backbone": "small-cnn", "network.head.hidden": None}


class Asked(TorchFunctionMode):
    """Writes down who wants to know values of tensors, and what of ours copies them onto a device and waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.by: list[str] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        masked = name in ("__getitem__", "__setitem__") and any(
            isinstance(index, torch.Tensor) and index.dtype == torch.bool
            for index in (args[1] if isinstance(args[1], tuple) else (args[1],))
        )
        copies = name == "to" and any(isinstance(each, torch.device) for each in (*args, *(kwargs or {}).values()))
        if name in _ASKS or masked or copies:
            stack = [frame for frame in traceback.extract_stack() if frame.filename != __file__]
            if copies and ("src/ichnos" not in stack[-1].filename or _PINNED in stack[-1].filename):
                return func(*args, **(kwargs or {}))
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


@pytest.fixture(scope="module")
def masked(tiny: Parts) -> Parts:
    return with_masks(tiny[0]), with_masks(tiny[1])


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What the steps of a training ask, of slices and of exams."""
    found = Asked()
    seldom = LossWatch(torch.device("cuda"))._interval
    monkeypatch.setattr(LossWatch, "_interval", property(lambda _: seldom, lambda *_: None), raising=False)
    for session in (Session, ExamSession):

        def watched(self: Any, *given: Any, step: Any = session._train_step):
            with found:
                return step(self, *given)

        monkeypatch.setattr(session, "_train_step", watched)
    return found


def test_a_step_asks_for_no_values(recipe: SliceRecipe, tiny: Parts, tmp_path: Path, asked: Asked) -> None:
    train(recipe.derive(**EVERYTHING), *tiny, tmp_path, device="cpu")
    assert asked.by == []


def test_a_step_with_masks_asks_for_no_values(recipe: SliceRecipe, masked: Parts, tmp_path: Path, asked: Asked) -> None:
    short = {"fit.epochs": 1, "fit.steps_per_epoch": 2, "fit.milestones": []} | SMALL
    train(recipe.derive(segmentation={}, **EVERYTHING, **short), masked[0], None, tmp_path, device="cpu")
    assert asked.by == []


@pytest.mark.parametrize("kind", ["lstm", "conv-lstm", "transformer", "two-stage"])
def test_a_step_of_exams_asks_for_no_values(kind: str, tmp_path: Path, asked: Asked) -> None:
    recipe = EXAM_RECIPE.derive(**{"head.kind": kind, "head.attention_heads": 2, "fit.epochs": 1})
    train_exam_network(recipe, part(1, maps=True), None, tmp_path, device="cpu")
    assert asked.by == []


def test_who_asks_is_seen(tiny: Parts) -> None:
    """A look at a loss, and labels that go to the device once an epoch; not what goes from pinned memory."""
    asked, device = Asked(), torch.device("cpu")
    session: Any = SimpleNamespace(training=tiny[0], fabric=SimpleNamespace(device=device))
    with asked:
        LossWatch(device).add(torch.zeros(()), np.arange(2), 1)
        onto(device, torch.zeros(2))
        next(Session._targets(session, [np.arange(2)]))
    assert [Path(each.rpartition(":")[0].partition(": ")[2]).name for each in asked.by] == ["loss.py", "session.py"]


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step raises an error where it waits for the GPU; the first one of a training sets up."""
    for session in (Session, ExamSession):
        steps = count()

        def watched(self: Any, *given: Any, step: Any = session._train_step, steps: Iterator[int] = steps):
            torch.cuda.set_sync_debug_mode("default" if next(steps) == 0 else "error")
            try:
                return step(self, *given)
            finally:
                torch.cuda.set_sync_debug_mode("default")

        monkeypatch.setattr(session, "_train_step", watched)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("changes", [{"augmentation": None}, EVERYTHING, EVERYTHING | {"segmentation": {}}])
def test_a_step_on_a_gpu_waits_for_nothing(
    recipe: SliceRecipe, masked: Parts, tmp_path: Path, changes: dict[str, Any]
) -> None:
    assert train(recipe.derive(**changes), *masked, tmp_path, device="cuda").epochs == 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("kind", ["lstm", "conv-lstm", "transformer", "two-stage"])
def test_a_step_of_exams_on_a_gpu_waits_for_nothing(kind: str, tmp_path: Path) -> None:
    recipe = EXAM_RECIPE.derive(**{"head.kind": kind, "head.attention_heads": 2})
    assert train_exam_network(recipe, part(1, maps=True), None, tmp_path, device="cuda").epochs == 4


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
