"""Subarachnoid hemorrhage: blood that takes the place of fluid in cisterns, fissures and sulci."""

from dataclasses import dataclass

import numpy as np

from ichnos.phantom.brain import Brain
from ichnos.phantom.fields import Field, Point, RandomField, cover
from ichnos.phantom.lesions.density import Density
from ichnos.phantom.patient import Patient
from ichnos.phantom.skull import surface_point
from ichnos.subtypes import Subtype


@dataclass(frozen=True, eq=False)
class Subarachnoid:
    """Blood in the fluid spaces around a place. spread: mm over which it thins out; widen: mm that it opens a sulcus;
    fill: the share of fluid that it takes in the middle."""

    density: Density
    centre: Point
    spread: Point
    widen: float
    fill: float
    patches: RandomField

    subtype = Subtype.SUBARACHNOID
    mass = None

    @property
    def extent(self) -> tuple[float, float]:
        return self.centre[2] - 1.5 * self.spread[2], self.centre[2] + 1.5 * self.spread[2]

    def coverage(self, brain: Brain) -> Field:
        far2 = (
            ((brain.x - self.centre[0]) * (1 / self.spread[0])) ** 2
            + ((brain.y - self.centre[1]) * (1 / self.spread[1])) ** 2
            + ((brain.z - self.centre[2]) * (1 / self.spread[2])) ** 2
        )
        near = np.clip(2.6 * (1.0 - far2) + 0.9 * self.patches.on(brain.plane), 0.0, 1.0)
        opened = cover(brain.sulcus + self.widen * near, brain.plane.edge)
        outside = cover(-brain.ventricle, brain.plane.edge) * cover(brain.skull.cavity - 0.6, brain.plane.edge)
        return self.fill * near * opened * outside


def draw_subarachnoid(rng: np.random.Generator, patient: Patient) -> list[Subarachnoid]:
    """From an aneurysm: the basal cisterns and fissures. After an injury: the sulci under one or a few places."""
    if rng.random() < 0.38:
        cisterns = _patch(rng, patient, (float(rng.normal(0, 10)), -10.0, -12.0), (46.0, 42.0, 30.0), 0.8)
        extra = _over_convexity(rng, patient)
        return [cisterns, extra] if rng.random() < 0.5 else [cisterns]
    return [_over_convexity(rng, patient) for _ in range(int(rng.integers(1, 4)))]


def _over_convexity(rng: np.random.Generator, patient: Patient) -> Subarachnoid:
    azimuth, z = float(rng.uniform(0.35, 2.6)), float(rng.uniform(-0.1, 1.3))
    side = float(rng.choice((-1.0, 1.0)))
    x, y, z = surface_point(patient, (side * float(np.sin(azimuth)), -float(np.cos(azimuth)), z))
    size = float(rng.uniform(16, 40))
    return _patch(rng, patient, (0.85 * x, 0.85 * y, 0.88 * z), (size, size, 0.8 * size), float(rng.uniform(0.5, 1.1)))


def _patch(rng: np.random.Generator, patient: Patient, centre: Point, spread: Point, widen: float) -> Subarachnoid:
    return Subarachnoid(
        density=Density(float(rng.uniform(48, 68)), 3.0, RandomField.draw(rng, (12, 30))),
        centre=centre,
        spread=spread,
        widen=max(0.25, widen * (1.15 - 0.7 * patient.atrophy)),
        fill=float(rng.uniform(0.75, 1.0)),
        patches=RandomField.draw(rng, (18, 50)),
    )
