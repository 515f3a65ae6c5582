"""The torch half of the road from HU agrees with the numpy half."""

import numpy as np
import pytest
import torch

from ichnos.ct.windows import BLOOD, BONE, BRAIN, Window
from ichnos.inputs import (
    AIR,
    DENSEST,
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    RAW_UNIT,
    exam_planes,
    neighbour_stacks,
    resize,
    to_matrix,
    to_planes,
)
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


@pytest.mark.parametrize("neighbours", [0, 1])
@pytest.mark.parametrize("count", [1, 2])
def test_raw_hu_are_a_channel_of_hundreds_beside_the_windows(count: int, neighbours: int):
    rng = np.random.default_rng(2)
    hu = rng.integers(-1024, 3072, (5, 64, 64), dtype=np.int16).repeat(8, axis=1).repeat(8, axis=2)
    merge = WindowMerge.MEAN if count == 1 else WindowMerge.STACK
    road = spec(size=64, merge=merge, raw_hu=True, neighbours=neighbours)
    without = road.model_copy(update={"raw_hu": False})
    channels = Channels(road)(torch.from_numpy(exam_planes(road, list(hu))))
    assert channels.shape[1] == road.channels
    raw = list(road.raw_channels)
    small = np.stack([resize(one.astype(np.float32), 64) for one in hu])
    around = neighbour_stacks(road, np.arange(5) * road.neighbour_spacing)
    np.testing.assert_allclose(channels[:, raw], small[around] / RAW_UNIT, atol=0.501 / RAW_UNIT)
    others = [k for k in range(road.channels) if k not in raw]
    assert torch.equal(channels[:, others], Channels(without)(torch.from_numpy(exam_planes(without, list(hu)))))


@pytest.mark.parametrize("size", [96, 512])
def test_the_bytes_of_raw_hu_are_numpys(size: int):
    hu = np.random.default_rng(1).integers(-3024, 32000, (2, 512, 512), dtype=np.int16)
    road = spec(size=size, raw_hu=True)
    theirs = np.stack([to_planes(road, to_matrix(one)) for one in hu])
    np.testing.assert_array_equal(HounsfieldRoad(road)(torch.from_numpy(hu)).numpy(), theirs.astype(np.float32))
    whole = theirs[:, 1].astype(int) * 256 + theirs[:, 2]
    assert (whole >= 0).all()
    assert (whole <= DENSEST - AIR).all()
    if size == 512:
        np.testing.assert_array_equal(whole + AIR, np.clip(hu, AIR, DENSEST))


def test_padding_is_raised_where_a_window_reaches_below_air():
    hu = np.full((1, 512, 512), -3024, dtype=np.int16)
    road = spec(windows=(Window(-1000, 4000),))
    assert np.array_equal(HounsfieldRoad(road)(torch.from_numpy(hu)).numpy()[0], to_planes(road, hu[0]))
