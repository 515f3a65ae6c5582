"""The torch half of the road from HU agrees with the numpy half."""

import numpy as np
import pytest
import torch

from ichnos.ct.windows import BLOOD, BONE, BRAIN, Window
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
def test_road_is_numpys_bit_for_bit(merge: WindowMerge, size: int):
    rng = np.random.default_rng(1)
    hu = rng.integers(-3024, 2000, (3, 512, 512), dtype=np.int16)
    hu[1] = np.clip(rng.normal(40, 25, (512, 512)), -1024, 3000).astype(np.int16)
    hu[2] = 8  # in the brain window 25.5 grey levels: a half, which must round alike
    road = spec(windows=(BRAIN, BLOOD, BONE), merge=merge, size=size)
    ours = HounsfieldRoad(road)(torch.from_numpy(hu)).numpy()
    theirs = np.stack([to_planes(road, one) for one in hu])
    np.testing.assert_array_equal(ours, theirs.astype(np.float32))


def test_padding_is_raised_where_a_window_reaches_below_air():
    hu = np.full((1, 512, 512), -3024, dtype=np.int16)
    road = spec(windows=(Window(-1000, 4000),))
    assert np.array_equal(HounsfieldRoad(road)(torch.from_numpy(hu)).numpy()[0], to_planes(road, hu[0]))
