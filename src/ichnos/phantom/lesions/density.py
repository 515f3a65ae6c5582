"""How dense blood is: by its age, uneven where it clots, and in layers where cells have sunk."""

from dataclasses import dataclass

import numpy as np

from ichnos.phantom.brain import Brain
from ichnos.phantom.fields import Field, Point, RandomField, step

ACUTE_HU = (57.0, 78.0)
"""Clotted blood of the first three days (50 to 80 HU, by haematocrit)."""

SUBACUTE_HU = (34.0, 46.0)
"""Blood of one to three weeks: near grey matter (37 HU)."""

CHRONIC_HU = (16.0, 26.0)
"""Blood older than three weeks: between fluid and white matter."""


@dataclass(frozen=True, eq=False)
class Density:
    """The radiodensity of a lesion in HU.

    mean, uneven: level and standard deviation of its texture. level_at: cells have sunk behind this place, where the
    blood is `sunk` HU denser; None where it has not parted.
    """

    mean: float
    uneven: float
    texture: RandomField
    level_at: Point | None = None
    sunk: float = 0.0

    def on(self, brain: Brain) -> Field:
        """The radiodensity at each pixel of a plane."""
        hu = self.mean + self.uneven * self.texture.on(brain.plane)
        if self.level_at is not None:
            behind = gravity_depth(brain, self.level_at)
            hu = hu + self.sunk * step(behind, 6.0)
        return hu


def acute(rng: np.random.Generator) -> Density:
    """Fresh clot, now and then with darker, still liquid parts."""
    uneven = float(rng.uniform(5, 10)) if rng.random() < 0.25 else float(rng.uniform(1, 4))
    return Density(float(rng.uniform(*ACUTE_HU)), uneven, RandomField.draw(rng, (9, 30)))


def gravity_depth(brain: Brain, place: Point) -> Field:
    """How far in mm below a place (towards the back of a patient who lies on it) each pixel of a plane is."""
    g = brain.plane.gravity
    down = brain.skull.x * float(g[0]) + brain.skull.y * float(g[1]) + brain.skull.z * float(g[2])
    return down - float(np.dot(g, place))
