"""A curve by training patients: its points are scikit-learn's AUC, its differences paired, its words honest."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ichnos.errors import InputError
from ichnos.evaluation.levels import Judged
from ichnos.evaluation.patient_curve import MEAN, LevelCurve, measure_curve
from ichnos.subtypes import Subtype

NAMED = (Subtype.SUBDURAL, Subtype.ANY)
PATIENTS = 40


def labels() -> np.ndarray:
    """Three slices a patient; twelve patients have a subdural, four more another hemorrhage."""
    some = np.zeros((3 * PATIENTS, 3), np.bool_)
    for patient in range(16):
        some[3 * patient, [1 if patient < 12 else 0, 2]] = True
    return some


def judged(strength: float, seed: int, of: np.ndarray | None = None) -> Judged:
    """Epidural, subdural, any: the more strength, the surer. The first column is not measured."""
    shown = labels() if of is None else of
    noise = np.random.default_rng(seed).normal(size=shown.shape)
    said = 1 / (1 + np.exp(-(strength * shown + noise)))
    names = np.array([f"s{k:03d}" for k in range(len(shown))])
    patient = np.array([f"p{k // 3:02d}" for k in range(len(shown))])
    return Judged(names, patient, said, said, shown, {})


def curve(*points: list[Judged], resamples: int = 200) -> LevelCurve:
    reported = (Subtype.EPIDURAL, *NAMED)
    return measure_curve(points, reported, NAMED, seed=0, resamples=resamples)


def test_a_point_is_the_mean_of_its_runs_and_the_mean_is_over_classes() -> None:
    runs = [judged(1.0, 1), judged(1.0, 2)]
    found = curve(runs, [judged(3.0, 3)])
    for k, c in ((1, Subtype.SUBDURAL), (2, Subtype.ANY)):
        each = [roc_auc_score(run.labels[:, k], run.probabilities[:, k]) for run in runs]
        assert found.points[0][c.value].runs == pytest.approx(each)
        assert found.points[0][c.value].auc.value == pytest.approx(np.mean(each))
    mean = found.points[0][MEAN]
    assert mean.auc.value == pytest.approx(np.mean([found.points[0][c.value].auc.value for c in NAMED]))
    assert found.mean_over == NAMED
    assert set(found.points[0]) == {*(c.value for c in NAMED), MEAN}
    assert found.positive_patients("subdural") == found.positive_patients(MEAN) == 12


def test_the_largest_gains_over_each_smaller_one_in_the_same_resamples() -> None:
    found = curve([judged(0.0, 1)], [judged(0.0, 1)], [judged(4.0, 1)])
    gain = found.points[0]["any"].gain
    assert gain is not None
    assert gain.estimate.interval is not None
    assert gain.estimate.interval.low > 0
    assert gain.bootstrap_p is not None
    assert gain.bootstrap_p < 0.05
    assert found.points[-1]["any"].gain is None
    same = curve([judged(1.0, 1)], [judged(1.0, 1)]).points[0]["any"].gain
    assert same is not None
    assert same.estimate.value == 0
    assert same.estimate.interval is not None
    assert (same.estimate.interval.low, same.estimate.interval.high) == (0, 0), "the same patients are drawn for both"


def test_the_same_seed_gives_the_same_numbers() -> None:
    points = [judged(1.0, 1)], [judged(2.0, 2)]
    assert curve(*points).to_json() == curve(*points).to_json()


def test_few_positive_patients_are_described_and_none_are_not_defined() -> None:
    few = labels()
    few[3 * 5 :] = False
    tree = curve([judged(1.0, 1, few)], [judged(3.0, 2, few)]).to_json()
    assert tree["classes"]["subdural"] == {
        "positive_patients": 5,
        "negative_patients": PATIENTS,
        "descriptive_only": True,
    }
    assert tree["points"][0]["subdural"]["gain_of_the_largest"]["bootstrap_p"] is None
    none = labels()
    none[:, 1] = False
    found = curve([judged(1.0, 1, none)], [judged(3.0, 2, none)])
    point = found.points[0]
    assert point["subdural"].auc.value is None
    assert point["subdural"].auc.note == "not defined (0 positives)"
    assert found.mean_over == (Subtype.ANY,)
    assert point[MEAN].auc.value == point["any"].auc.value
    nothing = curve([judged(1.0, 1, 0 * none > 1)], [judged(1.0, 1, 0 * none > 1)])
    assert nothing.points[0][MEAN].auc.value is None
    assert nothing.to_json()["points"][0]["mean"]["runs"] == [None]
    alone = labels()
    alone[3:] = False
    assert "too narrow: SDH has 1 positive patient" in str(curve([judged(1, 1, alone)], [judged(1, 2, alone)])
                                                           .points[0][MEAN].auc.note)  # fmt: skip


def test_few_negative_patients_are_described_too() -> None:
    """Of one slice each, 31 patients have it and 9 do not."""
    most = np.zeros((PATIENTS, 3), np.bool_)
    most[:31, 1:] = True
    names = np.array([f"p{k:02d}" for k in range(PATIENTS)])
    runs = [replace(judged(strength, 1, most), patient=names) for strength in (1.0, 3.0)]
    found = curve([runs[0]], [runs[1]])
    tree = found.to_json()
    assert found.negative_patients("any") == found.negative_patients(MEAN) == 9
    assert {each["descriptive_only"] for each in tree["classes"].values()} == {True}
    assert tree["points"][0]["any"]["gain_of_the_largest"]["bootstrap_p"] is None
    assert tree["points"][0]["any"]["gain_of_the_largest"]["low"] is not None


def test_runs_that_judged_others_do_not_compare() -> None:
    other = labels()
    other[0] = False
    with pytest.raises(InputError, match="one test part"):
        curve([judged(1.0, 1)], [judged(1.0, 2, other)])
    with pytest.raises(InputError, match="one test part"):
        curve([judged(1.0, 1)], [judged(1.0, 2, labels()[3:])])
