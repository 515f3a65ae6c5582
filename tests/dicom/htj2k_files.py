"""High-throughput JPEG 2000 (HTJ2K) slices of a plain head, whose codestreams another hand made and is kept here.

htj2k/ holds codestreams of `plain_head`, made once with OpenJPH: 0.26.3 (the Python package imagecodecs 2026.3.6,
`htj2k_encode(pixels, reversible=True)`) for signed-*.j2c, and 0.9.0 (Debian's openjph-tools) for the others:
`ojph_compress -reversible true -prog_order RPCL` of a 12-bit PGM, and `-qstep 0.0005` for the lossy one.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from tests.dicom.ct_files import ct_dataset
from tests.dicom.head_files import as_series

FOLDER = Path(__file__).parent / "htj2k"
SIGNED = [FOLDER / f"signed-{k}.j2c" for k in range(4)]
UNSIGNED_12 = FOLDER / "unsigned-12-rpcl.j2c"
LOSSY_12 = FOLDER / "lossy-12.j2c"


def plain_head(number: int) -> NDArray[np.int16]:
    """Stored values (HU + 1024) of one of four slices: air, a skull, brain, each with a texture. Whole numbers only."""
    y, x = np.mgrid[:64, :64]
    inside = (36 - number) * (x - 31) ** 2 + 25 * (y - 32) ** 2
    air = -1000 + (3 * x + 5 * y) % 7
    bone = 900 + (11 * x + 3 * y) % 50
    brain = 30 + (7 * x + 13 * y + x * y + 5 * number) % 9
    hu = np.where(inside < 25 * 20**2, brain, np.where(inside < 25 * 23**2, bone, air))
    return (hu + 1024).astype(np.int16)


def htj2k_head() -> list[Dataset]:
    """The four slices, 30 mm apart, as data sets that hold the signed codestreams."""
    made = []
    for k, path in enumerate(SIGNED):
        dataset = ct_dataset(plain_head(k))
        dataset.RescaleIntercept = -1024
        dataset.PixelSpacing = [3.4, 3.4]
        dataset.ImagePositionPatient = [-107, -107, 30 * k]
        dataset.SliceThickness = 30
        dataset.InstanceNumber = k + 1
        made.append(holding(dataset, path.read_bytes()))
    return as_series(made, 1)


def holding(dataset: Dataset, codestream: bytes) -> Dataset:
    """The data set with a codestream for its pixels."""
    dataset.PixelData = encapsulate([codestream])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return dataset
