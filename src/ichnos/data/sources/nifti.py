"""A NIfTI volume in HU (or of marks), turned to the way that ours lie."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel
import numpy as np
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from numpy.typing import NDArray

from ichnos.errors import SourceError, StorageError
from ichnos.remote import Place


@dataclass(frozen=True, eq=False)
class Volume:
    """Slices from foot to head, rows from anterior to posterior, column 0 the patient's right.

    values: int16, shape (slices, rows, columns). numbers: each slice's number in the file's own order, from 1.
    pixel_spacing: mm between rows, mm between columns. slice_spacing: mm. turn: how the file's axes were turned, in
    nibabel's form.
    """

    values: NDArray[np.int16]
    numbers: tuple[int, ...]
    pixel_spacing: tuple[float, float]
    slice_spacing: float
    turn: NDArray[np.float64]


def read_volume(path: Place, turned_like: Volume | None = None) -> Volume:
    """Read a 3D NIfTI file, its slope and intercept applied. Raises SourceError where it is damaged or not 3D.

    turned_like: the scan that a mask is of. It lies on it cell by cell, whatever its own header says of directions.

    NIfTI's coordinates grow to the left-hand list of `R A S`; ours are columns to L, rows to P, slices to S.
    """
    try:
        with _here(path) as file:
            image = nibabel.load(file)  # pyright: ignore[reportPrivateImportUsage]
            values = np.asanyarray(image.dataobj)  # pyright: ignore[reportAttributeAccessIssue]
    except PermissionError:
        raise SourceError("no permission to read its volume; grant it") from None
    except StorageError:
        raise
    except Exception as error:  # nibabel, gzip and zlib each raise their own; here is the border
        raise SourceError("its volume is damaged or not NIfTI; download it again") from error
    if values.ndim != 3:
        raise SourceError(f"its volume has {values.ndim} dimensions; wanted are 3")
    affine = image.affine  # pyright: ignore[reportAttributeAccessIssue]
    own = ornt_transform(io_orientation(affine), axcodes2ornt(("L", "P", "S")))
    turn = own if turned_like is None else turned_like.turn
    turned_affine = affine @ inv_ornt_aff(turn, values.shape)
    columns_mm, rows_mm, slices_mm = (float(np.linalg.norm(turned_affine[:3, axis])) for axis in range(3))
    numbers = np.broadcast_to(np.arange(1, values.shape[2] + 1), values.shape)
    turned, turned_numbers = (nibabel.orientations.apply_orientation(each, turn) for each in (values, numbers))
    limits = np.iinfo(np.int16)
    hu = np.clip(np.rint(turned), limits.min, limits.max).astype(np.int16)
    return Volume(
        np.ascontiguousarray(hu.transpose(2, 1, 0)),
        tuple(int(number) for number in turned_numbers[0, 0]),
        (rows_mm, columns_mm),
        slices_mm,
        turn,
    )


@contextmanager
def _here(path: Place) -> Iterator[Path]:
    """The file, or a copy on this machine for as long as it is read."""
    if isinstance(path, Path):
        yield path
        return
    with TemporaryDirectory(prefix="ichnos-") as folder:
        copy = Path(folder) / path.name
        path.get(copy)
        yield copy
