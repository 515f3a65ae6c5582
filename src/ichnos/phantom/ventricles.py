"""The ventricles as signed distances: lateral, third and fourth, on coordinates that already hold a patient's warp."""

import itertools

import numpy as np

from ichnos.phantom.fields import Field, Point, capsule, ellipsoid

_LATERAL: tuple[tuple[Point, float], ...] = (
    ((7.0, -31.0, 8.0), 1.6),
    ((7.5, -20.0, 12.0), 3.6),
    ((8.5, -4.0, 20.0), 4.4),
    ((12.0, 14.0, 23.0), 4.6),
    ((21.0, 33.0, 15.0), 5.6),
    ((24.0, 42.0, 6.0), 5.6),
)
"""The middle line of a lateral ventricle from frontal horn to atrium (x from the midline, y, z in mm from the middle of
the head), with radii at rest. Read off axial atlases; distances of the horns from the midline as in adults."""

_OCCIPITAL: tuple[Point, Point] = ((24.0, 42.0, 5.0), (22.0, 62.0, 3.0))
"""The occipital horn, where blood settles in a patient who lies on the back."""

_TEMPORAL: tuple[Point, Point] = ((27.0, 32.0, -6.0), (35.0, -6.0, -21.0))
"""The temporal horn, a slit in the young."""

FOURTH: Point = (0.0, 38.0, -33.0)
"""The middle of the fourth ventricle, behind the pons."""


def lateral(side: Field, y: Field, z: Field, scale: float) -> Field:
    """Signed distance (positive inside) to the lateral ventricles, right and left alike; `scale` widens them."""
    distance = np.full(side.shape, -40.0, np.float32)
    if float(z.min()) > 45.0 or float(z.max()) < -40.0:
        return distance
    for (start, from_radius), (end, to_radius) in itertools.pairwise(_LATERAL):
        distance = np.maximum(distance, capsule(side, y, z, (start, end), (from_radius * scale, to_radius * scale)))
    occipital = capsule(side, y, z, _OCCIPITAL, (4.6 * scale, 1.5 * scale))
    temporal = capsule(side, y, z, _TEMPORAL, (3.0 * scale, 1.9 * scale - 0.6))
    septum = side - 0.7
    return np.minimum(np.maximum(distance, np.maximum(occipital, temporal)), septum)


def third(side: Field, y: Field, z: Field, scale: float) -> Field:
    """Signed distance to the third ventricle: a slit in the midline."""
    plate = ellipsoid(np.zeros_like(side), y, z, (0.0, 2.0, 0.0), (1.0, 15.0, 11.0)) * 11.0
    return np.minimum(1.7 * scale**1.5 * np.clip(plate * (1 / 7.0), 0.3, 1.0) - side, plate)


def fourth(side: Field, y: Field, z: Field, scale: float) -> Field:
    """Signed distance to the fourth ventricle: wide in front, pointed behind."""
    return ellipsoid(side, y, z, FOURTH, (6.5 * scale, 5.5 * scale, 10.0)) - 0.18 * np.maximum(side - 2.0, 0.0)
