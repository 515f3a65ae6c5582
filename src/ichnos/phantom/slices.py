"""One plane through a patient's head: anatomy and lesions together, as HU and as the share that each subtype fills."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ichnos.phantom.brain import brain_on
from ichnos.phantom.face import FACE_TOP_MM, face, soft_tissue
from ichnos.phantom.fields import Field, Plane, paint
from ichnos.phantom.lesions import Lesion
from ichnos.phantom.lesions.intraparenchymal import Intraparenchymal
from ichnos.phantom.lookalikes import paint_calcifications
from ichnos.phantom.patient import Patient
from ichnos.phantom.skull import base_hu, skull_on, vault_hu
from ichnos.subtypes import SUBTYPES

OEDEMA_HU = 19.0
"""Swollen white matter around a clot."""


def head_on(patient: Patient, lesions: Sequence[Lesion], plane: Plane) -> tuple[Field, NDArray[np.float32]]:
    """HU without noise, shape (rows, columns), and the share of each pixel that bleeds, shape (5, rows, columns)."""
    skull = skull_on(patient, plane)
    hu = soft_tissue(patient, skull, plane)
    bleeding = np.zeros((len(SUBTYPES), *plane.shape), np.float32)
    low = float(skull.z.min()) < FACE_TOP_MM
    if low:
        face(patient, skull, plane, hu)
        base_hu(patient, skull, plane, hu)
    bone, bone_share = vault_hu(patient, skull, plane)
    paint(hu, bone_share, bone)
    if float(skull.cavity.max()) < 0.0:
        return hu, bleeding
    brain = brain_on(patient, skull, plane, [lesion.mass for lesion in lesions if lesion.mass is not None])
    paint_calcifications(patient, brain)
    here = [lesion for lesion in lesions if _meets(lesion, skull.z)]
    for lesion in here:
        if isinstance(lesion, Intraparenchymal):
            paint(brain.hu, lesion.oedema(brain), OEDEMA_HU)
    for lesion in here:
        share = lesion.coverage(brain)
        paint(brain.hu, share, lesion.density.on(brain))
        k = SUBTYPES.index(lesion.subtype)
        bleeding[k] = np.maximum(bleeding[k], share * brain.inside)
    paint(hu, brain.inside, brain.hu)
    return hu, bleeding


def _meets(lesion: Lesion, z: Field) -> bool:
    low, high = lesion.extent
    return float(z.min()) < high + 6.0 and float(z.max()) > low - 6.0  # 6 mm: how far the brain's warp can carry it
