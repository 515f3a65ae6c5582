"""The mathematics under the anatomy: planes through a head, soft edges, distances, and random fields in space."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating]
"""A quantity on the pixels of a plane, shape (rows, columns); float32 throughout, for speed."""

Point = tuple[float, float, float]
"""A place in the head's own coordinates in mm: x to the patient's left, y to the back, z to the vertex."""

EDGE_MM = 1.1
"""The width of a soft edge: what a scanner's soft kernel (0.6 to 0.8 mm) and a pixel of half a millimetre blur."""


@dataclass(frozen=True, eq=False)
class Plane:
    """The pixels of a (part of a) slice in the head's coordinates: place = origin + row·down + column·across.

    `gravity` is the direction of gravity in the head's coordinates; the patient lies on the back.
    """

    origin: NDArray[np.float64]
    down: NDArray[np.float64]
    across: NDArray[np.float64]
    shape: tuple[int, int]
    gravity: NDArray[np.float64]

    def coordinates(self) -> tuple[Field, Field, Field]:
        """x, y and z of every pixel in mm."""
        rows = np.arange(self.shape[0], dtype=np.float32)[:, None]
        columns = np.arange(self.shape[1], dtype=np.float32)[None, :]
        x, y, z = (
            float(self.origin[axis]) + rows * float(self.down[axis]) + columns * float(self.across[axis])
            for axis in range(3)
        )
        return x, y, z

    @property
    def edge(self) -> float:
        """The width in mm of a soft edge on this plane: never sharper than its pixels can show."""
        return max(EDGE_MM, 1.1 * float(np.linalg.norm(self.down)))


@dataclass(frozen=True, eq=False)
class RandomField:
    """A smooth random function of space with mean 0 and variance 1: a sum of plane waves.

    waves: (3, n) wave vectors in rad/mm; phases: (n,). On a plane a wave is a product of a function of the row and one
    of the column, so that the whole field is one matrix product, exact for any tilt.
    """

    waves: NDArray[np.float64]
    phases: NDArray[np.float64]

    @classmethod
    def draw(cls, rng: np.random.Generator, wavelengths: tuple[float, float], count: int = 48) -> "RandomField":
        """Waves in all directions, of lengths between two wavelengths in mm."""
        directions = rng.standard_normal((3, count))
        directions /= np.linalg.norm(directions, axis=0)
        lengths = rng.uniform(*wavelengths, count)
        return cls(directions * (2 * np.pi / lengths), rng.uniform(0, 2 * np.pi, count))

    def on(self, plane: Plane) -> Field:
        """The field on a plane's pixels."""
        rows = np.arange(plane.shape[0])[:, None] * (plane.down @ self.waves) + plane.origin @ self.waves + self.phases
        columns = np.arange(plane.shape[1])[None, :] * (plane.across @ self.waves)[:, None]
        scale = np.sqrt(2.0 / len(self.phases))
        left = np.concatenate([np.cos(rows), -np.sin(rows)], axis=1).astype(np.float32) * np.float32(scale)
        right = np.concatenate([np.cos(columns), np.sin(columns)]).astype(np.float32)
        return left @ right


def cover(distance: Field, edge: float) -> Field:
    """How much of a pixel lies inside a shape, from the signed distance (positive inside) and a soft edge in mm."""
    return np.clip(distance * (1.0 / edge) + 0.5, 0.0, 1.0)


def paint(hu: Field, share: Field, value: Field | float) -> None:
    """Mix `value` into `hu`, in place, by the share of each pixel that it fills."""
    hu += share * (value - hu)


def ellipsoid(x: Field, y: Field, z: Field, centre: Point, radii: Point) -> Field:
    """Signed distance in mm (positive inside) to an ellipsoid, near enough close to its surface."""
    level = np.sqrt(
        ((x - centre[0]) * (1 / radii[0])) ** 2
        + ((y - centre[1]) * (1 / radii[1])) ** 2
        + ((z - centre[2]) * (1 / radii[2])) ** 2
    )
    return (1.0 - level) * min(radii)


def capsule(x: Field, y: Field, z: Field, ends: tuple[Point, Point], radii: tuple[float, float]) -> Field:
    """Signed distance in mm (positive inside) to a rod between two points whose radius changes along it."""
    (ax, ay, az), (bx, by, bz) = ends
    dx, dy, dz = bx - ax, by - ay, bz - az
    length2 = dx * dx + dy * dy + dz * dz
    along = np.clip(
        (x * (dx / length2) + y * (dy / length2) + z * (dz / length2)) - (ax * dx + ay * dy + az * dz) / length2, 0, 1
    )
    gap2 = (x - ax - along * dx) ** 2 + (y - ay - along * dy) ** 2 + (z - az - along * dz) ** 2
    return radii[0] + along * (radii[1] - radii[0]) - np.sqrt(gap2)


def step(value: Field, width: float) -> Field:
    """A smooth step from 0 to 1 around 0 that takes about `width` mm."""
    t = np.clip(value * (1.0 / width) + 0.5, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)
