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
"""Slice prevalence in RSNA 2019, stage-1 train; any is 0.144."""


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


def _slice_prevalence(exams, matrix, slices):
    settings = CohortSettings(exams=exams, seed=21, matrix=matrix, slices=slices)
    labels = np.concatenate([_labels(settings, number) for number in range(exams)])
    return labels.mean(axis=0), labels.any(axis=1).mean()


def test_slices_bleed_about_as_often_as_in_rsna():
    """120 exams, so that the share of exams itself strays by a tenth to a fifth: within 45 %, `any` within 30 %."""
    shares, any_share = _slice_prevalence(120, 80, (10, 10))
    for subtype, share in zip(SUBTYPES, shares, strict=True):
        if subtype is not Subtype.EPIDURAL:  # one exam or two of 120
            assert share == pytest.approx(RSNA_SLICES[subtype], rel=0.45)
    assert any_share == pytest.approx(0.144, rel=0.30)


@pytest.mark.slow
def test_slice_prevalence_over_many_exams():
    shares, any_share = _slice_prevalence(600, 128, (20, 24))
    for subtype, share in zip(SUBTYPES, shares, strict=True):
        assert share == pytest.approx(RSNA_SLICES[subtype], rel=0.6 if subtype is Subtype.EPIDURAL else 0.2)
    assert any_share == pytest.approx(0.144, rel=0.15)
