"""Memory of prepare: little more for many slices than for few."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_MEGABYTE = 1 << 20

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")


def _peak(slices: int, scratch: Path, depth: int = 0) -> int:
    """Bytes, of a process that prepares so many made-up slices, in folders in so many folders."""
    command = [sys.executable, "-m", "tests.data.measure_prepare", str(slices), str(scratch / str(slices)), str(depth)]
    told = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"POLARS_MAX_THREADS": "2"},  # each thread has its buffers, and machines differ
    )
    return int(told.stdout)


@pytest.mark.slow
def test_eight_times_the_slices_take_little_more(tmp_path: Path) -> None:
    """Names of 1.4 kB stand for many slices: with tables in memory the growth was 216 MB, and is 48 MB, for buffers."""
    assert _peak(32_000, tmp_path, depth=200) - _peak(4_000, tmp_path, depth=200) < 100 * _MEGABYTE


@pytest.mark.slow
def test_memory_does_not_grow_with_the_slices(tmp_path: Path) -> None:
    """Buffers are all but full at 80,000 slices; see docs/rsna.md for what more slices take."""
    assert _peak(200_000, tmp_path) - _peak(80_000, tmp_path) < 40 * _MEGABYTE
