"""The mathematics under the anatomy: planes through a head, soft edges, distances, and random fields in space."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating]
"""A quantity on the pixels of a plane, shape (rows, columns); float32 throughout, for speed."""

Point = tuple[float, float, float]
"""A place in the head's own coordinates in mm: x to the patient's left, y to the back, z to the vertex."""

Box = tuple[slice, slice]
"""Rows and columns of a plane."""

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

    def crop(self, box: "Box") -> "Plane":
        """The part of the plane within a box of rows and columns."""
        rows, columns = box
        corner = self.origin + rows.start * self.down + columns.start * self.across
        return replace(self, origin=corner, shape=(rows.stop - rows.start, columns.stop - columns.start))

    def every(self, pixels: int) -> "Plane":
        """The plane on every so many rows and columns only, the last of them at or beyond its end."""
        shape = (-(-(self.shape[0] - 1) // pixels) + 1, -(-(self.shape[1] - 1) // pixels) + 1)
        return replace(self, down=self.down * pixels, across=self.across * pixels, shape=shape)

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
    def draw(cls, rng: np.random.Generator, wavelengths: tuple[float, float], count: int = 24) -> "RandomField":
        """Waves in all directions, of lengths between two wavelengths in mm."""
        directions = rng.standard_normal((3, count))
        directions /= np.linalg.norm(directions, axis=0)
        lengths = rng.uniform(*wavelengths, count)
        return cls(directions * (2 * np.pi / lengths), rng.uniform(0, 2 * np.pi, count))

    def on(self, plane: Plane) -> Field:
        """The field on a plane's pixels."""
        start = np.mod(plane.origin @ self.waves + self.phases, 2 * np.pi).astype(np.float32)
        down, across = ((step @ self.waves).astype(np.float32) for step in (plane.down, plane.across))
        rows = np.arange(plane.shape[0], dtype=np.float32)[:, None] * down + start
        columns = np.arange(plane.shape[1], dtype=np.float32)[None, :] * across[:, None]
        left = np.concatenate([np.cos(rows), -np.sin(rows)], axis=1)
        right = np.concatenate([np.cos(columns), np.sin(columns)])
        return (left * np.float32(np.sqrt(2.0 / len(self.phases)))) @ right

    def at(self, x: Field, y: Field, z: Field) -> Field:
        """The field at any places: slower than `on` by far, so for few of them."""
        a, b, c = self.waves.astype(np.float32)
        angle = x[..., None] * a + y[..., None] * b + z[..., None] * c + self.phases.astype(np.float32)
        return np.cos(angle).sum(axis=-1) * float(np.sqrt(2.0 / len(self.phases)))


def interpolation(places: NDArray[np.floating], count: int) -> NDArray[np.float32]:
    """The weights (places, count) that read a row of `count` pixels at fractional places by Keys's cubic (a = −1/2)."""
    distance = np.abs(places[:, None] - np.arange(count)[None, :])
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1.0
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4.0 * distance + 2.0
    weights = np.where(distance < 1, near, np.where(distance < 2, far, 0.0))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def box_around(inside: NDArray[np.bool_], pixels: int, shape: tuple[int, int]) -> Box | None:
    """The box of a plane of `shape` around what is inside on every `pixels`-th pixel of it; None where nothing is."""
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        return None
    return (
        slice(max(0, (int(rows[0]) - 1) * pixels), min(shape[0], (int(rows[-1]) + 1) * pixels + 1)),
        slice(max(0, (int(columns[0]) - 1) * pixels), min(shape[1], (int(columns[-1]) + 1) * pixels + 1)),
    )


def cover(distance: Field, edge: float) -> Field:
    """How much of a pixel lies inside a shape, from the signed distance (positive inside) and a soft edge in mm."""
    return np.clip(distance * (1.0 / edge) + 0.5, 0.0, 1.0)


def slab(distance: Field, half_width: float | Field, edge: float) -> Field:
    """How much of a pixel lies within half_width mm of a surface; thinner than a pixel, it fills its share of it."""
    return np.clip(cover(half_width - distance, edge) - cover(-half_width - distance, edge), 0.0, 1.0)


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
