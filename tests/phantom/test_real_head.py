"""A braincase found from HU alone, against the phantom's truth; and lesions drawn into it."""

from functools import lru_cache

import numpy as np
import pytest

from ichnos.errors import InputError
from ichnos.phantom import CohortSettings, make_exam
from ichnos.phantom.cohort import plan_exam
from ichnos.phantom.grafting import draw_grafts, graft
from ichnos.phantom.lesions import draw_lesions
from ichnos.phantom.real_head import find_head
from ichnos.phantom.skull import skull_on
from ichnos.subtypes import SUBTYPES, Subtype
from tests.phantom.heads import exam_with

SETTINGS = CohortSettings(exams=9, seed=5, prevalence={}, matrix=256, slices=(24, 24))


@lru_cache(maxsize=3)
def _found(number):
    exam = make_exam(SETTINGS, number)
    normal = np.cross(exam.orientation[:3], exam.orientation[3:])
    offsets = exam.positions @ normal
    return exam, offsets, find_head(np.random.default_rng(0), exam.hu, offsets, exam.pixel_spacing)


@pytest.mark.parametrize("number", range(3))
def test_braincase_is_where_the_phantom_has_it(number):
    exam, _, head = _found(number)
    plan = plan_exam(SETTINGS, number)
    assert len(head.slices) >= 16
    agree, inside = 0.0, 0.0
    for index, brain in zip(head.slices, head.brains, strict=True):
        truth = skull_on(plan.patient, plan.scan.plane(index)).cavity > 0
        truth = np.kron(truth, np.ones((4, 4), np.bool_))[::3, ::3]  # from a grid of 192 to the exam's 256
        found = np.zeros(exam.hu.shape[1:], np.bool_)
        fine = np.kron(brain.skull.depth > 0, np.ones((head.step, head.step), np.bool_))
        found[head.box] = fine
        agree += 2.0 * float((found & truth).sum())
        inside += float(found.sum() + truth.sum())
    assert agree / inside > 0.93  # Dice over the exam
    assert head.patient.half_width == pytest.approx(plan.patient.half_width, abs=5.0)
    assert head.patient.half_length == pytest.approx(plan.patient.half_length, abs=6.0)


def test_no_head_is_said():
    hu = np.full((6, 128, 128), -1000, np.int16)
    hu[:, 40:90, 40:90] = 40  # a box of water without bone
    with pytest.raises(InputError, match="found in 0 of 6 slices, at least 3 are needed"):
        find_head(np.random.default_rng(0), hu, np.arange(6) * 5.0, (1.5, 1.5))


@pytest.mark.parametrize("subtype", SUBTYPES)
def test_lesions_lie_in_the_braincase_and_are_as_dense_as_blood(subtype):
    exam, _, head = _found(0)
    drawn = 0
    for seed in range(6):
        lesions = draw_lesions(np.random.default_rng(seed), head.patient, frozenset((subtype,)))
        before = exam.hu.copy()
        grafted = graft(head, exam.hu, exam.pixel_spacing, lesions)
        assert np.array_equal(exam.hu, before)
        for row, hu, mask, labels in zip(grafted.rows, grafted.hu, grafted.masks, grafted.labels, strict=True):
            assert not labels[[s is not subtype for s in SUBTYPES]].any()
            bleeds = mask > 0
            area = bleeds.sum() * exam.pixel_spacing[0] * exam.pixel_spacing[1]
            assert labels.any() == (area >= 12.0)
            outside = np.ones(bleeds.shape, np.bool_)
            depth = np.kron(head.brains[head.slices.index(row)].skull.depth, np.ones((head.step, head.step)))
            outside[head.box] = depth < -1.5
            assert not (bleeds & outside).any()
            assert np.array_equal(hu[outside], exam.hu[row][outside])  # skull and what lies outside stay as they are
            if labels.any():
                drawn += 1
                assert 12 < np.median(hu[bleeds]) < 90
    assert drawn > 0


def test_acute_blood_is_brighter_than_the_brain_was():
    exam, _, head = _found(1)
    lesions = draw_lesions(np.random.default_rng(3), head.patient, frozenset((Subtype.INTRAPARENCHYMAL,)))
    grafted = graft(head, exam.hu, exam.pixel_spacing, lesions)
    bleeds = grafted.masks > 0
    assert np.median(grafted.hu[bleeds]) > np.median(exam.hu[grafted.rows][bleeds]) + 15


def test_epidural_lies_on_the_inner_table():
    exam, _, head = _found(0)
    for seed in range(4):
        lesions = draw_lesions(np.random.default_rng(seed), head.patient, frozenset((Subtype.EPIDURAL,)))
        grafted = graft(head, exam.hu, exam.pixel_spacing, lesions)
        for row, mask in zip(grafted.rows, grafted.masks, strict=True):
            depth = np.kron(head.brains[head.slices.index(row)].skull.depth, np.ones((head.step, head.step)))
            if (mask > 0).sum() > 60:
                assert depth[mask[head.box] > 0].min() < 3.0


def test_same_seed_same_lesions():
    exam, _, head = _found(0)
    drawn = [
        graft(head, exam.hu, exam.pixel_spacing, draw_grafts(np.random.default_rng(8), head, SUBTYPES))
        for _ in range(2)
    ]
    assert len(drawn[0].rows)
    assert np.array_equal(drawn[0].hu, drawn[1].hu)
    assert np.array_equal(drawn[0].masks, drawn[1].masks)


def test_only_the_subtypes_that_were_asked_for():
    _, _, head = _found(0)
    for seed in range(10):
        lesions = draw_grafts(np.random.default_rng(seed), head, (Subtype.EPIDURAL, Subtype.SUBDURAL))
        assert {lesion.subtype for lesion in lesions} <= {Subtype.EPIDURAL, Subtype.SUBDURAL}


def test_a_small_matrix_will_do():
    exam = exam_with(None)
    head = find_head(np.random.default_rng(0), exam.hu, np.arange(20) * 7.0, exam.pixel_spacing)
    assert head.step == 1
    grafted = graft(head, exam.hu, exam.pixel_spacing, draw_grafts(np.random.default_rng(2), head, SUBTYPES))
    assert grafted.hu.shape[1:] == exam.hu.shape[1:]
