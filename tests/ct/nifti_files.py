"""NIfTI files for tests, written by nibabel: another hand than the reader's."""

import gzip
import struct

import nibabel
import numpy as np
from numpy.typing import NDArray


def nifti_bytes(
    values: NDArray[np.generic],
    affine: NDArray[np.float64],
    *,
    form: str = "sform",
    version: int = 1,
    packed: bool = False,
    slope: float | None = None,
    intercept: float = 0.0,
    big_endian: bool = False,
) -> bytes:
    """A file of one volume. values: as they are stored; slope and intercept are only written into the header."""
    kind = nibabel.Nifti1Image if version == 1 else nibabel.Nifti2Image
    header = kind.header_class(endianness=">" if big_endian else "<")
    header.set_data_dtype(values.dtype)
    image = kind(values, affine, header)
    image.set_sform(affine, code=1 if form == "sform" else 0)
    image.set_qform(affine if form == "qform" else None, code=1 if form == "qform" else 0)
    data = bytearray(image.to_bytes())
    if slope is not None:
        place, numbers = (112, "2f") if version == 1 else (176, "2d")
        struct.pack_into((">" if big_endian else "<") + numbers, data, place, slope, intercept)
    return gzip.compress(data, 1, mtime=0) if packed else bytes(data)
