"""One plane through a patient's head: anatomy and lesions together, as HU and as the share that each subtype fills."""

from collections.abc import Sequence

import numpy as np

from ichnos.phantom.brain import brain_on
from ichnos.phantom.face import AIR_HU, FACE_TOP_MM, face, head_box, soft_tissue
from ichnos.phantom.fields import Field, Plane, box_around, paint
from ichnos.phantom.lesions import Lesion
from ichnos.phantom.lesions.intraparenchymal import Intraparenchymal
from ichnos.phantom.lookalikes import paint_calcifications
from ichnos.phantom.patient import Patient
from ichnos.phantom.skull import Skull, base_hu, skull_on, vault_hu
from ichnos.subtypes import SUBTYPES

OEDEMA_HU = 19.0
"""Swollen white matter around a clot."""


def head_on(patient: Patient, lesions: Sequence[Lesion], plane: Plane) -> tuple[Field, Field]:
    """HU without noise, shape (rows, columns), and the share of each pixel that bleeds, shape (5, rows, columns)."""
    hu = np.full(plane.shape, AIR_HU, np.float32)
    bleeding = np.zeros((len(SUBTYPES), *plane.shape), np.float32)
    box = head_box(patient, plane)
    if box is not None:
        _paint_head(patient, lesions, plane.crop(box), hu[box], bleeding[:, *box])
    return hu, bleeding


def _paint_head(patient: Patient, lesions: Sequence[Lesion], plane: Plane, hu: Field, bleeding: Field) -> None:
    """Paint the part of a plane that holds the head, in place."""
    skull = skull_on(patient, plane)
    hu[:] = soft_tissue(patient, skull, plane)
    if float(skull.z.min()) < FACE_TOP_MM:
        face(patient, skull, plane, hu)
        base_hu(patient, skull, plane, hu)
    bone, bone_share = vault_hu(patient, skull, plane)
    paint(hu, bone_share, bone)
    box = box_around(skull.cavity > -1.5, 1, plane.shape)
    if box is not None:
        _paint_brain(patient, lesions, skull.crop(box), plane.crop(box), hu[box], bleeding[:, *box])


def _paint_brain(
    patient: Patient, lesions: Sequence[Lesion], skull: Skull, plane: Plane, hu: Field, bleeding: Field
) -> None:
    """Paint the part of a plane that holds the braincase, in place."""
    brain = brain_on(patient, skull, plane, [lesion.mass for lesion in lesions if lesion.mass is not None])
    paint_calcifications(patient, brain)
    here = [lesion for lesion in lesions if meets(lesion, skull.z)]
    for lesion in here:
        if isinstance(lesion, Intraparenchymal):
            paint(brain.hu, lesion.oedema(brain), OEDEMA_HU)
    for lesion in here:
        share = lesion.coverage(brain)
        paint(brain.hu, share, lesion.density.on(brain))
        filled = bleeding[SUBTYPES.index(lesion.subtype)]
        np.maximum(filled, share * brain.inside, out=filled)
    paint(hu, brain.inside, brain.hu)


def meets(lesion: Lesion, z: Field) -> bool:
    """Whether a lesion can reach a plane whose places have these z."""
    low, high = lesion.extent
    return float(z.min()) < high + 6.0 and float(z.max()) > low - 6.0  # 6 mm: how far the brain's warp can carry it
