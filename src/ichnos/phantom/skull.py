"""The shape of the skull: outer and inner table, the floor of the three fossae, and the bone of the vault."""

from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np

from ichnos.phantom.fields import Box, Field, Plane, Point, capsule, cover, paint, slab, step
from ichnos.phantom.injuries import gaps
from ichnos.phantom.patient import Patient

BELOW_MM = 84.0
"""How far the cranium would reach below its widest plane if no base closed it; the occiput curves in with it."""

PETROUS: tuple[Point, Point] = ((15.0, -1.0, -33.0), (60.0, 25.0, -35.0))
"""The ridge of the temporal bone that parts the middle from the posterior fossa (right and left alike)."""

SPHENOID_WING: tuple[Point, Point] = ((13.0, -21.0, -20.0), (50.0, -40.0, -19.0))
"""The ridge that parts the anterior from the middle fossa."""

FORAMEN: Point = (0.0, 24.0, -60.0)
"""The middle of the foramen magnum."""


FieldOrFloat = TypeVar("FieldOrFloat", Field, float)


@dataclass(frozen=True, eq=False)
class Skull:
    """The skull on a plane: signed distances in mm.

    outside: beyond the outer table, positive outside the skull. depth: within the inner table, positive inside.
    cavity: like depth, but also above the floor and clear of its ridges. side: |x|. cells: the texture of spongy bone
    and air cells.
    """

    x: Field
    y: Field
    z: Field
    side: Field
    outside: Field
    depth: Field
    cavity: Field
    below_floor: Field
    cells: Field

    def crop(self, box: Box) -> "Skull":
        """The skull within a box of rows and columns of its plane."""
        return Skull(*(getattr(self, part.name)[box] for part in fields(self)))


def skull_level(patient: Patient, x: Field, y: Field, z: Field) -> Field:
    """1 on the outer table, less inside, more outside; doubles when the place is twice as far from the middle."""
    t = y * (1.0 / patient.half_length)
    width = patient.half_width * (1.0 - 0.11 * (np.clip(t, -1.3, 1.3) - 0.22) ** 2)
    height = np.where(z > 0, patient.height, BELOW_MM * patient.height / 89.0)
    powers = (np.abs(x) / width) ** 2.15 + np.abs(t) ** 2.2 + (np.abs(z) / height) ** 2.3
    return powers ** np.float32(1 / 2.17)


def skull_on(patient: Patient, plane: Plane) -> Skull:
    """Evaluate the skull of a patient on a plane."""
    x, y, z = plane.coordinates()
    side = np.abs(x)
    level = np.maximum(skull_level(patient, x, y, z), 0.05)
    outside = np.sqrt(x * x + y * y + z * z) * (1.0 - 1.0 / level)
    wobble = patient.shape.on(plane)
    outside += 1.1 * wobble
    cells = patient.cells.on(plane)
    depth = -outside - _thickness(patient, side, y, z, wobble)
    if float(z.min()) > 4.0:
        return Skull(x, y, z, side, outside, depth, depth, np.full_like(depth, -50.0), cells)
    above_floor = z - _floor(side, y)
    cavity = np.minimum(depth, 0.8 * above_floor)
    cavity = np.minimum(cavity, -_ridges(side, y, z))
    canal = 14.0 - np.sqrt((x - FORAMEN[0]) ** 2 + (y - FORAMEN[1] - 0.25 * (z - FORAMEN[2])) ** 2)
    cavity = np.maximum(cavity, np.minimum(canal, -48.0 - z))
    return Skull(x, y, z, side, outside, depth, cavity, -above_floor, cells)


def coronal(y: FieldOrFloat, z: FieldOrFloat) -> FieldOrFloat:
    """mm behind the coronal suture, which runs from the top forwards and down; negative on the frontal bone."""
    return 0.93 * (y + 8.0) + 0.36 * (40.0 - z) + 8.0


def lambdoid(y: FieldOrFloat, z: FieldOrFloat) -> FieldOrFloat:
    """mm behind the lambdoid suture, from the back of the top backwards and down; positive on the occipital bone."""
    return 0.87 * (y - 58.0) - 0.5 * (z - 20.0)


def surface_point(patient: Patient, direction: Point) -> Point:
    """The place on the inner table in a direction from the middle of the head."""
    x, y, z = (np.full(1, value, np.float32) for value in direction)
    reach = 1.0 / float(skull_level(patient, x, y, z)[0])
    for _ in range(4):  # the width depends on y, so the level is not quite homogeneous: iterate
        reach /= float(skull_level(patient, x * reach, y * reach, z * reach)[0])
    length = float(np.sqrt(sum(value * value for value in direction)))
    reach -= patient.bone / length
    return direction[0] * reach, direction[1] * reach, direction[2] * reach


def vault_hu(patient: Patient, skull: Skull, plane: Plane) -> tuple[Field, Field]:
    """The vault's bone on a plane: its radiodensity (tables and diploe) and how much of each pixel it fills."""
    edge = plane.edge
    share = cover(-skull.outside, edge) * cover(-skull.depth, edge)
    share *= cover(3.0 - skull.below_floor, 5.0)  # the vault ends where the face begins
    if patient.suture > 0.0:
        share *= 1.0 - _sutures(patient, skull, edge)
    if patient.fractures:
        share *= 1.0 - gaps(patient.fractures, skull.x, skull.y, skull.z, edge)
    into = np.minimum(-skull.outside, -skull.depth)
    tables = 1.0 - step(into - 0.27 * patient.bone, 1.2)
    marrow = patient.diploe_hu + 130.0 * skull.cells
    return marrow + tables * (patient.cortical_hu - marrow), share


def base_hu(patient: Patient, skull: Skull, plane: Plane, hu: Field) -> None:
    """Paint the skull base (floor of the fossae, petrous bones, clivus, mastoids with their air cells) into `hu`."""
    side, y, z, edge = skull.side, skull.y, skull.z, plane.edge
    cells = skull.cells
    inside = cover(-skull.outside, edge)
    thickness = 3.0 + 4.0 * step(y + 25.0, 20.0) + 5.0 * step(20.0 - side, 10.0) * step(y + 45.0, 20.0)
    share = inside * cover(skull.below_floor, edge) * cover(thickness - skull.below_floor, 1.5 * edge)
    share *= 1.0 - cover(skull.cavity, edge)
    paint(hu, share, patient.diploe_hu + 350.0 + 250.0 * cells)
    ridges = cover(_ridges(side, y, z), 1.5 * edge) * cover(-skull.outside + 1.0, edge)
    paint(hu, ridges, patient.cortical_hu - 150.0 + 250.0 * cells)
    mastoid = capsule(side, y, z, ((57.0, 24.0, -34.0), (55.0, 26.0, -58.0)), (14.0, 7.0))
    mastoid = np.minimum(mastoid, 3.0 - skull.outside)
    solid = cover(mastoid, edge) * (1.0 - cover(skull.cavity, edge))
    paint(hu, solid, patient.cortical_hu - 500.0)
    air = cover(mastoid - 2.5, 2 * edge) * cover(2.2 * np.abs(cells) - 0.7, 0.8) * (1.0 - cover(skull.cavity, edge))
    paint(hu, air, -850.0)


def _sutures(patient: Patient, skull: Skull, edge: float) -> Field:
    """How much of each pixel open sutures, and the fontanelle where they meet, take of the vault, 0 to 1."""
    behind_coronal, behind_lambdoid = coronal(skull.y, skull.z), lambdoid(skull.y, skull.z)
    sagittal = np.where((behind_coronal > 0) & (behind_lambdoid < 0), skull.side, 99.0)
    lines = np.minimum(np.minimum(sagittal, np.abs(behind_coronal)), np.abs(behind_lambdoid))
    open_ = slab(lines, 0.5 * patient.suture, edge)
    if patient.fontanelle > 0.0:
        open_ = np.maximum(open_, cover(patient.fontanelle - np.sqrt(skull.side**2 + behind_coronal**2), edge))
    return np.where(skull.z > 0.0, open_, 0.0)


def _thickness(patient: Patient, side: Field, y: Field, z: Field, wobble: Field) -> Field:
    temporal = np.exp(-(((y + 5.0) / 35.0) ** 2) - ((z + 8.0) / 26.0) ** 2)
    crest = np.exp(-((side / 9.0) ** 2)) * np.exp(-(((z - 5.0) / 45.0) ** 2))
    low = step(-z - 25.0, 30.0) * step(y - 20.0, 30.0)
    return patient.bone * (1.0 - 0.45 * temporal + 0.45 * crest + 0.25 * low + 0.10 * wobble)


def _floor(side: Field, y: Field) -> Field:
    """The height of the cranial floor under a place: anterior, middle and posterior fossa, sella and clivus."""
    roof = np.exp(-(((side - 27.0) / 17.0) ** 2) - ((y + 62.0) / 24.0) ** 2)
    anterior = -21.0 + 10.0 * roof
    central = step(15.0 - side, 9.0)
    middle = -39.0 + 0.12 * np.abs(y + 8.0) + central * 13.0
    clivus = np.clip(-22.0 - 2.0 * (y + 10.0), -60.0, -22.0)
    posterior = -58.0 + step(16.0 - side, 10.0) * (clivus + 58.0) + 0.010 * (y - 30.0) ** 2
    front = step(-17.0 - 22.0 * np.exp(-(((side - 38.0) / 20.0) ** 2)) - y, 9.0)
    back = step(y + 9.0 - np.maximum(0.62 * (side - 5.0), 0.0), 7.0)
    floor = middle + front * (anterior - middle)
    return floor + back * (1.0 - front) * (posterior - floor)


def _ridges(side: Field, y: Field, z: Field) -> Field:
    petrous = capsule(side, y, z, PETROUS, (6.5, 12.0))
    wing = capsule(side, y, z, SPHENOID_WING, (3.0, 2.5))
    dorsum = capsule(side, y, z, ((0.0, -9.0, -25.0), (9.0, -9.0, -24.0)), (3.0, 2.5))
    return np.maximum(np.maximum(petrous, wing), dorsum)
