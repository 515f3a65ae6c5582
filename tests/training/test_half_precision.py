"""Training in half precision: by the whole network and by nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ichnos.ct.windows import BRAIN
from ichnos.models import SliceClassifier
from ichnos.recipe import Augmentation, InputSpec, SliceRecipe
from ichnos.training import train
from ichnos.training.augmentation import AugmentedClassifier, augmenter
from ichnos.training.devices import Execution, choose
from ichnos.training.mixing import draw_mix
from ichnos.training.prediction import probabilities_of
from tests.training.test_segmentation import with_masks
from tests.training.test_training import Parts

HALF = Execution(precision="bf16-mixed")
SHORT = {"fit.epochs": 1, "fit.steps_per_epoch": 2, "fit.milestones": [], "network.backbone": "small-cnn"}


@pytest.mark.parametrize("options", [{"augmentation.mixup": 0.4}, {"augmentation.cutmix": 1.0}])
def test_images_are_mixed_in_half_precision_too(
    recipe: SliceRecipe, tiny: Parts, tmp_path: Path, options: dict[str, float]
) -> None:
    done = train(recipe.derive(**SHORT, **options), *tiny, tmp_path, device="cpu", execution=HALF)
    assert done.epochs == 1


def test_the_shares_of_a_mix_stay_in_single_precision(recipe: SliceRecipe) -> None:
    """The labels are mixed by the same numbers, outside the network."""
    fabric = choose("cpu", "bf16-mixed")
    short = recipe.derive(**SHORT)
    augmented = AugmentedClassifier(SliceClassifier.seeded(short, 0), Augmentation(p=0, mixup=0.4))
    module = fabric.setup_module(augmented).train()
    mix = draw_mix(Augmentation(mixup=0.4), 8, short.input.size, torch.device("cpu"))
    assert mix is not None
    seen: list[torch.Tensor] = []
    images = mix.images
    mix.images = lambda unit: (seen.append(mix.share), images(unit))[1]  # pyright: ignore[reportAttributeAccessIssue]
    module(torch.randint(0, 256, (8, short.input.stacked, 32, 32), dtype=torch.uint8), mix)
    assert [each.dtype for each in seen] == [torch.float32]


def test_what_outlines_blood_has_the_precision_that_is_asked_for(
    recipe: SliceRecipe, tiny: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In training and in evaluation, while masks keep every number of theirs."""
    segmented = SliceClassifier.segmented
    seen: list[tuple[bool, bool]] = []

    def noted(self: SliceClassifier, unit: torch.Tensor) -> Any:
        seen.append((self.training, torch.is_autocast_enabled("cpu")))
        assert unit.dtype == torch.float32
        return segmented(self, unit)

    monkeypatch.setattr(SliceClassifier, "segmented", noted)
    masked = with_masks(tiny[0]), with_masks(tiny[1])
    train(recipe.derive(segmentation={}, **SHORT), *masked, tmp_path, device="cpu", execution=HALF)
    assert (True, True) in seen
    assert (False, True) in seen
    assert all(half for _, half in seen)


def test_logits_are_not_rounded_to_half_precision(recipe: SliceRecipe, tiny: Parts) -> None:
    """Where many slices have one of 256 logits they tie in a ranking, by which epochs are chosen."""
    fabric = choose("cpu", "bf16-mixed")
    module = fabric.setup_module(SliceClassifier.seeded(recipe.derive(**SHORT), 0))
    part = tiny[1]
    said = probabilities_of(fabric, module, part.images, part.rows, 4, lambda _: None)
    logits = torch.from_numpy(np.log(said) - np.log1p(-said)).float()
    assert ((logits - logits.bfloat16().float()).abs() > 1e-5).any()


def test_augmentation_draws_as_before_wherever_it_is_moved() -> None:
    """What kornia draws on a GPU it takes back in every step. A module that is made double stands for one that goes to
    a GPU: both come by _apply, and kornia then draws so too."""
    options = Augmentation(crop=0.5, erasing=0.5)
    changes = augmenter(options, InputSpec(windows=(BRAIN,), size=32)).double()
    assert [(each.device.type, each.dtype) for each in changes] == [("cpu", torch.float32)] * 4
    drawn = [change.forward_parameters(torch.Size((4, 1, 32, 32))) for change in changes]
    assert torch.float64 not in {each.dtype for parameters in drawn for each in parameters.values()}


def test_what_measures_batchnorm_is_not_compiled(
    recipe: SliceRecipe, tiny: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []

    def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given: (called.append(function.__name__), function(*given))[1]

    monkeypatch.setattr(torch, "compile", compiled)
    short = recipe.derive(**SHORT | {"fit.steps_per_epoch": 1, "fit.reestimate_batchnorm": True})
    train(short, *tiny, tmp_path, device="cpu", execution=Execution(compile=True))
    assert called == ["logits"] * 4  # the trial in training and in evaluation, a step, validation
