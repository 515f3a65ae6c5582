"""An exam as a whole: the same from the same seed, whatever the cohort; shapes, masks and labels agree."""

import dataclasses

import numpy as np
import pytest

from ichnos.phantom import VISIBLE_MM2, CohortSettings, make_exam
from ichnos.subtypes import SUBTYPES, Subtype
from tests.phantom.heads import exam_with

SMALL = CohortSettings(exams=4, seed=8, prevalence=dict.fromkeys(SUBTYPES, 0.5), matrix=64, slices=(10, 12))


def test_same_seed_same_bytes():
    first, second = make_exam(SMALL, 1), make_exam(SMALL, 1)
    for field in dataclasses.fields(first):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(second, field.name))


def test_an_exam_does_not_depend_on_the_size_of_the_cohort():
    larger = dataclasses.replace(SMALL, exams=400)
    np.testing.assert_array_equal(make_exam(SMALL, 3).hu, make_exam(larger, 3).hu)


def test_another_number_and_another_seed_are_another_exam():
    exam = make_exam(SMALL, 0)
    for other in (make_exam(SMALL, 2), make_exam(dataclasses.replace(SMALL, seed=9), 0)):
        assert other.hu.shape != exam.hu.shape or (other.hu != exam.hu).mean() > 0.3


def test_some_patients_have_two_exams_of_one_anatomy():
    settings = CohortSettings(exams=24, seed=2, prevalence={}, matrix=64, slices=(10, 10))
    exams = [make_exam(settings, number) for number in range(24)]
    returning = [k for k in range(1, 24) if exams[k].patient_number != k]
    assert 1 <= len(returning) <= 8
    for k in returning:
        assert exams[k].patient_number == k - 1
        assert (exams[k].age, exams[k].sex) == (exams[k - 1].age, exams[k - 1].sex)
        assert not np.array_equal(exams[k].hu, exams[k - 1].hu)


@pytest.mark.parametrize("subtype", SUBTYPES)
def test_labels_follow_from_masks(subtype):
    exam = exam_with(subtype)
    assert exam.hu.shape == exam.masks.shape
    assert exam.hu.dtype == np.int16
    assert exam.masks.dtype == np.uint8
    area = np.prod(exam.pixel_spacing)
    for k in range(len(SUBTYPES)):
        areas = (exam.masks >> k & 1).sum(axis=(1, 2)) * area
        np.testing.assert_array_equal(exam.labels[:, k], areas >= VISIBLE_MM2)
    assert set(np.flatnonzero(exam.labels.any(axis=0))) == {SUBTYPES.index(subtype)}


def test_without_subtypes_there_is_no_blood():
    exam = exam_with(None)
    assert not exam.masks.any()
    assert not exam.labels.any()


@pytest.mark.parametrize("subtype", [Subtype.EPIDURAL, Subtype.SUBDURAL, Subtype.INTRAPARENCHYMAL])
def test_a_bleed_spans_neighbouring_slices(subtype):
    positive = np.flatnonzero(exam_with(subtype).labels.any(axis=1))
    assert len(positive) >= 2
    assert positive[-1] - positive[0] + 1 <= len(positive) + 2


def test_hounsfield_units_are_those_of_a_head():
    exam = exam_with(None)
    middle = exam.hu[int(0.55 * len(exam.hu))]
    assert np.median(middle[middle < -500]) == pytest.approx(-1000, abs=6)
    assert middle.max() > 1100
    assert 25 < np.median(middle[(middle > 0) & (middle < 80)]) < 40
    assert exam.hu.min() >= -1024


def test_the_series_covers_the_head_from_base_to_vertex():
    hu = exam_with(None).hu
    head = (hu > -500).mean(axis=(1, 2))
    assert head[0] > 0.15
    assert head[-1] < 0.12
    assert (hu[0] > 300).sum() > (hu[len(hu) // 2] > 300).sum() * 0.4
