"""A cohort's folder: the same settings go on in it, others are refused."""

import dataclasses
import json

import pytest

from ichnos.errors import OutputError
from ichnos.phantom import CohortSettings, Patients
from ichnos.progress import SILENT
from ichnos.workflows.phantom import write_cohort

SETTINGS = CohortSettings(exams=1, seed=3, prevalence={}, matrix=64, slices=(10, 10))


def _bytes(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_same_settings_go_on_in_a_folder_and_other_patients_want_one_of_their_own(tmp_path):
    cohort = write_cohort(SETTINGS, tmp_path / "cohort", SILENT, workers=1)
    before = _bytes(cohort)
    assert _bytes(write_cohort(SETTINGS, cohort, SILENT, workers=1)) == before
    injured = dataclasses.replace(SETTINGS, patients=Patients.TRAUMA)
    with pytest.raises(OutputError, match="made with other settings; give --out a new folder"):
        write_cohort(injured, cohort, SILENT, workers=1)
    assert _bytes(cohort) == before
    others = _bytes(write_cohort(injured, tmp_path / "injured", SILENT, workers=1))
    slices = {name for name in before if name.endswith(".dcm")}
    assert slices == {name for name in others if name.endswith(".dcm")}
    assert all(before[name] != others[name] for name in slices)


def test_a_cohort_from_when_there_was_one_kind_of_patients_is_known_again(tmp_path):
    cohort = write_cohort(SETTINGS, tmp_path, SILENT, workers=1)
    stated = cohort / "phantom.json"
    claim = json.loads(stated.read_bytes())
    del claim["patients"]
    stated.write_text(json.dumps(claim))
    before = _bytes(cohort)
    assert _bytes(write_cohort(SETTINGS, cohort, SILENT, workers=1)) == before
