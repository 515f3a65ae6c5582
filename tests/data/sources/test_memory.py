"""Memory of a scan: it grows with the slices, since they are put in order, but by little a slice."""

import subprocess
import sys
from pathlib import Path

import pytest

MOST_BYTES_A_SLICE = 1000
"""docs/rsna.md states what it comes to for RSNA. Objects of Python for each slice would take more than 1,200."""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_a_scan_takes_little_memory_a_slice(tmp_path: Path) -> None:
    few, many = 20_000, 80_000
    peaks = [
        int(
            subprocess.run(
                [sys.executable, "-m", "tests.data.sources.measure_scan", str(slices), str(tmp_path / str(slices))],
                capture_output=True,
                text=True,
                check=True,
                cwd=Path(__file__).parents[3],
            ).stdout
        )
        for slices in (few, many)
    ]
    assert (peaks[1] - peaks[0]) / (many - few) < MOST_BYTES_A_SLICE
