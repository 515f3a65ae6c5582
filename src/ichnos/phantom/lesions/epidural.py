"""Epidural hematoma: a biconvex lens between inner table and dura that stops at the sutures."""

from dataclasses import dataclass, replace

import numpy as np

from ichnos.phantom.brain import Brain
from ichnos.phantom.displacement import FromSkull
from ichnos.phantom.fields import Field, Point, RandomField, cover
from ichnos.phantom.lesions.density import Density, acute
from ichnos.phantom.patient import Patient
from ichnos.phantom.skull import coronal, lambdoid, surface_point
from ichnos.subtypes import Subtype


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
    """mm from the nearest suture of the bone that `centre` is on, positive on that bone."""
    behind_coronal, behind_lambdoid = coronal(y, z), lambdoid(y, z)
    at_coronal, at_lambdoid = coronal(centre[1], centre[2]), lambdoid(centre[1], centre[2])
    distance = x if centre[0] > 0 else -x
    distance = np.minimum(distance, behind_coronal if at_coronal > 0 else -behind_coronal)
    return np.minimum(distance, behind_lambdoid if at_lambdoid > 0 else -behind_lambdoid)


THIN_MM = (2.5, 6.0)
"""How thick a thin epidural is: some pixels of a small picture, and easily taken for bone."""


def thinned(rng: np.random.Generator, epidural: Epidural) -> Epidural:
    """The same hematoma, thin; one that is thinner already stays as it is."""
    return replace(epidural, thickness=min(epidural.thickness, float(rng.uniform(*THIN_MM))))


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
