"""Subdural hematoma: a crescent over a hemisphere that crosses sutures, or a film along falx or tentorium."""

from dataclasses import dataclass

import numpy as np

from ichnos.phantom.brain import Brain
from ichnos.phantom.displacement import FromSkull
from ichnos.phantom.fields import Field, Point, RandomField, cover
from ichnos.phantom.lesions.density import CHRONIC_HU, SUBACUTE_HU, Density, acute
from ichnos.phantom.patient import Patient
from ichnos.phantom.skull import surface_point
from ichnos.subtypes import Subtype


@dataclass(frozen=True, eq=False)
class Convexity:
    """A crescent over one hemisphere. side: −1 right, 1 left; azimuth: from the forehead backwards, in radians."""

    density: Density
    side: float
    azimuth: tuple[float, float]
    height: tuple[float, float]
    thickness: float
    middle: Point
    wobble: RandomField

    subtype = Subtype.SUBDURAL

    @property
    def extent(self) -> tuple[float, float]:
        return self.height

    def coverage(self, brain: Brain) -> Field:
        skull, edge = brain.skull, brain.plane.edge
        around = np.arctan2(self.side * skull.x, -skull.y)
        ends = np.minimum(around - self.azimuth[0], self.azimuth[1] - around) * (1.0 / 0.55)
        levels = np.minimum(skull.z - self.height[0], self.height[1] - skull.z) * (1.0 / 16.0)
        profile = np.sqrt(np.clip(ends, 0.0, 1.0) * np.clip(levels, 0.0, 1.0))
        thick = self.thickness * profile * (1.0 + 0.18 * self.wobble.on(brain.plane))
        inward = np.minimum(thick - skull.cavity, 0.5 * (self.side * brain.x - 1.0))
        return cover(np.where(thick > 0.4, inward, -9.0), edge) * brain.inside

    @property
    def mass(self) -> FromSkull:
        return FromSkull(self.middle, 50.0, 0.75 * self.thickness)


@dataclass(frozen=True, eq=False)
class Film:
    """Blood on one side of the falx, or on top of the tentorium. reach: from and to along y, in mm."""

    density: Density
    on_falx: bool
    side: float
    reach: tuple[float, float]
    height: tuple[float, float]
    thickness: float
    wobble: RandomField

    subtype = Subtype.SUBDURAL
    mass = None

    @property
    def extent(self) -> tuple[float, float]:
        return self.height

    def coverage(self, brain: Brain) -> Field:
        edge = brain.plane.edge
        along = np.minimum(brain.y - self.reach[0], self.reach[1] - brain.y)
        levels = np.minimum(brain.z - self.height[0], self.height[1] - brain.z)
        taper = np.clip(np.minimum(along, levels) * (1.0 / 9.0), 0.0, 1.0)
        thick = self.thickness * np.sqrt(taper) * (1.0 + 0.2 * self.wobble.on(brain.plane))
        across = self.side * brain.x if self.on_falx else brain.tentorium
        inside = np.minimum(thick - across, across + 0.3)
        inside = np.minimum(inside, 0.5 * brain.falx if self.on_falx else self.side * brain.x - 1.0)
        return cover(np.where(taper > 0, inside, -9.0), edge) * brain.inside


def draw_subdural(rng: np.random.Generator, patient: Patient) -> list[Convexity | Film]:
    """Mostly over a convexity, at times on both sides; some along falx or tentorium, alone or with a crescent."""
    kind = rng.random()
    if kind < 0.17:
        return [_film(rng)]
    first = _convexity(rng, patient, float(rng.choice((-1.0, 1.0))))
    if kind < 0.32:
        return [first, _convexity(rng, patient, -first.side)]
    return [first, _film(rng)] if kind < 0.50 else [first]


def _convexity(rng: np.random.Generator, patient: Patient, side: float) -> Convexity:
    thickness = float(np.clip(rng.lognormal(np.log(7.5), 0.5), 2.8, 22.0))
    middle_azimuth, half = float(rng.normal(1.35, 0.25)), float(rng.uniform(0.75, 1.4))
    low, high = float(rng.uniform(-18, 18)), patient.height - float(rng.uniform(4, 26))
    z = 0.5 * (low + high) / 85.0
    middle = surface_point(patient, (side * float(np.sin(middle_azimuth)), -float(np.cos(middle_azimuth)), z))
    return Convexity(
        density=_subdural_density(rng, middle),
        side=side,
        azimuth=(max(0.04, middle_azimuth - half), min(3.1, middle_azimuth + half)),
        height=(low, high),
        thickness=thickness,
        middle=middle,
        wobble=RandomField.draw(rng, (25, 70)),
    )


def _subdural_density(rng: np.random.Generator, middle: Point) -> Density:
    kind = rng.random()
    if kind < 0.60:
        return acute(rng)
    texture = RandomField.draw(rng, (10, 35))
    if kind < 0.78:
        return Density(float(rng.uniform(*SUBACUTE_HU)), 2.0, texture)
    if kind < 0.92:  # acute on chronic: fresh cells sink behind old fluid
        level = (middle[0], middle[1] + float(rng.uniform(-10, 25)), middle[2])
        return Density(float(rng.uniform(22, 32)), 4.0, texture, level, float(rng.uniform(18, 34)))
    return Density(float(rng.uniform(*CHRONIC_HU)), 2.0, texture)


def _film(rng: np.random.Generator) -> Film:
    on_falx = bool(rng.random() < 0.6)
    front = bool(rng.random() < 0.3)
    if on_falx:
        reach = (-80.0, -35.0) if front else (float(rng.uniform(-10, 35)), float(rng.uniform(70, 85)))
        height = (float(rng.uniform(0, 20)), float(rng.uniform(45, 75)))
    else:
        reach, height = (float(rng.uniform(10, 25)), float(rng.uniform(60, 85))), (-24.0, 16.0)
    return Film(
        density=acute(rng),
        on_falx=on_falx,
        side=float(rng.choice((-1.0, 1.0))),
        reach=reach,
        height=height,
        thickness=float(rng.uniform(2.4, 6.0)),
        wobble=RandomField.draw(rng, (15, 45)),
    )
