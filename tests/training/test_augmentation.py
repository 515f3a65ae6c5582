"""What augmentation does to images, and that it does it in training alone."""

import pytest
import torch
from pydantic import ValidationError

from ichnos.ct.windows import BLOOD, BRAIN
from ichnos.models import SliceClassifier
from ichnos.recipe import Augmentation, InputSpec, SliceRecipe, WindowMerge
from ichnos.training.augmentation import AugmentedClassifier, augmenter

ROAD = InputSpec(windows=(BRAIN,), size=32)
STILL = Augmentation(p=0, horizontal_flip=False)
"""Changes nothing."""


def test_augmentation_changes_about_p_of_the_images_and_moves_black_in():
    torch.manual_seed(0)
    white = torch.ones(200, 1, 32, 32)
    white[:, :, :, :16] = 0.5
    changed = augmenter(Augmentation(p=0.5, horizontal_flip=False), ROAD)(white)
    assert changed.shape == white.shape
    share = (changed != white).flatten(1).any(dim=1).float().mean()
    assert 0.4 < share < 0.6
    assert changed.min() == 0
    assert changed.max() <= 1
    flipped = augmenter(Augmentation(p=0.5, rotation=0, shift=0, zoom=0), ROAD)(white)
    assert 0.4 < (flipped[:, 0, 16, 4] > 0.75).float().mean() < 0.6


def test_augmentation_of_probability_0_changes_nothing():
    planes = torch.rand(4, 2, 32, 32)
    assert torch.equal(augmenter(Augmentation(p=0), ROAD)(planes), planes)


def test_augmentation_is_for_training_only(recipe: SliceRecipe):
    classifier = SliceClassifier.seeded(recipe, 0)
    module = AugmentedClassifier(classifier, Augmentation(p=1)).eval()
    planes = torch.randint(0, 256, (2, 1, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(module(planes), classifier(planes))


def test_zoom_keeps_the_aspect_unless_it_stretches():
    """A centred square of 16 pixels: its height and width in pixels tell how it was scaled."""
    torch.manual_seed(0)
    square = torch.zeros(100, 1, 64, 64)
    square[:, :, 24:40, 24:40] = 1
    road = InputSpec(windows=(BRAIN,), size=64)
    only_zoom = {"p": 1, "rotation": 0, "shift": 0, "zoom": 0.3, "horizontal_flip": False}

    def aspects(augmentation: Augmentation) -> torch.Tensor:
        changed = augmenter(augmentation, road)(square)[:, 0]
        return changed.amax(dim=1).sum(dim=1) / changed.amax(dim=2).sum(dim=1)

    assert (aspects(Augmentation(**only_zoom)) - 1).abs().max() < 0.02
    stretched = aspects(Augmentation(**only_zoom, stretch=True))
    assert stretched.min() < 0.8
    assert stretched.max() > 1.25


def test_a_crop_has_its_share_of_the_picture():
    """Of a ramp, a crop's range of values is its share of the picture's width."""
    torch.manual_seed(0)
    ramp = torch.linspace(0, 1, 64).expand(200, 1, 64, 64)
    road = InputSpec(windows=(BRAIN,), size=64)
    cropped = augmenter(STILL.model_copy(update={"p": 1, "rotation": 0, "shift": 0, "zoom": 0, "crop": 0.36}), road)(
        ramp
    )
    assert cropped.shape == ramp.shape
    widths = cropped.amax(dim=(1, 2, 3)) - cropped.amin(dim=(1, 2, 3))
    assert 0.57 < widths.min() < 0.68
    assert widths.max() > 0.95


def test_erasing_blackens_a_rectangle_of_a_few_images():
    torch.manual_seed(0)
    erased = augmenter(STILL.model_copy(update={"erasing": 0.5}), ROAD)(torch.ones(300, 1, 32, 32))
    share = (erased == 0).float().mean(dim=(1, 2, 3))
    assert 0.4 < (share > 0).float().mean() < 0.6
    assert share.max() <= 0.45
    assert 0.1 < share[share > 0].mean() < 0.3


def test_reversal_turns_slices_round_and_leaves_their_windows_in_order():
    torch.manual_seed(0)
    road = InputSpec(windows=(BRAIN, BLOOD), merge=WindowMerge.STACK, size=32, neighbours=1)
    planes = torch.arange(6.0).view(1, 6, 1, 1).expand(200, 6, 32, 32)
    turned = augmenter(STILL.model_copy(update={"reversal": 0.5}), road)(planes)[:, :, 0, 0]
    orders = {tuple(int(value) for value in row) for row in turned}
    assert orders == {(0, 1, 2, 3, 4, 5), (4, 5, 2, 3, 0, 1)}
    assert 0.4 < (turned[:, 0] == 4).float().mean() < 0.6


def test_reversal_needs_neighbours(recipe: SliceRecipe):
    with pytest.raises(ValidationError, match="set input"):
        recipe.derive(**{"augmentation.reversal": 0.5})
