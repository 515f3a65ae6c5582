"""The injured: what lies outside the brain changes, what lies in it does not; who they are and how they lie."""

import dataclasses
from collections import Counter

import numpy as np
import pytest

from ichnos.phantom import CohortSettings, Patients, make_exam
from ichnos.phantom.cohort import plan_exam
from ichnos.phantom.injuries import Fracture, Swelling, gaps, thickness_of
from ichnos.phantom.lesions.epidural import THIN_MM, Epidural
from ichnos.phantom.patient import CHILDREN, draw_injured
from ichnos.phantom.skull import skull_on
from ichnos.phantom.slices import head_on
from ichnos.subtypes import Subtype
from tests.phantom.heads import PATIENT, axial

LEFT = (1.0, 0.0, 0.0)
PLANE = axial(2.0)
SKULL = skull_on(PATIENT, PLANE)
X = np.broadcast_to(SKULL.x, PLANE.shape)


def _head(**changes):
    return head_on(dataclasses.replace(PATIENT, **changes), [], PLANE)[0]


def test_a_swelling_lies_outside_the_skull_on_its_side_and_leaves_the_rest_alone():
    hu, plain = _head(swellings=(Swelling(LEFT, 30.0, 10.0, 66.0),)), _head()
    changed = np.abs(hu - plain) > 1.0
    assert (SKULL.outside[changed] > -1.0).all()
    assert (X[changed] > 0.0).all()
    assert changed.sum() * 1.75**2 > 300.0  # 60 mm along the skull by some 7 mm
    swollen = hu[changed & (SKULL.outside > 2.0) & (SKULL.outside < 8.0) & (np.abs(SKULL.y) < 15.0)]
    assert np.median(swollen) == pytest.approx(66.0, abs=9.0)


def test_a_swelling_is_one_where_muscles_begin_under_the_skin():
    """Below the widest plane, where they do."""
    plane = axial(-15.0)
    skull = skull_on(PATIENT, plane)
    swollen = dataclasses.replace(PATIENT, swellings=(Swelling((0.95, 0.3, -0.1), 40.0, 12.0, 66.0),))
    hu = head_on(swollen, [], plane)[0]
    thick = thickness_of(swollen.swellings, skull.x, skull.y, skull.z) > 9.0
    within = hu[thick & (skull.outside > 3.0) & (skull.outside < 7.0)]
    assert within.size > 20
    assert within.min() > 40.0


@pytest.mark.parametrize("pixels", [128, 64])
def test_a_gap_thinner_than_a_pixel_fills_its_share_of_it(pixels):
    plane = axial(2.0, pixels)
    x, y, z = plane.coordinates()
    pixel = 224.0 / pixels
    for width in (0.0, 0.4, 2.0):
        share = gaps((Fracture(LEFT, (0.0, 1.0, 0.0), 60.0, width),), x, y, z, plane.edge)
        middle = share[:, np.argmin(np.abs(np.broadcast_to(x, plane.shape)[0] - 70.0))]
        assert middle.sum() * pixel == pytest.approx(width, abs=0.35 * width)


def test_a_fracture_opens_the_bone_and_not_the_brain():
    hu, plain = _head(fractures=(Fracture(LEFT, (0.0, 1.0, 0.0), 30.0, 3.0),)), _head()
    changed = np.abs(hu - plain) > 1.0
    assert changed.any()
    assert (hu[changed] < plain[changed]).all()
    assert (np.abs(np.broadcast_to(SKULL.y, PLANE.shape)[changed]) < 4.0).all()
    assert (SKULL.depth[changed] < 1.5).all()


def test_the_young_have_open_sutures():
    vertex = axial(60.0)
    shut, opened = (
        head_on(dataclasses.replace(PATIENT, suture=width, fontanelle=0.0), [], vertex)[0] for width in (0.0, 6.0)
    )
    assert (opened - shut).min() < -300.0
    assert (opened > 400).sum() > 0.8 * (shut > 400).sum()


def _injured(count=800):
    return [draw_injured(np.random.default_rng(seed)) for seed in range(count)]


def test_a_third_are_children_with_small_heads_and_thin_skulls():
    people = _injured()
    young = [one for one in people if one.age < 18]
    assert len(young) / len(people) == pytest.approx(CHILDREN, abs=0.04)
    assert min(one.suture for one in young) > 0.0
    assert not any(one.choroid_calcified or one.pineal_calcified for one in young)
    infants, grown = ([one for one in people if low <= one.age < high] for low, high in ((0, 2), (18, 99)))
    assert infants
    assert np.mean([one.half_width for one in infants]) < 0.9 * np.mean([one.half_width for one in grown])
    assert max(one.bone for one in infants) < min(one.bone for one in grown)
    assert min(one.fontanelle for one in infants) > 0.0
    assert not any(one.suture or one.fontanelle for one in grown)


def test_injuries_come_in_all_numbers():
    people = _injured()
    for kind in ("swellings", "fractures"):
        numbers = Counter(len(getattr(one, kind)) for one in people)
        assert set(numbers) == {0, 1, 2}


def _plans(patients):
    settings = CohortSettings(80, 1, {Subtype.EPIDURAL: 1.0}, 64, (10, 10), patients)
    return [plan_exam(settings, number) for number in range(80)]


def test_half_of_the_epidurals_are_thin_and_heads_are_turned_further():
    usual, injured = _plans(Patients.EMERGENCY), _plans(Patients.TRAUMA)
    thin = []
    for plans in (usual, injured):
        epidurals = [lesion for plan in plans for lesion in plan.lesions if isinstance(lesion, Epidural)]
        thin.append(np.mean([lesion.thickness <= THIN_MM[1] for lesion in epidurals]))
    assert thin[0] < 0.25 < 0.4 < thin[1] < 0.8
    turned = [np.std([np.arctan2(plan.scan.turn[1, 0], plan.scan.turn[0, 0]) for plan in plans])
              for plans in (usual, injured)]  # fmt: skip
    assert turned[1] > 1.5 * turned[0]


def test_swellings_and_fractures_are_no_sign_of_blood():
    """They are the patient's, who is drawn before anyone asks for blood."""
    bloodless, bleeding = (
        [plan_exam(CohortSettings(20, 3, prevalence, 64, (10, 10), Patients.TRAUMA), n) for n in range(20)]
        for prevalence in ({}, {Subtype.EPIDURAL: 1.0})
    )
    assert all(plan.lesions for plan in bleeding)
    assert not any(plan.lesions for plan in bloodless)
    for without, with_ in zip(bloodless, bleeding, strict=True):
        for kind in ("swellings", "fractures"):
            assert [each.direction for each in getattr(without.patient, kind)] == [
                each.direction for each in getattr(with_.patient, kind)
            ]


def test_the_injured_have_masks_and_labels_as_others_do():
    exam = make_exam(CohortSettings(3, 2, {Subtype.SUBDURAL: 1.0}, 128, (12, 12), Patients.TRAUMA), 0)
    assert exam.labels.any()
    assert exam.masks.any()
    assert exam.hu.min() >= -1024
    assert exam.hu.max() > 500
