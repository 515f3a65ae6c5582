"""What lies outside the braincase: scalp, and at low slices orbits, sinuses, jaw and the muscles of the neck."""

import numpy as np

from ichnos.phantom.fields import Box, Field, Plane, Point, box_around, capsule, cover, ellipsoid, paint, step
from ichnos.phantom.injuries import thickness_of
from ichnos.phantom.patient import Patient
from ichnos.phantom.skull import Skull, skull_on

AIR_HU = -1000.0
"""Air, by the definition of the Hounsfield unit."""

FAT_HU = -95.0
"""Subcutaneous and orbital fat."""

MUSCLE_HU = 55.0
"""Muscle of scalp, face and neck."""

SKIN_HU = 45.0
"""Skin."""

_COARSE = 6
"""The head's box is found on every sixth pixel: a thirty-sixth of the work."""

FACE_TOP_MM = 4.0
"""No plane wholly above this height meets the face."""


_SINUSES: tuple[tuple[Point, Point, bool], ...] = (
    ((6.0, -68.0, -32.0), (7.5, 25.0, 17.0), True),
    ((7.0, -32.0, -40.0), (9.0, 12.0, 9.0), False),
    ((27.0, -62.0, -62.0), (14.0, 18.0, 17.0), False),
    ((7.0, -66.0, -62.0), (7.0, 30.0, 18.0), True),
    ((11.0, -86.0, 0.0), (11.0, 5.5, 14.0), False),
)
"""Ethmoid cells, sphenoid and maxillary sinuses, nasal cavity, frontal sinuses: centre, radii (mm), whether parted by
walls into cells."""

_RODS: tuple[tuple[tuple[Point, Point], tuple[float, float]], ...] = (
    (((47.0, -68.0, -28.0), (50.0, -64.0, -46.0)), (4.5, 6.0)),
    (((50.0, -64.0, -46.0), (66.0, -20.0, -40.0)), (5.0, 2.5)),
    (((50.0, -6.0, -47.0), (49.0, -14.0, -95.0)), (5.5, 4.0)),
    (((14.0, -30.0, -48.0), (17.0, -34.0, -85.0)), (4.0, 3.0)),
    (((6.0, -86.0, -14.0), (9.0, -88.0, -40.0)), (3.5, 3.0)),
    (((20.0, 16.0, -64.0), (24.0, 18.0, -85.0)), (9.0, 11.0)),
    (((0.0, -24.0, -32.0), (0.0, 0.0, -62.0)), (12.0, 7.0)),
)
"""Bones as rods (ends and radii in mm): rim of the orbit, zygomatic arch, jaw, pterygoid, nose, condyle of the occiput,
body of sphenoid and clivus."""


def head_box(patient: Patient, plane: Plane) -> Box | None:
    """The rows and columns of a plane that hold the head; None where the plane passes above it."""
    coarse = plane.every(_COARSE)
    return box_around(_within_skin(patient, skull_on(patient, coarse)) > -6.0, _COARSE, plane.shape)


def soft_tissue(patient: Patient, skull: Skull, plane: Plane) -> Field:
    """Air, skin, fat and muscle around the skull: the ground that bone and brain are painted on. HU."""
    inside = _within_skin(patient, skull)
    hu = np.full(plane.shape, AIR_HU, np.float32)
    paint(hu, cover(inside, plane.edge), SKIN_HU)
    tissue = patient.tissue.on(plane)
    under_skin = cover(inside - 1.8, plane.edge)
    paint(hu, under_skin, FAT_HU)
    temporalis = np.exp(-(((skull.y + 22.0) / 30.0) ** 2)) * step(45.0 - skull.z, 50.0)
    galea = cover(2.0 + 6.0 * temporalis * step(skull.side - 40.0, 20.0) - skull.outside, 1.5)
    paint(hu, under_skin * galea, MUSCLE_HU)
    if float(skull.z.min()) < FACE_TOP_MM:
        deep = cover(inside - 5.0, 3.0) * cover(np.abs(skull.outside) - 4.0, 3.0)
        paint(hu, deep, _muscles(patient, skull, plane, tissue))
    for swelling in patient.swellings:  # over the muscles: those begin under the skin, which a swelling raises
        raised = thickness_of((swelling,), skull.x, skull.y, skull.z)
        layer = cover(raised - (skull.outside - 1.0), plane.edge) * cover(skull.outside, plane.edge)
        paint(hu, layer * cover(raised - 0.5, 1.0), swelling.hu + 6.0 * tissue)
    return hu


def _muscles(patient: Patient, skull: Skull, plane: Plane, tissue: Field) -> Field:
    """HU of the muscles of face and neck: large groups, thin planes of fat between them that come and go, fat pads."""
    groups = patient.warp[0].on(plane)
    planes = 1.0 - step(np.abs(tissue) - 0.09, 0.20)
    fat = np.maximum(planes * (0.15 + 0.55 * step(groups, 1.6)), step(tissue + 0.6 * groups - 1.45, 0.9))
    muscle = MUSCLE_HU + 7.0 * skull.cells
    return muscle + (FAT_HU - muscle) * fat


def face(patient: Patient, skull: Skull, plane: Plane, hu: Field) -> None:
    """Paint the facial skeleton, sinuses and orbits into `hu`, outside the braincase only."""
    free = 1.0 - cover(skull.cavity + 1.5, plane.edge)
    _jaw_and_cheek(patient, skull, plane, hu, free)
    _sinuses(patient, skull, plane, hu, free)
    _orbits(patient, skull, plane, hu, free)


def _within_skin(patient: Patient, skull: Skull) -> Field:
    """Distance under the skin in mm, positive inside the body."""
    x, y, z = skull.x, skull.y, skull.z
    scalp = patient.scalp * (1.0 + 0.25 * step(y - 40.0, 40.0))
    head = scalp - skull.outside
    if patient.swellings:
        head = head + thickness_of(patient.swellings, x, y, z)
    if float(z.min()) > FACE_TOP_MM:
        return head
    size = patient.half_width / 76.0
    front = ellipsoid(x, y, z, (0.0, -32.0 * size, -75.0), (67.0 * size, 71.0 * size, 90.0))
    nose = capsule(x, y, z, ((0.0, -92.0 * size, -16.0), (0.0, -104.0 * size, -55.0)), (6.0, 12.0))
    neck = np.minimum(ellipsoid(x, y, z, (0.0, 18.0, -110.0), (68.0, 66.0, 95.0)), -20.0 - z)
    return np.maximum(np.maximum(head, front), np.maximum(nose, neck))


def _orbits(patient: Patient, skull: Skull, plane: Plane, hu: Field, free: Field) -> None:
    side, y, z, edge = skull.side, skull.y, skull.z, plane.edge
    if not _meets(z, -52.0, -6.0):
        return
    size = patient.half_length / 92.0
    globe = (32.0 * size, -76.0 * size, -29.0)
    cone = capsule(side, y, z, (globe, (19.0 * size, -40.0 * size, -27.0)), (17.0, 5.0))
    cone = np.maximum(cone, ellipsoid(side, y, z, (33.0 * size, -86.0 * size, -29.0), (15.0, 14.0, 15.0)))
    wall = cover(cone + 2.2, edge) * cover(-cone, edge) * step(y + 88.0 * size, 6.0) * free
    paint(hu, wall, patient.cortical_hu - 500.0)
    open_front = cover(cone, edge) * free * cover(hu + 700.0, 300.0)
    paint(hu, open_front, FAT_HU)
    for offset, reach in ((12.0, 2.2), (-11.0, 2.0)):
        rectus = capsule(
            side, y, z, ((globe[0] + offset, globe[1] + 6.0, globe[2]), (21.0, -44.0 * size, -27.0)), (reach, 1.5)
        )
        paint(hu, cover(rectus, edge) * free, MUSCLE_HU)
    nerve = capsule(side, y, z, (globe, (17.0, -40.0 * size, -26.0)), (2.0, 2.0))
    paint(hu, cover(nerve, edge) * free, 35.0)
    eye = ellipsoid(side, y, z, globe, (12.2, 12.0, 12.0))
    paint(hu, cover(eye, edge) * free, 60.0)
    paint(hu, cover(eye - 1.6, edge) * free, 8.0)
    lens = ellipsoid(side, y, z, (globe[0], globe[1] - 7.5, globe[2]), (4.6, 2.2, 4.6))
    paint(hu, cover(lens, edge) * free, 85.0)


def _sinuses(patient: Patient, skull: Skull, plane: Plane, hu: Field, free: Field) -> None:
    side, x, y, z, edge = skull.side, skull.x, skull.y, skull.z, plane.edge
    size = patient.half_length / 92.0
    septa = 2.0 - 7.0 * np.abs(skull.cells)
    for centre, radii, cells in _SINUSES:
        if not _meets(z, centre[2] - radii[2], centre[2] + radii[2]):
            continue
        distance = ellipsoid(side, y, z, (centre[0], centre[1] * size, centre[2]), radii)
        paint(hu, cover(distance + 1.8, edge) * free, 550.0)
        walls = np.maximum(septa, 0.8 - side) if cells else 0.7 - np.abs(x - 0.6)
        paint(hu, cover(distance, edge) * cover(-walls, 1.2) * free, AIR_HU + 15.0)


def _jaw_and_cheek(patient: Patient, skull: Skull, plane: Plane, hu: Field, free: Field) -> None:
    side, y, z, edge = skull.side, skull.y, skull.z, plane.edge
    size = patient.half_width / 76.0
    for ((ax, ay, az), (bx, by, bz)), radii in _RODS:
        if not _meets(z, min(az, bz) - max(radii), max(az, bz) + max(radii)):
            continue
        bone = capsule(side, y, z, ((ax * size, ay * size, az), (bx * size, by * size, bz)), radii)
        paint(hu, cover(bone, edge) * free, patient.cortical_hu - 350.0)
        paint(hu, cover(bone - 2.2, edge) * free, patient.diploe_hu - 200.0)


def _meets(z: Field, low: float, high: float) -> bool:
    return float(z.min()) < high + 2.0 and float(z.max()) > low - 2.0
