"""The inside of the skull: grey and white matter, fluid spaces, falx and tentorium, shrunk by age, moved by lesions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ichnos.phantom.displacement import Displacement
from ichnos.phantom.fields import Field, Plane, capsule, cover, ellipsoid, interpolation, paint, step
from ichnos.phantom.patient import Patient
from ichnos.phantom.skull import Skull
from ichnos.phantom.ventricles import fourth, lateral, third

CSF_HU = 6.0
"""Cerebrospinal fluid (0 to 12 HU)."""

_COARSE = 3
"""The gyri's function is made on every third pixel (2.7 mm) and interpolated: its waves are eight times longer."""

WARP_MM = 2.2
"""How far one brain's landmarks stray from another's (standard deviation)."""


@dataclass(frozen=True, eq=False)
class Brain:
    """The inside of the skull on a plane. Distances in mm, positive inside; shares from 0 to 1.

    x, side, y, z: the undisplaced brain's coordinates. depth: under the brain's surface. ventricle: in any ventricle.
    sulcus: in a sulcus, fissure or cistern, wherever their fluid is or (narrowed) would be. fluid: share of
    subarachnoid fluid. tentorium: height above the tentorium where it is, else above 30. hu: without lesions.
    """

    plane: Plane
    skull: Skull
    x: Field
    side: Field
    y: Field
    z: Field
    depth: Field
    inside: Field
    ventricle: Field
    sulcus: Field
    fluid: Field
    tentorium: Field
    falx: Field
    hu: Field


def brain_on(patient: Patient, skull: Skull, plane: Plane, displacements: Sequence[Displacement]) -> Brain:
    """Evaluate the inside of a patient's skull on a plane."""
    x, y, z, open_share = _displaced(patient, skull, plane, displacements)
    side = np.abs(x)
    edge = plane.edge
    gap = (0.7 + 2.6 * patient.atrophy * (1.0 + 0.6 * step(-y, 80.0))) * open_share
    depth = skull.cavity - gap
    tentorium = tentorium_height(side, y, z)
    falx = falx_depth(y, z)
    ventricle = np.maximum(
        np.maximum(lateral(side, y, z, patient.ventricles), third(side, y, z, patient.ventricles)),
        fourth(side, y, z, 0.8 + 0.2 * patient.ventricles),
    )
    gyri = _gyri(patient, plane)
    sulcus = np.maximum(sulci(patient, gyri, depth, side, y, z, open_share), -depth)
    sulcus = np.maximum(sulcus, cisterns(patient, side, y, z, open_share))
    fluid = cover(sulcus, edge)
    hu = _tissue_hu(patient, plane, gyri, depth, side, y, z, tentorium)
    paint(hu, fluid, CSF_HU)
    paint(hu, cover(ventricle, edge), CSF_HU)
    inside = cover(skull.cavity, edge)
    brain = Brain(plane, skull, x, side, y, z, depth, inside, ventricle, sulcus, fluid, tentorium, falx, hu)
    _membranes(patient, brain)
    return brain


def _displaced(
    patient: Patient, skull: Skull, plane: Plane, displacements: Sequence[Displacement]
) -> tuple[Field, Field, Field, Field]:
    x, y, z = (
        place + WARP_MM * warp.on(plane) for place, warp in zip((skull.x, skull.y, skull.z), patient.warp, strict=True)
    )
    size = 76.0 / patient.half_width
    x, y, z = x * size, y * (92.0 / patient.half_length), z * (89.0 / patient.height)
    open_share = np.ones(plane.shape, np.float32)
    for displacement in displacements:
        dx, dy, dz = displacement.push(skull.x, skull.y, skull.z)
        x, y, z = x - dx, y - dy, z - dz
        open_share *= 1.0 - displacement.efface(skull.x, skull.y, skull.z)
    return x, y, z, open_share


def tentorium_height(side: Field, y: Field, z: Field) -> Field:
    height = 9.0 - 0.55 * np.maximum(side - 3.0, 0.0) - 0.14 * (y - 30.0)
    notch = np.sqrt((side / 17.0) ** 2 + ((y - 16.0) / 24.0) ** 2) - 1.0
    behind = np.minimum(notch * 17.0, y - 0.45 * (side - 20.0) - 6.0)
    return np.where(behind > 0, (z - height) * 0.85, 40.0 + np.abs(z))


def falx_depth(y: Field, z: Field) -> Field:
    """How far the callosum's edge lies behind a place on its way out to the falx, in mm; positive where the falx is."""
    outward = np.sqrt(((y - 2.0) * (1 / 47.0)) ** 2 + ((z - 4.0) * (1 / 26.0)) ** 2) - 1.0
    above = z - 4.0 + 0.10 * (y - 30.0)
    return np.minimum(outward * 30.0, np.where(y > 0, above, z + 6.0))


def sulci(patient: Patient, gyri: Field, depth: Field, side: Field, y: Field, z: Field, open_share: Field) -> Field:
    reach = np.minimum(depth, 0.9 * side + 30.0 * (_callosal(y, z) < 0.1))
    supratentorial = step(z + 22.0 - 0.2 * y, 10.0)
    width = (0.15 + 1.7 * patient.atrophy * (1.0 + 0.25 * step(z - 20.0, 30.0))) * open_share * supratentorial
    width = width * (1.25 - reach * (1 / 20.0))
    sulci = np.where(supratentorial * (20.0 - reach) > 0, width - np.abs(gyri) * 3.5, -9.0)
    fissure_half = (0.35 + 1.5 * patient.atrophy) * (1.0 + 0.5 * gyri * np.sign(gyri)) * (0.3 + 0.7 * open_share)
    fissure = np.where((_callosal(y, z) > 0) & (supratentorial > 0.4), fissure_half - side, -9.0)
    insula = np.minimum(
        (0.5 + 1.7 * patient.atrophy) * open_share - np.abs(side - 39.0 + 0.006 * (y + 4.0) ** 2),
        ellipsoid(np.zeros_like(side), y, z, (0.0, -4.0, 4.0), (1.0, 25.0, 17.0)) * 17.0,
    )
    limb = np.maximum(
        capsule(side, y, z * 0.6, ((37.0, -24.0, -2.0), (64.0, -32.0, -3.0)), (1.0, 1.6)),
        capsule(side, y, z * 0.4, ((38.0, 16.0, 4.5), (66.0, 27.0, 7.0)), (1.0, 1.6)),
    )
    limb = np.where(limb > -8, limb + (1.6 * patient.atrophy - 0.9) * open_share, -9.0)
    return np.maximum(np.maximum(sulci, fissure), np.maximum(insula, limb))


def _gyri(patient: Patient, plane: Plane) -> Field:
    """A random function whose zeros are the sulci: drawn out along the radius, so that they run inwards."""
    x, y, z = plane.every(_COARSE).coordinates()
    stretch = ((np.sqrt(x * x + y * y + z * z) + 12.0) * (1 / 72.0)) ** np.float32(-0.6)
    coarse = patient.gyri.at(x * stretch, y * stretch, z * stretch)
    rows, columns = (interpolation(np.arange(n) / _COARSE, m) for n, m in zip(plane.shape, coarse.shape, strict=True))
    return rows @ coarse @ columns.T


def _callosal(y: Field, z: Field) -> Field:
    """Beyond the corpus callosum and what lies under it, where the hemispheres are parted: above 0."""
    return np.sqrt(((y - 3.0) * (1 / 42.0)) ** 2 + ((z - 4.0) * (1 / 23.0)) ** 2) - 1.0


def cisterns(patient: Patient, side: Field, y: Field, z: Field, open_share: Field) -> Field:
    swell = (0.6 + 2.0 * patient.atrophy) * (0.4 + 0.6 * open_share)
    suprasellar = ellipsoid(side, y, z, (0.0, -11.0, -19.0), (12.0, 9.5, 6.0))
    suprasellar = np.minimum(suprasellar, 13.0 - side - 0.9 * np.abs(y + 6.0) + 6.0)
    sylvian_stem = capsule(side, y, z, ((8.0, -15.0, -18.0), (33.0, -20.0, -10.0)), (2.2, 1.2))
    midbrain = ellipsoid(side, y, z, (0.0, 15.0, -12.0), (18.5, 16.5, 16.0))
    ambient = np.minimum(1.0 - np.abs(midbrain), y - 8.0)
    quadrigeminal = ellipsoid(side, y, z, (0.0, 33.0, -3.0), (10.0, 4.5, 7.0))
    prepontine = ellipsoid(side, y, z, (0.0, 0.0, -34.0), (14.0, 4.5, 14.0))
    angle = ellipsoid(side, y, z, (17.0, 8.0, -36.0), (8.0, 4.0, 6.0))
    magna = ellipsoid(side, y, z, (0.0, 62.0, -52.0), (9.0, 9.0, 9.0))
    medulla = np.minimum(1.8 - np.abs(ellipsoid(side, y, z, (0.0, 21.0, -60.0), (10.0, 9.0, 14.0))), -50.0 - z)
    spaces = (suprasellar, sylvian_stem, ambient, quadrigeminal, prepontine, angle, magna, medulla)
    return np.maximum.reduce(spaces) + (swell - 1.5)


def _tissue_hu(
    patient: Patient, plane: Plane, gyri: Field, depth: Field, side: Field, y: Field, z: Field, tentorium: Field
) -> Field:
    grey, white = patient.grey_hu, patient.white_hu
    medial = np.where(_callosal(y, z) > 0.05, side, 40.0)
    reach = np.minimum(depth, medial)
    ribbon = np.maximum(3.6 - reach, np.where(reach < 19.0, 3.0 - np.abs(gyri) * 3.5, -9.0))
    insular = 3.2 - np.abs(side - 38.0 + 0.006 * (y + 4.0) ** 2)
    insular = np.minimum(insular, ellipsoid(np.zeros_like(side), y, z, (0.0, -4.0, 4.0), (1.0, 26.0, 18.0)) * 18.0)
    nuclei = np.maximum.reduce(
        (
            ellipsoid(side, y, z, (14.0, -20.0, 8.0), (5.0, 9.0, 10.0)),
            ellipsoid(side - 0.25 * np.abs(y + 4.0), y, z, (21.0, -3.0, 3.0), (6.5, 17.0, 10.0)),
            ellipsoid(side, y, z, (10.5, 11.0, 6.0), (8.5, 13.5, 10.0)),
        )
    )
    grey_share = cover(np.maximum(np.maximum(ribbon, insular), nuclei), 2.4)
    hu = white + grey_share * (grey - white)
    if float(z.min()) < 10.0:
        below = cover(-np.where(tentorium > 35.0, z + 9.0, tentorium), 2.0) * step(y + 2.0, 8.0)
        folia = 0.5 * (grey + white) + 2.0 + 1.6 * patient.folia.on(plane)
        paint(hu, below, folia)
    return hu


def _membranes(patient: Patient, brain: Brain) -> None:
    """Falx, tentorium and the venous sinuses, painted into the brain's HU."""
    edge = brain.plane.edge
    side, y, z, depth = brain.side, brain.y, brain.z, brain.skull.cavity
    falx = cover(0.55 - side, edge) * cover(brain.falx, 3.0) * cover(-brain.depth + 60.0, 1.0)
    paint(brain.hu, falx, patient.dura_hu)
    tent = cover(0.35 - np.abs(brain.tentorium), edge)
    paint(brain.hu, tent, patient.dura_hu)
    sagittal = np.minimum(5.0 - side - 0.7 * depth, depth + 1.0)
    sagittal = np.where((y > -40.0) & ((z > 0.0) | (y > 60.0)) & ((y > 20) | (z > 30)) & (z > -12), sagittal, -9.0)
    straight = capsule(side, y, z, ((0.0, 36.0, 8.0), (0.0, 78.0, 2.0)), (2.0, 2.5))
    transverse = np.minimum(5.0 - depth, 3.5 - np.abs(brain.tentorium))
    transverse = np.where(y > 10.0, np.minimum(transverse, depth + 1.0), -9.0)
    veins = np.maximum(np.maximum(sagittal, straight), transverse)
    paint(brain.hu, cover(veins, 1.5 * edge), patient.sinus_hu)
