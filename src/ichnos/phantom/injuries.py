"""What an injury leaves outside the brain, and is easily taken for blood in it: swellings of the scalp, fractures.

How many, how large and how dense they are is chosen by us, not measured on patients.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ichnos.phantom.fields import Field, Point, slab


@dataclass(frozen=True, eq=False)
class Swelling:
    """Blood or fluid between scalp and skull, around the place that lies in a `direction` from the middle of the head.

    radius, thickness: in mm, thickness in the middle. hu: fresh blood, or fluid.
    """

    direction: Point
    radius: float
    thickness: float
    hu: float


@dataclass(frozen=True, eq=False)
class Fracture:
    """A line through the vault, `radius` mm to either side of the place in a `direction` from the middle of the head.

    across: the direction that the two edges have parted in; width: how far, in mm.
    """

    direction: Point
    across: Point
    radius: float
    width: float


def thickness_of(swellings: Sequence[Swelling], x: Field, y: Field, z: Field) -> Field:
    """How far swellings raise the scalp, in mm."""
    raised = np.zeros(np.broadcast_shapes(x.shape, y.shape, z.shape), np.float32)
    for swelling in swellings:
        profile = np.clip(1.0 - _from_axis2(swelling.direction, x, y, z) * (1.0 / swelling.radius**2), 0.0, 1.0)
        raised = np.maximum(raised, swelling.thickness * profile**0.8)
    return raised


def gaps(fractures: Sequence[Fracture], x: Field, y: Field, z: Field, edge: float) -> Field:
    """How much of each pixel lies in a gap between broken bone, 0 to 1."""
    share = np.zeros(np.broadcast_shapes(x.shape, y.shape, z.shape), np.float32)
    for fracture in fractures:
        a, b, c = fracture.across
        apart = np.abs(a * x + b * y + c * z)
        ends = fracture.radius - np.sqrt(_from_axis2(fracture.direction, x, y, z))
        half_width = 0.5 * fracture.width * np.clip(ends * (1.0 / 8.0), 0.0, 1.0)
        share = np.maximum(share, slab(apart, half_width, edge))
    return share


def draw_swelling(rng: np.random.Generator, size: float) -> Swelling:
    """Anywhere on the vault; fresh blood more often than fluid. size: of the head, 1 for a grown-up's."""
    hu = rng.uniform(50, 75) if rng.random() < 0.7 else rng.uniform(15, 40)
    return Swelling(_direction(rng), size * float(rng.uniform(18, 60)), size * float(rng.uniform(3, 13)), float(hu))


def draw_fracture(rng: np.random.Generator) -> Fracture:
    """A hair's breadth to two millimetres, anywhere on the vault."""
    direction = _direction(rng)
    across = np.cross(direction, rng.standard_normal(3))
    across /= np.linalg.norm(across)
    a, b, c = (float(value) for value in across)
    return Fracture(direction, (a, b, c), float(rng.uniform(12, 45)), float(rng.uniform(0.4, 2.2)))


def _direction(rng: np.random.Generator) -> Point:
    """Of the vault: up to a little below the widest plane."""
    x, y = rng.standard_normal(2)
    z = rng.uniform(-0.35, 0.95)
    across = np.sqrt((1.0 - z * z) / (x * x + y * y))
    return float(x * across), float(y * across), float(z)


def _from_axis2(direction: Point, x: Field, y: Field, z: Field) -> Field:
    """The square of the distance in mm from the ray in a direction out of the middle of the head; huge behind it."""
    a, b, c = direction
    along = a * x + b * y + c * z
    return np.where(along > 0.0, np.maximum(x * x + y * y + z * z - along * along, 0.0), np.float32(1e6))
