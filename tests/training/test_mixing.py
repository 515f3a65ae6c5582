"""Mixup and cutmix: what each image has of another, its labels have of the other's."""

import numpy as np
import pytest
import torch

from ichnos.recipe import Augmentation, SliceRecipe
from ichnos.training import TrainingSlices, train
from ichnos.training.mixing import Mix, draw_mix

CPU = torch.device("cpu")
CONSTANT = torch.arange(64.0).view(64, 1, 1, 1).expand(64, 2, 48, 48)
"""Each image has one value of its own."""


def drawn(**options: float) -> Mix:
    torch.manual_seed(0)
    mix = draw_mix(Augmentation(**options), 64, 48, CPU)
    assert mix is not None
    return mix


def test_nothing_is_mixed_unless_asked_for():
    assert draw_mix(None, 8, 32, CPU) is None
    assert draw_mix(Augmentation(), 8, 32, CPU) is None


@pytest.mark.parametrize("options", [{"mixup": 0.4}, {"cutmix": 1.0}])
def test_pixels_and_labels_are_mixed_in_the_same_shares(options: dict[str, float]):
    mix = drawn(**options)
    labels = torch.eye(64)
    mean = mix.images(CONSTANT).mean(dim=(1, 2, 3))
    assert torch.allclose(mean, mix.labels(labels) @ torch.arange(64.0), atol=1e-3)
    own = mix.labels(labels).diagonal()
    assert (own >= 0.5 - 1e-6).all()
    assert own.min() < 0.7, "some are mixed in earnest"
    assert torch.allclose(mix.labels(labels).sum(dim=1), torch.ones(64))


def test_cutmix_lays_a_rectangle_in():
    mix = drawn(cutmix=1.0)
    assert mix.rectangle is not None
    for rectangle in mix.rectangle[:, 0]:
        rows, columns = rectangle.any(dim=1), rectangle.any(dim=0)
        assert torch.equal(rectangle, rows.unsqueeze(1) & columns.unsqueeze(0))
        assert (rows.int().diff().abs().sum(), columns.int().diff().abs().sum()) <= (2, 2)
    changed = mix.images(CONSTANT) != CONSTANT
    moved = mix.partner != torch.arange(64)
    assert torch.equal(changed[:, 0][moved], mix.rectangle[:, 0][moved])


def test_both_take_turns():
    torch.manual_seed(0)
    both = Augmentation(mixup=0.4, cutmix=1.0)
    cut = [mix.rectangle is not None for _ in range(60) if (mix := draw_mix(both, 4, 32, CPU))]
    assert 18 < sum(cut) < 42


def test_a_run_learns_from_mixed_images(recipe: SliceRecipe, tiny: tuple[TrainingSlices, TrainingSlices], tmp_path):
    mixed = recipe.derive(**{"augmentation.mixup": 0.4, "augmentation.cutmix": 1.0})
    losses = [
        [line["training"]["loss_mean"] for line in train(r, *tiny, tmp_path / name, device="cpu").journal]
        for r, name in ((recipe, "plain"), (mixed, "mixed"), (mixed, "again"))
    ]
    assert np.isfinite(losses).all()
    assert losses[1] == losses[2] != losses[0]
