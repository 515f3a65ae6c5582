"""Memory of a scan: the same for few and for many slices."""

import subprocess
import sys
from pathlib import Path

import pytest

_MEGABYTE = 1 << 20

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")


def _peak(slices: int, scratch: Path) -> int:
    """Bytes, of a process that scans so many made-up slices."""
    command = [sys.executable, "-m", "tests.data.sources.measure_scan", str(slices), str(scratch / str(slices))]
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    return int(told.stdout)


def _growth(few: int, many: int, scratch: Path) -> int:
    return _peak(many, scratch) - _peak(few, scratch)


def test_eight_times_the_slices_take_little_more(tmp_path: Path) -> None:
    """Tables in memory would take 50 MB more, 0.7 kB a slice; SQLite fills the room that it is given, 32 MB at most."""
    assert _growth(10_000, 80_000, tmp_path) < 36 * _MEGABYTE


@pytest.mark.slow
def test_memory_does_not_grow_with_the_slices(tmp_path: Path) -> None:
    """The room is full at 80,000 slices; 240,000 more would take 170 MB as tables in memory."""
    assert _growth(80_000, 320_000, tmp_path) < 16 * _MEGABYTE
