"""Epidural hematoma: a biconvex lens between inner table and dura that stops at the sutures."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ichnos.phantom.brain import Brain
from ichnos.phantom.displacement import FromSkull
from ichnos.phantom.fields import Field, Point, RandomField, cover
from ichnos.phantom.lesions.density import Density, acute
from ichnos.phantom.patient import Patient
from ichnos.phantom.skull import surface_point
from ichnos.subtypes import Subtype

FieldOrFloat = TypeVar("FieldOrFloat", Field, float)


@dataclass(frozen=True, eq=False)
class Epidural:
    """A lens on one bone of the vault. centre: on the inner table; radius, thickness: in mm; bone: which one."""

    density: Density
    centre: Point
    radius: float
    thickness: float
    wobble: RandomField

    subtype = Subtype.EPIDURAL

    @property
    def extent(self) -> tuple[float, float]:
        return self.centre[2] - self.radius - 4.0, self.centre[2] + self.radius + 4.0

    def coverage(self, brain: Brain) -> Field:
        skull = brain.skull
        a, b, c = self.centre
        far2 = (skull.x - a) ** 2 + (skull.y - b) ** 2 + (skull.z - c) ** 2 - skull.depth**2
        profile = 1.0 - far2 * (1.0 / self.radius**2) * (1.0 + 0.10 * self.wobble.on(brain.plane))
        same_bone = np.clip(suture_distance(self.centre, skull.x, skull.y, skull.z) * (1 / 7.0), 0.0, 1.0)
        inward = self.thickness * np.clip(profile, 0.0, 1.0) ** 0.85 * same_bone**0.5 - skull.depth
        return cover(np.where(profile > 0, inward, -9.0), brain.plane.edge) * cover(skull.cavity, brain.plane.edge)

    @property
    def mass(self) -> FromSkull:
        return FromSkull(self.centre, self.radius, 0.75 * self.thickness)


def suture_distance(centre: Point, x: Field, y: Field, z: Field) -> Field:
    """mm from the nearest suture of the bone that `centre` is on, positive on that bone.

    The sagittal suture is the midline, the coronal one runs from the top forwards and down, the lambdoid one from the
    back of the top backwards and down.
    """
    coronal, lambdoid = _coronal(y, z), _lambdoid(y, z)
    at_coronal, at_lambdoid = _coronal(centre[1], centre[2]), _lambdoid(centre[1], centre[2])
    distance = x if centre[0] > 0 else -x
    distance = np.minimum(distance, coronal if at_coronal > 0 else -coronal)
    return np.minimum(distance, lambdoid if at_lambdoid > 0 else -lambdoid)


def _coronal(y: FieldOrFloat, z: FieldOrFloat) -> FieldOrFloat:
    return 0.93 * (y + 8.0) + 0.36 * (40.0 - z) + 8.0


def _lambdoid(y: FieldOrFloat, z: FieldOrFloat) -> FieldOrFloat:
    return 0.87 * (y - 58.0) - 0.5 * (z - 20.0)


def draw_epidural(rng: np.random.Generator, patient: Patient) -> Epidural:
    """Mostly under the temporal squama; also frontal, parietal and over the occiput. A few are thin."""
    side = float(rng.choice((-1.0, 1.0)))
    sites = ((1.0, -0.05, 0.05), (0.9, 0.15, 0.55), (0.75, -0.72, 0.25), (0.62, 0.85, -0.18), (0.6, -0.5, 0.8))
    toward = np.array(sites[int(rng.choice(5, p=(0.40, 0.24, 0.16, 0.10, 0.10)))]) + rng.normal(0, 0.10, 3)
    centre = surface_point(patient, (side * abs(float(toward[0])), float(toward[1]), float(toward[2])))
    radius = float(rng.uniform(14, 36))
    return Epidural(
        density=acute(rng),
        centre=centre,
        radius=radius,
        thickness=radius * float(rng.uniform(0.28, 0.66)),
        wobble=RandomField.draw(rng, (25, 60)),
    )
