"""How often each subtype comes: as asked for by exam, and by slice as in RSNA 2019."""

import numpy as np
import pytest

from ichnos.phantom import RAISED_PREVALENCE, RSNA_PREVALENCE, CohortSettings, make_exam
from ichnos.phantom.cohort import plan_exam
from ichnos.phantom.lesions import draw_subtypes
from ichnos.subtypes import SUBTYPES, Subtype

RSNA_SLICES = {
    Subtype.EPIDURAL: 0.0041,
    Subtype.INTRAPARENCHYMAL: 0.0483,
    Subtype.INTRAVENTRICULAR: 0.0352,
    Subtype.SUBARACHNOID: 0.0476,
    Subtype.SUBDURAL: 0.0630,
}
"""Slice prevalence in RSNA 2019, stage-1 train."""

RSNA_ANY = 0.144
"""The same for any."""


def _draws(prevalence, exams=6000):
    rng = np.random.default_rng(17)
    found = [draw_subtypes(rng, prevalence) for _ in range(exams)]
    return np.array([[subtype in subtypes for subtype in SUBTYPES] for subtypes in found])


@pytest.mark.parametrize("prevalence", [RSNA_PREVALENCE, RAISED_PREVALENCE, {Subtype.EPIDURAL: 1.0}, {}])
def test_exams_have_the_prevalence_asked_for(prevalence):
    wanted = [prevalence.get(subtype, 0.0) for subtype in SUBTYPES]
    np.testing.assert_allclose(_draws(prevalence).mean(axis=0), wanted, atol=0.02)


def test_as_many_exams_bleed_as_in_rsna():
    assert _draws(RSNA_PREVALENCE).any(axis=1).mean() == pytest.approx(0.41, abs=0.03)


def _labels(settings, number):
    plan = plan_exam(settings, number)
    return make_exam(settings, number).labels if plan.lesions else np.zeros((plan.scan.count, 5), bool)


def _assert_near_rsna(exams, matrix, slices):
    """Within what the sampling of exams explains (three standard errors, exams being the unit) and an eighth more."""
    settings = CohortSettings(exams=exams, seed=21, matrix=matrix, slices=slices)
    labels = [_labels(settings, number) for number in range(exams)]
    shares = np.array([[*exam.mean(axis=0), exam.any(axis=1).mean()] for exam in labels])
    error = shares.std(axis=0) / np.sqrt(exams)
    wanted = np.array([*(RSNA_SLICES[subtype] for subtype in SUBTYPES), RSNA_ANY])
    assert (np.abs(shares.mean(axis=0) - wanted) < 3 * error + wanted / 8).all(), (shares.mean(axis=0), error)


def test_slices_bleed_about_as_often_as_in_rsna():
    _assert_near_rsna(120, 80, (10, 10))


@pytest.mark.slow
def test_slice_prevalence_over_many_exams():
    _assert_near_rsna(600, 128, (20, 24))
