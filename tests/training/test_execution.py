"""How a run is carried out changes what is learnt by rounding alone: batches in pieces, compiled, in half precision."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ichnos.ct.windows import BRAIN
from ichnos.errors import TrainingError
from ichnos.models import SliceClassifier, load_checkpoint
from ichnos.networks import Head
from ichnos.recipe import Augmentation, Fit, InputSpec, Network, SliceRecipe
from ichnos.training import Execution, TrainingSummary, compilation, train
from ichnos.training.augmentation import AugmentedClassifier
from ichnos.training.compilation import compile_where_it_works, is_of_compiler
from ichnos.training.devices import choose
from ichnos.training.loss import MultilabelLoss
from ichnos.training.ranks import Ranks
from ichnos.training.session import Session
from tests.training.conftest import parts
from tests.training.test_segmentation import with_masks
from tests.training.test_training import Parts, Recorder


@pytest.fixture(scope="module")
def frozen() -> SliceRecipe:
    """BatchNorm of a frozen backbone measures nothing; nothing is drawn but the order."""
    return SliceRecipe(
        name="tiny",
        title="Tiny",
        input=InputSpec(windows=(BRAIN,), size=32),
        network=Network(init="phantom", frozen=True, head=Head(dropout=0.0)),
        fit=Fit(learning_rate=1e-3, batch_size=5, epochs=2, patience=None, seed=3),
    )


@pytest.mark.parametrize("pieces", [2, 9])
def test_a_batch_in_pieces_teaches_what_the_whole_does(
    frozen: SliceRecipe, tiny: Parts, tmp_path: Path, pieces: int
) -> None:
    """5 slices in pieces of 3 and 2, and of one each."""
    whole = train(frozen, *tiny, tmp_path / "whole", device="cpu")
    cut = train(frozen, *tiny, tmp_path / "cut", device="cpu", execution=Execution(accumulate=pieces))
    first, second = (load_checkpoint(tmp_path / name / "last.safetensors").tensors for name in ("whole", "cut"))
    assert all(torch.allclose(first[key].float(), second[key].float(), atol=1e-5) for key in first)
    assert int(first["optimizer.0.step"]) == int(second["optimizer.0.step"]) == 4, "one step a batch"
    for mine, yours in zip(whole.journal, cut.journal, strict=True):
        assert yours["training"]["n"] == mine["training"]["n"]
        assert yours["training"]["loss_mean"] == pytest.approx(mine["training"]["loss_mean"], abs=1e-5)
    assert json.loads((tmp_path / "cut" / "environment.json").read_text())["accumulate"] == pieces


def test_memory_that_runs_out_offers_pieces(
    recipe: SliceRecipe, tiny: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt = MultilabelLoss.forward

    def small(self: MultilabelLoss, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if len(logits) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return learnt(self, logits, targets)

    monkeypatch.setattr(MultilabelLoss, "forward", small)
    with pytest.raises(
        TrainingError, match="or the same command with --accumulate 2, which learns from the same batches"
    ):
        train(recipe, *tiny, tmp_path, device="cpu")
    done = train(recipe, *tiny, tmp_path, device="cpu", execution=Execution(accumulate=2), progress=Recorder())
    assert done.epochs == 2, "in the same folder"
    alone = recipe.derive(**{"fit.batch_size": 16, "sampling": "natural"})
    with pytest.raises(TrainingError, match="batches of 10 slices in 2 pieces; 2 fit"):
        train(alone, *tiny, tmp_path / "more", device="cpu", execution=Execution(accumulate=2))


@pytest.fixture(scope="module")
def small() -> SliceRecipe:
    """A network that learns blobs in a few epochs, augmented."""
    return SliceRecipe(
        name="small",
        title="Small",
        input=InputSpec(windows=(BRAIN,), size=32),
        network=Network(backbone="small-cnn", init="random", head=Head(hidden=None, dropout=0.0)),
        augmentation=Augmentation(),
        fit=Fit(learning_rate=1e-3, batch_size=8, epochs=6, patience=None, seed=3),
    )


def losses(summary: TrainingSummary, part: str) -> np.ndarray:
    """Of each epoch."""
    return np.array([entry[part]["loss_mean"] for entry in summary.journal])


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of the compiler's own libraries
def test_half_precision_compiled_or_not_follows_single_precision(
    small: SliceRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The band is the one that docs/gpus.md states."""
    if shutil.which("g++") is None:
        pytest.skip("torch.compile needs g++ on a CPU")
    monkeypatch.setattr(compilation, "_why_not", lambda *_: None)  # nor is what evaluates compiled: it takes as long
    slices, validation = parts(40, 15, size=32)
    half = "bf16-mixed"
    plain = train(small, slices, validation, tmp_path / "plain", device="cpu")
    halved = train(small, slices, validation, tmp_path / "half", device="cpu", execution=Execution(precision=half))
    execution = Execution(precision=half, compile=True)
    both = train(small, slices, None, tmp_path / "both", device="cpu", execution=execution)
    single = losses(plain, "training")
    assert single[-1] < 0.7 * single[0], "it learns"
    for other in (halved, both):
        assert np.allclose(losses(other, "training"), single, rtol=0.1)
    assert np.allclose(losses(halved, "validation"), losses(plain, "validation"), rtol=0.1)
    assert not np.array_equal(losses(halved, "training"), single), "it is another precision"
    assert not np.array_equal(losses(halved, "training"), losses(both, "training")), "it is other code"
    environment = json.loads((tmp_path / "both" / "environment.json").read_text())
    assert environment["compiled"] is True
    assert environment["precision"] == "bf16-mixed"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.filterwarnings("default")
def test_a_gpu_as_it_comes_follows_single_precision_on_it(small: SliceRecipe, tmp_path: Path) -> None:
    data, told = parts(40, 15, size=32), Recorder()
    plain = Execution(precision="32-true", compile=False)
    single = train(small, *data, tmp_path / "plain", device="cuda", execution=plain)
    usual = train(small, *data, tmp_path / "usual", device="cuda", progress=told)
    assert not [message for message in told.messages if "not compiled" in message]
    for part in ("training", "validation"):
        assert np.allclose(losses(usual, part), losses(single, part), rtol=0.1)


def compile_it(
    small: SliceRecipe, execution: Execution, ranks: Ranks | None = None
) -> tuple[bool, list[str], AugmentedClassifier]:
    fabric, told = choose("cpu"), Recorder()
    augmented = AugmentedClassifier(SliceClassifier.seeded(small, 0), None)
    module = fabric.setup_module(augmented)
    done = compile_where_it_works(augmented, module, fabric, ranks or Ranks(), execution, 4, told)
    return done, told.messages, augmented


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is called as if torch.compile had made its code, in order."""
    called: list[str] = []

    def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*given: Any) -> Any:
            called.append(function.__name__)
            return function(*given)

        return noted

    monkeypatch.setattr(torch, "compile", compiled)
    return called


def test_what_outlines_blood_is_compiled_too(
    small: SliceRecipe, tiny: Parts, tmp_path: Path, pretended: list[str]
) -> None:
    """The trial in training, then in evaluation; one step; and validation, which asks for outlines at its end."""
    outlining = small.derive(segmentation={}, **{"fit.epochs": 1, "fit.steps_per_epoch": 1})
    masked = with_masks(tiny[0]), with_masks(tiny[1])
    train(outlining, *masked, tmp_path, device="cpu", execution=Execution(compile=True))
    assert pretended == ["segmented", "logits", "segmented", "segmented", "logits", "segmented"]
    assert json.loads((tmp_path / "environment.json").read_text())["compiled"] is True


def test_a_trial_finds_what_outlines_wanting(small: SliceRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    def half_broken(function: Callable[..., Any]) -> Callable[..., Any]:
        def broken(*_: Any) -> Any:
            raise RuntimeError("no skip")

        return broken if function.__name__ == "segmented" else function

    monkeypatch.setattr(torch, "compile", half_broken)
    done, messages, augmented = compile_it(small.derive(segmentation={}), Execution(compile=True))
    assert (done, messages) == (False, ["small: not compiled, as torch.compile failed: RuntimeError: no skip"])
    planes, masks = torch.zeros((1, 1, 32, 32), dtype=torch.uint8), torch.zeros((1, 5, 32, 32), dtype=torch.bool)
    assert augmented(planes, None, masks)[0].shape == (1, 5), "it goes on without"


def test_where_compiling_fails_one_message_says_why(small: SliceRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(function):
        def compiled(*given):
            raise RuntimeError("backend='inductor' raised:\nInvalidCxxCompiler: No working C++ compiler found\nmore")

        return compiled

    monkeypatch.setattr(torch, "compile", broken)
    done, messages, augmented = compile_it(small, Execution(compile=True))
    assert not done
    said = "RuntimeError: backend='inductor' raised: InvalidCxxCompiler: No working C++ compiler found"
    assert messages == [f"small: not compiled, as torch.compile failed: {said}"]
    assert augmented(torch.zeros((1, 1, 32, 32), dtype=torch.uint8)).shape == (1, 5)


def test_a_trial_leaves_nothing_behind(small: SliceRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function: function)
    done, messages, augmented = compile_it(small, Execution(compile=True))
    assert done
    assert messages == ["small: compiled in 0 s"]
    fresh = SliceClassifier.seeded(small, 0).state_dict()
    assert all(torch.equal(fresh[name], tensor) for name, tensor in augmented.classifier.state_dict().items())
    assert all(parameter.grad is None for parameter in augmented.parameters())


def test_what_is_compiled_where_nobody_asks(small: SliceRecipe) -> None:
    assert compile_it(small, Execution())[:2] == (False, []), "not on a CPU"
    done, messages, _ = compile_it(small, Execution(compile=True), Ranks(0, 2))
    assert not done
    assert "does not know BatchNorm that several processes share" in messages[0]


def test_one_cuda_device_compiles_where_nobody_asks(
    small: SliceRecipe, monkeypatch: pytest.MonkeyPatch, pretended: list[str]
) -> None:
    monkeypatch.setattr(compilation, "_why_not", lambda *_: None)
    fabric: Any = SimpleNamespace(device=torch.device("cuda"))
    augmented, told = AugmentedClassifier(SliceClassifier.seeded(small, 0), None), Recorder()

    def compiles(execution: Execution, ranks: Ranks) -> bool:
        return compile_where_it_works(augmented, augmented, fabric, ranks, execution, 4, told)

    assert not compiles(Execution(compile=False), Ranks()), "it was refused"
    assert not compiles(Execution(), Ranks(0, 2)), "it knows no shared BatchNorm, and nobody asked"
    assert told.messages == []
    planes = torch.zeros((1, 1, 32, 32), dtype=torch.uint8)
    augmented(planes)
    assert pretended == []
    assert compiles(Execution(), Ranks())
    augmented(planes)
    assert pretended == ["logits"]


@pytest.mark.parametrize("compiled", [True, False])
def test_an_error_of_the_compiler_in_the_midst_of_a_run_says_how_to_go_on(
    recipe: SliceRecipe,
    tiny: Parts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pretended: list[str],
    compiled: bool,
) -> None:
    from torch._dynamo.exc import BackendCompilerFailed

    def fails(*_: object) -> None:
        raise BackendCompilerFailed(compile, ValueError("a shape"), None)

    monkeypatch.setattr(Session, "_learn", fails)
    with pytest.raises(TrainingError if compiled else BackendCompilerFailed) as raised:
        train(recipe, *tiny, tmp_path, device="cpu", execution=Execution(compile=compiled))
    said = "failed in the midst of the run; give the same command with --no-compile, and it goes on from the last save"
    assert (said in str(raised.value)) is compiled
    assert bool(pretended) is compiled


def test_errors_of_the_compiler_are_known() -> None:
    from torch._dynamo.exc import BackendCompilerFailed

    assert is_of_compiler(BackendCompilerFailed(compile, ValueError("no"), None))
    assert not is_of_compiler(RuntimeError("no"))
