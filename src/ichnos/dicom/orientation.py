"""How a slice lies in the patient: whether it is axial, and turning its array to the one way that ours lie."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ichnos.ct import slice_normal

_Scalar = TypeVar("_Scalar", bound=np.generic)

_LARGEST_TILT_DEGREES = 40.0
"""Gantries tilt up to 30° and heads are scanned a little turned besides; a coronal or sagittal slice lies at 90°."""


def tilt_degrees(orientation: Sequence[float]) -> float:
    """Degrees between the slice and the patient's axial plane; 90 where the directions describe no plane."""
    try:
        normal = slice_normal(np.asarray(orientation))
    except ValueError:
        return 90.0
    return float(np.rad2deg(np.arccos(min(abs(normal[2]), 1.0))))


def is_axial(orientation: Sequence[float]) -> bool:
    """Whether ImageOrientationPatient (6 direction cosines) describes a slice across the body, tilt allowed."""
    return tilt_degrees(orientation) <= _LARGEST_TILT_DEGREES


def is_transposed(orientation: Sequence[float]) -> bool:
    """Whether the array's rows run front to back, so that `turn_upright` makes them columns."""
    return abs(orientation[1]) > abs(orientation[0])


def turn_upright(pixels: NDArray[_Scalar], orientation: Sequence[float]) -> NDArray[_Scalar]:
    """Turn an axial slice, shape (rows, columns), so that rows run anterior to posterior and column 0 is the right.

    That is how most scanners write a supine head, and then nothing is moved. Prone or feet-first scans may be written
    otherwise. In DICOM's patient coordinates +x is the patient's left and +y is posterior (PS3.3 C.7.6.2.1.1).
    """
    row, column = np.asarray(orientation[:3]), np.asarray(orientation[3:])
    if is_transposed(orientation):
        pixels, row, column = pixels.T, column, row
    if row[0] < 0:
        pixels = pixels[:, ::-1]
    if column[1] < 0:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def corner_and_directions(
    position: Sequence[float], orientation: Sequence[float], spacing: tuple[float, float], shape: Sequence[int]
) -> tuple[NDArray[np.float64], tuple[float, ...]]:
    """Where a slice's first pixel lies after `turn_upright`, (3,) mm, and its six direction cosines then.

    position, orientation, spacing, shape: of the slice as it was written (mm between rows, mm between columns).
    """
    corner = np.asarray(position, np.float64)
    row, column = np.asarray(orientation[:3], np.float64), np.asarray(orientation[3:], np.float64)
    (row_mm, column_mm), (rows, columns) = spacing, shape
    if is_transposed(orientation):
        row, column, row_mm, column_mm, rows, columns = column, row, column_mm, row_mm, columns, rows
    if row[0] < 0:
        corner, row = corner + row * column_mm * (columns - 1), -row
    if column[1] < 0:
        corner, column = corner + column * row_mm * (rows - 1), -column
    return corner, (*row.tolist(), *column.tolist())
