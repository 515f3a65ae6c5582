"""The torch half of the road from HU agrees with the numpy half."""

import numpy as np
import pytest
import torch

from ichnos.ct.windows import BLOOD, BONE, BRAIN
from ichnos.inputs import IMAGENET_DEVIATION, IMAGENET_MEAN, to_planes
from ichnos.models.input_layer import Channels, HounsfieldRoad
from ichnos.recipe import InputSpec, Normalisation, WindowMerge


def spec(**changes) -> InputSpec:
    return InputSpec(**{"windows": (BRAIN, BLOOD), "size": 32, **changes})


def test_imagenet_normalisation_of_one_plane():
    planes = torch.randint(0, 256, (2, 1, 4, 4), dtype=torch.uint8)
    channels = Channels(spec())(planes)
    assert channels.shape == (2, 3, 4, 4)
    assert channels.dtype == torch.float32
    for k in range(3):
        wanted = (planes[:, 0].double() / 255 - IMAGENET_MEAN[k]) / IMAGENET_DEVIATION[k]
        assert torch.allclose(channels[:, k].double(), wanted, atol=1e-6)


def test_unit_normalisation_is_a_division_by_255():
    planes = torch.randint(0, 256, (2, 1, 4, 4), dtype=torch.uint8)
    channels = Channels(spec(normalisation=Normalisation.UNIT))(planes)
    assert torch.equal(channels, (planes / 255).expand(-1, 3, -1, -1))


@pytest.mark.parametrize("count", [2, 4])
def test_other_than_three_planes_take_the_mean_of_the_constants(count: int):
    stacked = spec(windows=(BRAIN, BLOOD, BONE, BRAIN)[:count], merge=WindowMerge.STACK)
    channels = Channels(stacked)(torch.zeros(1, count, 4, 4, dtype=torch.uint8))
    assert channels.shape[1] == count
    assert torch.allclose(channels, torch.tensor(-np.mean(IMAGENET_MEAN) / np.mean(IMAGENET_DEVIATION)).float())


def test_constants_are_no_weights():
    assert not Channels(spec()).state_dict()
    assert not HounsfieldRoad(spec()).state_dict()


@pytest.mark.parametrize("merge", list(WindowMerge))
@pytest.mark.parametrize("size", [96, 224, 512])
def test_road_agrees_with_numpy(merge: WindowMerge, size: int):
    rng = np.random.default_rng(1)
    hu = rng.integers(-1024, 2000, (2, 512, 512), dtype=np.int16)
    hu[1] = np.clip(rng.normal(40, 25, (512, 512)), -1024, 3000).astype(np.int16)
    road = spec(windows=(BRAIN, BLOOD, BONE), merge=merge, size=size)
    ours = HounsfieldRoad(road)(torch.from_numpy(hu)).numpy()
    theirs = np.stack([to_planes(road, one) for one in hu]).astype(np.float32)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1
    assert (ours != theirs).mean() < 1e-4  # sums in another order, at halves of a grey level
