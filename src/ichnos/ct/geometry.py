"""Where slices lie: the normal of their plane, their order along it (DICOM PS3.3 C.7.6.2.1.1), and what was scanned."""

import numpy as np
from numpy.typing import NDArray

_WIDEST_SLICE_MM = 16.0

FARTHEST_MM = 1e6
"""From the origin: 1 km. What a file places farther away is damaged, and numbers beyond measure overflow."""


def slice_normal(orientation: NDArray[np.floating]) -> NDArray[np.float64]:
    """The unit normal of a slice's plane from ImageOrientationPatient (6 direction cosines: row, then column)."""
    a, b, c, d, e, f = orientation.astype(np.float64).tolist()
    normal = np.array([b * f - c * e, c * d - a * f, a * e - b * d])  # of one pair np.cross takes ten times as long
    length = float(np.linalg.norm(normal))
    if not length > 1e-6:
        raise ValueError("the row and column directions of the slice are parallel or zero")
    return normal / length


def order_along_normal(
    positions: NDArray[np.floating], orientations: NDArray[np.floating]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The order of slices from foot to head, and each slice's offset in mm, for tilted gantries too.

    positions: (n, 3) ImagePositionPatient in mm; orientations: (n, 6). The plane of the first slice is the plane of
    the series. The order is stable: slices at one position stay as they were given, so give them in a settled order.
    """
    normal = slice_normal(orientations[0])
    if normal[2] < 0:
        normal = -normal  # head is +z in the patient's coordinates; count upwards whatever way rows run
    offsets = positions.astype(np.float64) @ normal
    return np.argsort(offsets, kind="stable"), offsets


def coverage(offsets: NDArray[np.floating], thickness: float | None) -> float:
    """mm from the lowest slice to the highest and the usual gap, as if slices lay edge to edge, but 16 mm of it at
    most: those that lie far apart have nothing between them. Of one slice its thickness.

    A volume does not say how thick its slices are, so nobody's thickness is asked where there are several.
    """
    if len(offsets) < 2:
        return thickness or 0.0
    return float(np.ptp(offsets) + min(np.median(np.diff(np.sort(offsets))), _WIDEST_SLICE_MM))


def reconstruction_circle(rows: int, columns: int) -> NDArray[np.bool_]:
    """(rows, columns), true inside the circle that touches a slice's edges: beyond it most scanners have nothing."""
    y, x = np.ogrid[:rows, :columns]
    return ((y + 0.5) / rows - 0.5) ** 2 + ((x + 0.5) / columns - 0.5) ** 2 <= 0.25
