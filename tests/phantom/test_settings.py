"""Bad settings are refused with a message that holds what was got."""

import pickle

import pytest

from ichnos.errors import UsageError
from ichnos.phantom import RAISED_PREVALENCE, RSNA_PREVALENCE, CohortSettings, make_exam
from ichnos.subtypes import SUBTYPES, Subtype


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exams": 0}, "at least one exam, got 0"),
        ({"seed": -1}, "got -1"),
        ({"matrix": 32}, "got 32"),
        ({"matrix": 255}, "got 255"),
        ({"slices": (30, 20)}, r"got \(30, 20\)"),
        ({"slices": (2, 20)}, r"got \(2, 20\)"),
        ({"prevalence": {Subtype.EPIDURAL: 1.5}}, "got 1.5"),
        ({"prevalence": {Subtype.ANY: 0.5}}, "got any"),
    ],
)
def test_refuses(changes, message):
    with pytest.raises(UsageError, match=message):
        CohortSettings(**{"exams": 3, "seed": 1} | changes)


@pytest.mark.parametrize("number", [-1, 3])
def test_refuses_an_exam_that_the_cohort_lacks(number):
    with pytest.raises(UsageError, match=f"numbers 0 to 2, got {number}"):
        make_exam(CohortSettings(exams=3, seed=1), number)


@pytest.mark.parametrize("prevalence", [RSNA_PREVALENCE, RAISED_PREVALENCE])
def test_presets_name_every_subtype(prevalence):
    assert set(prevalence) == set(SUBTYPES)


@pytest.mark.parametrize("settings", [CohortSettings(2, 0), CohortSettings(2, 0, prevalence=RAISED_PREVALENCE)])
def test_settings_go_to_other_processes(settings):
    assert pickle.loads(pickle.dumps(settings)) == settings
