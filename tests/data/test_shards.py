"""Shards: what was packed comes back, however it was packed, and packing does not depend on who else packs."""

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest
from numpy.typing import NDArray

from ichnos.data import shards

SHAPE = (96, 80)


def smooth(seed: int) -> NDArray[np.int16]:
    """HU that change slowly, with a scanner's noise."""
    rng = np.random.default_rng(seed)
    return (np.add.outer(np.arange(SHAPE[0]), np.arange(SHAPE[1])) + rng.normal(0, 5, SHAPE)).astype(np.int16)


def packed(hu: NDArray[np.int16] | NDArray[np.uint8]) -> bytes:
    file = BytesIO()
    assert shards.append(file, hu) == (0, len(file.getvalue()))
    return file.getvalue()


@pytest.mark.parametrize("pixels", [smooth(0), (smooth(1) & 31).astype(np.uint8), np.zeros(SHAPE, np.int16)])
def test_pixels_come_back(pixels: NDArray[Any], tmp_path: Path) -> None:
    content = packed(pixels)
    shards.shard_path(tmp_path, 3).write_bytes(b"-" + content)
    back = shards.ShardReader(tmp_path).read(3, 1, len(content), SHAPE, pixels.dtype.type)
    np.testing.assert_array_equal(back, pixels)
    assert back.dtype == pixels.dtype


def test_a_shard_that_was_packed_by_a_bit_shuffle_is_read(tmp_path: Path) -> None:
    how = blosc2.CParams(typesize=2, clevel=1, filters=[blosc2.Filter.BITSHUFFLE], filters_meta=[0], nthreads=1)
    content = blosc2.compress2(smooth(0), cparams=how)  # pyright: ignore[reportArgumentType]
    assert isinstance(content, bytes)
    shards.shard_path(tmp_path, 0).write_bytes(content)
    np.testing.assert_array_equal(shards.ShardReader(tmp_path).read(0, 0, len(content), SHAPE, np.int16), smooth(0))
    assert len(packed(smooth(0))) < len(content), "and is larger"


def test_threads_pack_the_same_bytes() -> None:
    slices = [smooth(seed) for seed in range(32)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(packed, slices)) == [packed(each) for each in slices]
