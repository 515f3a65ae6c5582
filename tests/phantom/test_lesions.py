"""Each subtype lies where it does in life."""

import numpy as np
import pytest

from ichnos.phantom.brain import brain_on
from ichnos.phantom.lesions.epidural import draw_epidural, suture_distance
from ichnos.phantom.lesions.intraparenchymal import draw_intraparenchymal
from ichnos.phantom.lesions.intraventricular import draw_intraventricular
from ichnos.phantom.lesions.subarachnoid import draw_subarachnoid
from ichnos.phantom.lesions.subdural import Convexity, Film, draw_subdural
from ichnos.phantom.skull import skull_on
from ichnos.subtypes import SUBTYPES, Subtype
from tests.phantom.heads import PATIENT, axial, brain_at, exam_with

HEIGHTS = (-30.0, -12.0, 4.0, 14.0, 30.0, 52.0)
SEEDS = range(12)


def _rng(seed):
    return np.random.default_rng([11, seed])


def _levels(lesion):
    """(brain, what the lesion fills more than half) at every height that it reaches."""
    low, high = lesion.extent
    for height in HEIGHTS:
        if low < height < high:
            plane = axial(height)
            brain = brain_on(PATIENT, skull_on(PATIENT, plane), plane, [lesion.mass] if lesion.mass else [])
            filled = lesion.coverage(brain) > 0.5
            if filled.sum() > 12:
                yield brain, filled


@pytest.mark.parametrize("seed", SEEDS)
def test_epidural_touches_the_inner_table_and_stays_on_one_bone(seed):
    lesion = draw_epidural(_rng(seed), PATIENT)
    for brain, filled in _levels(lesion):
        skull = brain.skull
        assert skull.depth[filled].min() < 2.0
        assert skull.depth[filled].max() < 1.3 * lesion.thickness + 2.0
        assert suture_distance(lesion.centre, skull.x, skull.y, skull.z)[filled].min() > -0.5


def test_epidural_is_biconvex():
    """Thickest in the middle: at half its width still more than half as thick, unlike a crescent's even film."""
    drawn = (draw_epidural(_rng(seed), PATIENT) for seed in SEEDS)
    lesion = next(part for part in drawn if abs(part.centre[2]) < 12.0)  # there the skull stands upright in the plane
    plane = axial(lesion.centre[2])
    brain = brain_on(PATIENT, skull_on(PATIENT, plane), plane, [])
    depth, filled = brain.skull.depth, lesion.coverage(brain) > 0.5
    far = np.hypot(brain.skull.x - lesion.centre[0], brain.skull.y - lesion.centre[1])
    across = np.sqrt(np.maximum(far**2 - depth**2, 0.0))
    thickness = [
        depth[filled & (across >= f * lesion.radius) & (across < (f + 0.2) * lesion.radius)].max() for f in (0, 0.4)
    ]
    assert thickness[0] > thickness[1] > 0.45 * thickness[0]


@pytest.mark.parametrize("seed", SEEDS)
def test_subdural_lines_skull_falx_or_tentorium(seed):
    for lesion in draw_subdural(_rng(seed), PATIENT):
        for brain, filled in _levels(lesion):
            match lesion:
                case Convexity():
                    assert brain.skull.cavity[filled].min() < 2.5
                    assert (lesion.side * brain.x[filled]).min() > -0.5
                case Film(on_falx=True):
                    assert np.abs(brain.x[filled]).max() < 2.0 * lesion.thickness + 1.5
                case Film():
                    assert np.abs(brain.tentorium[filled]).max() < 2.0 * lesion.thickness + 1.5


def test_subdural_crosses_sutures():
    lesion = next(part for seed in SEEDS for part in draw_subdural(_rng(seed), PATIENT) if isinstance(part, Convexity))
    crossed = [
        np.ptp(np.sign(suture_distance(lesion.middle, brain.skull.x, brain.skull.y, brain.skull.z)[filled]))
        for brain, filled in _levels(lesion)
    ]
    assert max(crossed) == 2.0


@pytest.mark.parametrize("seed", SEEDS)
def test_subarachnoid_fills_fluid_spaces(seed):
    for lesion in draw_subarachnoid(_rng(seed), PATIENT):
        for brain, filled in _levels(lesion):
            assert (brain.sulcus[filled] + lesion.widen).min() > -0.5
            assert brain.ventricle[filled].max() < 0.5


@pytest.mark.parametrize("seed", SEEDS)
def test_intraventricular_is_in_the_ventricles(seed):
    for lesion in draw_intraventricular(_rng(seed)):
        for brain, filled in _levels(lesion):
            assert brain.ventricle[filled].min() > -1.2


@pytest.mark.parametrize("seed", SEEDS)
def test_intraparenchymal_is_in_the_brain(seed):
    for lesion in draw_intraparenchymal(_rng(seed), PATIENT):
        for brain, filled in _levels(lesion):
            assert brain.depth[filled].min() > 0.0
            assert brain.ventricle[filled].max() < 0.5


@pytest.mark.parametrize("subtype", [Subtype.EPIDURAL, Subtype.INTRAPARENCHYMAL])
def test_fresh_blood_is_denser_than_the_brain(subtype):
    exam = exam_with(subtype)
    blood = exam.hu[(exam.masks >> SUBTYPES.index(subtype) & 1) > 0]
    tissue = exam.hu[(exam.masks == 0) & (exam.hu > 0) & (exam.hu < 60)]
    assert np.median(blood) > np.median(tissue) + 15


def test_a_mass_shifts_the_midline():
    lesion = max((draw_epidural(_rng(seed), PATIENT) for seed in SEEDS), key=lambda part: part.thickness)
    plane = axial(lesion.centre[2])
    moved = brain_on(PATIENT, skull_on(PATIENT, plane), plane, [lesion.mass])
    still = brain_at(lesion.centre[2])
    shift = np.sign(lesion.centre[0]) * (moved.x - still.x)
    assert np.median(shift[still.side < 5.0]) > 0.5
