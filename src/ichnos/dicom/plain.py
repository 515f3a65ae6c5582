"""A file as pydicom alone decodes it: what benchmarks of reading measure against."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread


def plain_pixels(path: Path) -> NDArray[np.integer]:
    """(rows, columns) stored values, with none of the checks, corrections and units of `read_slice`."""
    return dcmread(path, force=True).pixel_array
