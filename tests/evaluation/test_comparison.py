import json

import numpy as np
import pytest

from ichnos.errors import InputError
from ichnos.evaluation import PatientResamples, compare
from ichnos.subtypes import Subtype

TWO = (Subtype.SUBARACHNOID, Subtype.SUBDURAL)
RNG = np.random.default_rng(0)
LABELS = RNG.random((600, 2)) < 0.4
PATIENTS = np.array([f"{k // 6}" for k in range(600)])
GOOD = np.clip(RNG.normal(0.3 + 0.4 * LABELS, 0.2), 0, 1)
POOR = np.clip(RNG.normal(0.45 + 0.1 * LABELS, 0.2), 0, 1)
RESAMPLES = PatientResamples.draw(PATIENTS, seed=0, resamples=300)


def test_a_better_second_model_shows() -> None:
    result = compare(POOR, GOOD, LABELS, TWO, RESAMPLES)
    difference = result["macro_f1"]
    assert difference.estimate.value == pytest.approx(
        (result.second["macro_f1"].value or 0) - (result.first["macro_f1"].value or 0)
    )
    assert difference.sign == 1
    assert difference.bootstrap_p is not None
    assert difference.bootstrap_p < 0.02
    assert result["loss_mean"].sign == -1
    json.dumps(difference.to_json(), allow_nan=False)


def test_a_model_against_itself_differs_by_nothing() -> None:
    result = compare(GOOD, GOOD, LABELS, TWO, RESAMPLES)
    for difference in result.differences.values():
        assert difference.estimate.value == 0
        assert difference.sign == 0
        assert difference.bootstrap_p == 1


def test_pairing_is_tighter_than_two_intervals() -> None:
    nearly = np.clip(GOOD + RNG.normal(0, 0.02, GOOD.shape), 0, 1)
    result = compare(GOOD, nearly, LABELS, TWO, RESAMPLES)
    paired, alone = result["mean_auc"].estimate.interval, result.first["mean_auc"].interval
    assert paired is not None
    assert alone is not None
    assert paired.high - paired.low < 0.5 * (alone.high - alone.low)


def test_an_absent_class_has_no_difference() -> None:
    labels = LABELS.copy()
    labels[:, 0] = False
    result = compare(POOR, GOOD, labels, TWO, RESAMPLES)
    difference = result["f1", Subtype.SUBARACHNOID]
    assert difference.estimate.value is None
    assert difference.bootstrap_p is None
    assert difference.sign == 0
    assert difference.estimate.note == "not defined (0 positives)"


def test_other_slices_are_refused() -> None:
    with pytest.raises(InputError, match="same slices"):
        compare(POOR, GOOD[:100], LABELS, TWO, RESAMPLES)


def test_a_handful_of_patients_gives_no_p() -> None:
    few = PatientResamples.draw(np.array([f"{k // 100}" for k in range(600)]), seed=0, resamples=300)
    difference = compare(POOR, GOOD, LABELS, TWO, few)["macro_f1"]
    assert difference.estimate.interval is not None
    assert difference.bootstrap_p is None
    assert difference.sign == 0
    assert difference.untested == "6 patients, at least 10 are needed"


def test_resamples_that_seldom_define_a_difference_give_no_p() -> None:
    labels = LABELS.copy()
    labels[12:, 0] = False  # two of a hundred patients: one resample in eight has neither
    labels[[0, 6], 0] = True
    difference = compare(POOR, GOOD, labels, TWO, RESAMPLES)["auc", Subtype.SUBARACHNOID]
    assert difference.estimate.interval is not None
    assert difference.bootstrap_p is None
    assert "of the resamples define it" in (difference.untested or "")
