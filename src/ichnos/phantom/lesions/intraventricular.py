"""Intraventricular hemorrhage: blood that layers at the back of the ventricles, or fills them as a cast."""

from dataclasses import dataclass

import numpy as np

from ichnos.phantom.brain import Brain
from ichnos.phantom.fields import Field, Point, RandomField, cover
from ichnos.phantom.lesions.density import Density, gravity_depth
from ichnos.subtypes import Subtype


@dataclass(frozen=True, eq=False)
class Layer:
    """Blood below a level in the lateral ventricles of one side (−1 right, 1 left) or of both (0)."""

    density: Density
    side: float
    level: Point

    subtype = Subtype.INTRAVENTRICULAR
    mass = None

    @property
    def extent(self) -> tuple[float, float]:
        return -30.0, 40.0

    def coverage(self, brain: Brain) -> Field:
        edge = brain.plane.edge
        behind = gravity_depth(brain, self.level)
        inside = np.minimum(brain.ventricle, behind)
        inside = np.minimum(inside, brain.z + 24.0)
        share = cover(inside, edge)
        return share * (self.side * brain.x > 0) if self.side else share


@dataclass(frozen=True, eq=False)
class Cast:
    """A clot that fills the ventricles around a place."""

    density: Density
    centre: Point
    reach: Point
    ragged: RandomField

    subtype = Subtype.INTRAVENTRICULAR
    mass = None

    @property
    def extent(self) -> tuple[float, float]:
        return self.centre[2] - 1.2 * self.reach[2], self.centre[2] + 1.2 * self.reach[2]

    def coverage(self, brain: Brain) -> Field:
        far = np.sqrt(
            ((brain.x - self.centre[0]) * (1 / self.reach[0])) ** 2
            + ((brain.y - self.centre[1]) * (1 / self.reach[1])) ** 2
            + ((brain.z - self.centre[2]) * (1 / self.reach[2])) ** 2
        )
        near = (1.0 - far) * min(self.reach) + 2.0 * self.ragged.on(brain.plane)
        return cover(np.minimum(brain.ventricle + 0.6, near), brain.plane.edge)


def draw_intraventricular(rng: np.random.Generator) -> list[Layer | Cast]:
    """Mostly a level in one or both occipital horns; casts of one lateral, the third or the fourth ventricle too."""
    kind = rng.random()
    parts: list[Layer | Cast] = []
    if kind < 0.70:
        side = 0.0 if rng.random() < 0.6 else float(rng.choice((-1.0, 1.0)))
        parts.append(Layer(_density(rng), side, (0.0, float(rng.uniform(31, 48)), 5.0)))
    if kind > 0.55:
        side = float(rng.choice((-1.0, 1.0)))
        centre, reach = ((side * 14.0, float(rng.uniform(-10, 20)), 15.0), (20.0, float(rng.uniform(22, 55)), 26.0))
        if rng.random() < 0.3:
            centre, reach = (0.0, 10.0, -8.0), (9.0, 42.0, 38.0)
        parts.append(Cast(_density(rng), centre, reach, RandomField.draw(rng, (9, 30))))
    return parts


def _density(rng: np.random.Generator) -> Density:
    return Density(float(rng.uniform(48, 76)), float(rng.uniform(1, 4)), RandomField.draw(rng, (8, 24)))
