"""What a mass does to the brain around it: tissue is pushed aside and sulci are narrowed."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ichnos.phantom.fields import Field, Point


class Displacement(Protocol):
    """Something that pushes the brain aside."""

    def push(self, x: Field, y: Field, z: Field) -> tuple[Field, Field, Field]:
        """How far in mm the tissue at each place has been pushed along x, y and z."""
        ...

    def efface(self, x: Field, y: Field, z: Field) -> Field:
        """How much narrower sulci are at each place, 0 to 1."""
        ...


@dataclass(frozen=True)
class FromSkull:
    """A mass between skull and brain: everything gives way towards the middle of the head, less with distance.

    centre: on the inner table; radius: of the mass along the skull; depth: mm that the brain moves under it.
    """

    centre: Point
    radius: float
    depth: float

    def push(self, x: Field, y: Field, z: Field) -> tuple[Field, Field, Field]:
        length = sum(value * value for value in self.centre) ** 0.5
        amount = self.depth * np.exp(-np.sqrt(_far2(self.centre, x, y, z)) * (1.0 / (self.radius + 18.0)))
        a, b, c = (-value / length for value in self.centre)
        return amount * a, amount * b, amount * c

    def efface(self, x: Field, y: Field, z: Field) -> Field:
        share = min(0.95, self.depth / 10.0)
        return share * np.exp(-_far2(self.centre, x, y, z) * (1.0 / (1.5 * self.radius + 8.0) ** 2))


@dataclass(frozen=True)
class Within:
    """A mass within the brain: tissue moves away from its centre by up to `depth` mm, less beyond its radius."""

    centre: Point
    radius: float
    depth: float

    def push(self, x: Field, y: Field, z: Field) -> tuple[Field, Field, Field]:
        far = np.sqrt(_far2(self.centre, x, y, z)) + 2.0
        amount = self.depth * np.minimum(far * (1.0 / self.radius), np.exp((self.radius - far) * (1 / 28.0))) / far
        return amount * (x - self.centre[0]), amount * (y - self.centre[1]), amount * (z - self.centre[2])

    def efface(self, x: Field, y: Field, z: Field) -> Field:
        share = min(0.9, self.depth / 8.0)
        return share * np.exp(-_far2(self.centre, x, y, z) * (1.0 / (25.0 + 1.5 * self.radius) ** 2))


def _far2(centre: Point, x: Field, y: Field, z: Field) -> Field:
    return (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2
