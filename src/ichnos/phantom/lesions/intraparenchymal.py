"""Intraparenchymal hemorrhage: a clot within the brain, with swollen tissue around it that pushes its surroundings."""

from dataclasses import dataclass

import numpy as np

from ichnos.phantom.brain import Brain
from ichnos.phantom.displacement import Within
from ichnos.phantom.fields import Field, Point, RandomField, cover
from ichnos.phantom.lesions.density import Density, acute
from ichnos.phantom.patient import Patient
from ichnos.phantom.skull import surface_point
from ichnos.subtypes import Subtype


@dataclass(frozen=True, eq=False)
class Intraparenchymal:
    """An uneven ellipsoid of blood. radii and rim (the width of the oedema) in mm."""

    density: Density
    centre: Point
    radii: Point
    rim: float
    mass: Within | None
    wobble: RandomField

    subtype = Subtype.INTRAPARENCHYMAL

    @property
    def extent(self) -> tuple[float, float]:
        reach = 1.4 * self.radii[2] + 1.5 * self.rim
        return self.centre[2] - reach, self.centre[2] + reach

    def coverage(self, brain: Brain) -> Field:
        return cover(self._distance(brain), 1.6 * brain.plane.edge) * self._tissue(brain)

    def oedema(self, brain: Brain) -> Field:
        """How much of the swollen tissue around the clot each pixel of a plane holds, 0 to 1."""
        outside = -self._distance(brain)
        return np.clip(1.0 - (outside - 0.4 * self.rim) * (1.0 / self.rim), 0.0, 1.0) * self._tissue(brain)

    def _distance(self, brain: Brain) -> Field:
        skull = brain.skull
        level = np.sqrt(
            ((skull.x - self.centre[0]) * (1 / self.radii[0])) ** 2
            + ((skull.y - self.centre[1]) * (1 / self.radii[1])) ** 2
            + ((skull.z - self.centre[2]) * (1 / self.radii[2])) ** 2
        )
        return (1.0 - level + 0.22 * self.wobble.on(brain.plane)) * min(self.radii)

    def _tissue(self, brain: Brain) -> Field:
        edge = brain.plane.edge
        return cover(-brain.ventricle, edge) * cover(brain.depth - 1.0, edge) * cover(0.8 - brain.sulcus, edge)


def draw_intraparenchymal(rng: np.random.Generator, patient: Patient) -> list[Intraparenchymal]:
    """A deep, lobar, cerebellar or brainstem clot, or several contusions at the poles of the brain."""
    kind = rng.random()
    side = float(rng.choice((-1.0, 1.0)))
    if kind < 0.40:  # basal ganglia or thalamus, as with high blood pressure
        centre = (side * float(rng.uniform(13, 30)), float(rng.uniform(-12, 16)), float(rng.uniform(-2, 12)))
        return [_clot(rng, centre, float(rng.uniform(6, 21)))]
    if kind < 0.68:  # a lobe
        azimuth = float(rng.uniform(0.3, 2.8))
        x, y, z = surface_point(patient, (side * np.sin(azimuth), -np.cos(azimuth), float(rng.uniform(-0.15, 1.0))))
        inward = float(rng.uniform(0.55, 0.8))
        return [_clot(rng, (x * inward, y * inward, z * inward), float(rng.uniform(7, 25)))]
    if kind < 0.76:  # cerebellum or pons
        centre = (side * float(rng.uniform(12, 30)), float(rng.uniform(40, 58)), float(rng.uniform(-42, -26)))
        if rng.random() < 0.35:
            centre = (float(rng.normal(0, 3)), 13.0, float(rng.uniform(-34, -20)))
        return [_clot(rng, centre, float(rng.uniform(4, 13)))]
    poles = ((22.0, -62.0, 2.0), (46.0, -18.0, -22.0), (20.0, -50.0, -5.0), (50.0, 8.0, -15.0), (30.0, -45.0, 40.0))
    contusions: list[Intraparenchymal] = []
    for _ in range(int(rng.integers(1, 5))):
        pole = np.array(poles[int(rng.integers(len(poles)))]) + rng.normal(0, 4, 3)
        near = side if rng.random() < 0.7 else -side
        contusions.append(
            _clot(rng, (near * float(pole[0]), float(pole[1]), float(pole[2])), float(rng.uniform(2.6, 9)))
        )
    return contusions


def _clot(rng: np.random.Generator, centre: Point, radius: float) -> Intraparenchymal:
    a, b, c = (radius * float(value) for value in rng.uniform(0.75, 1.3, 3))
    return Intraparenchymal(
        density=acute(rng),
        centre=centre,
        radii=(a, b, c),
        rim=float(rng.uniform(0.15, 0.5)) * radius + 1.0,
        mass=Within(centre, radius, 0.3 * (radius - 4.0)) if radius > 5.0 else None,
        wobble=RandomField.draw(rng, (1.0 * radius + 4.0, 3.0 * radius + 6.0)),
    )
