"""Slices, exams and patients as a readout judges them, and every measure of each level."""

import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, log_loss, roc_auc_score

from ichnos.errors import InputError, UsageError
from ichnos.evaluation.level_measures import Measuring, Tree, measure_level
from ichnos.evaluation.levels import Judged, Level, judge
from ichnos.evaluation.probabilities import kaggle_loss
from ichnos.predictions import Predictions
from ichnos.readout import OperatingPoint, Readout, Thresholds
from ichnos.subtypes import CLASSES, Subtype

EDH, ANY = Subtype.EPIDURAL, Subtype.ANY
THRESHOLDS = {name: dict.fromkeys(CLASSES, 0.5) for name in ("high_sensitivity", "balanced")}


def outputs(patients: int = 30, exams: int = 2, slices: int = 4, seed: int = 0) -> Predictions:
    """Two exams a patient; half of the exams bleed, in one slice or more."""
    rng = np.random.default_rng(seed)
    n = patients * exams * slices
    bleeding = (rng.random(patients * exams) < 0.5).repeat(slices)
    subtypes = (rng.random((n, 5)) < 0.3) & bleeding[:, None]
    labels = np.column_stack([subtypes, subtypes.any(axis=1)])
    probabilities = 1 / (1 + np.exp(-rng.normal(2.5 * labels - 2.5, 1.0)))
    return Predictions(
        CLASSES,
        np.array([f"p{i:02d}" for i in range(patients)]).repeat(exams * slices),
        np.array([f"e{i:03d}" for i in range(patients * exams)]).repeat(slices),
        np.array([f"s{i:04d}" for i in range(n)]),
        np.tile(np.arange(slices) * 5.0, patients * exams),
        probabilities,
        labels,
    )


def measured(table: Predictions, level: Level, asked: Measuring | None = None) -> tuple[Judged, Tree]:
    judged = judge(table, table.labels, Readout.uncalibrated(CLASSES))[level]
    return judged, measure_level(level, judged, THRESHOLDS, asked or Measuring(CLASSES, CLASSES, resamples=100))


def test_a_patient_has_what_any_exam_has() -> None:
    table = outputs()
    levels = judge(table, table.labels, Readout.uncalibrated(CLASSES))
    slices, exams, patients = (levels[level] for level in Level)
    assert (len(slices), len(exams), len(patients)) == (240, 60, 30)
    for k, name in enumerate(patients.name):
        own = exams.patient == name
        assert own.sum() == 2
        assert (patients.probabilities[k] == exams.probabilities[own].max(axis=0)).all()
        assert (patients.labels[k] == exams.labels[own].any(axis=0)).all()
        assert (patients.labels[k] == slices.labels[slices.patient == name].any(axis=0)).all()
        assert (patients.called["balanced"][k] == exams.called["balanced"][own].any(axis=0)).all()
    assert (patients.probabilities[:, -1:] >= patients.probabilities[:, :-1]).all()


def test_the_order_of_slices_does_not_matter() -> None:
    table = outputs()
    shuffled = table.select(np.random.default_rng(1).permutation(len(table)))
    readout = Readout.uncalibrated(CLASSES).model_copy(update={"smoothing": 0.5})
    one, other = (judge(each, each.labels, readout) for each in (table, shuffled))
    for level in (Level.EXAM, Level.PATIENT):
        assert (one[level].name == other[level].name).all()
        np.testing.assert_allclose(one[level].probabilities, other[level].probabilities)


def test_measures_are_scikit_learns() -> None:
    judged, tree = measured(outputs(), Level.EXAM)
    for k, c in enumerate(CLASSES):
        positive, said, row = judged.labels[:, k], judged.probabilities[:, k], tree["classes"][c.value]
        assert row["auc"]["value"] == pytest.approx(roc_auc_score(positive, said))
        assert row["average_precision"]["value"] == pytest.approx(average_precision_score(positive, said))
        assert row["calibration"]["after"]["log_loss"]["value"] == pytest.approx(log_loss(positive, said))
        point, called = row["operating_points"]["balanced"], judged.called["balanced"][:, k]
        assert point["f1"]["value"] == pytest.approx(f1_score(positive, called))
        assert point["ppv"]["value"] == pytest.approx(positive[called].mean())
        assert point["npv"]["value"] == pytest.approx((~positive[~called]).mean())
        for number in (row["auc"], point["f1"], point["ppv"], row["calibration"]["before"]["brier"]):
            assert number["low"] <= number["value"] <= number["high"]
    assert (tree["n"], tree["patients"]) == (60, 30)
    json.dumps(tree, allow_nan=False)


def test_kaggles_loss_counts_any_twice() -> None:
    probabilities = np.full((1, 6), 0.5)
    probabilities[0, 5] = 0.0
    labels = np.zeros((1, 6), np.bool_)
    labels[0, 5] = True
    wanted = (5 * np.log(2) - 2 * np.log(1e-6)) / 7
    assert kaggle_loss(probabilities, labels)[0] == pytest.approx(wanted)
    _, tree = measured(outputs(), Level.SLICE)
    assert tree["kaggle_loss"]["after"]["low"] < tree["kaggle_loss"]["after"]["value"]
    _, five = measured(outputs(), Level.SLICE, Measuring(CLASSES, CLASSES[1:], resamples=20))
    assert five["kaggle_loss"]["after"]["note"] == "not defined (it is of six classes; without EDH)"


def test_predictive_values_at_a_prevalence_follow_bayes() -> None:
    asked = Measuring(CLASSES, CLASSES, {ANY: 0.06}, resamples=100)
    _, tree = measured(outputs(), Level.EXAM, asked)
    point = tree["classes"]["any"]["operating_points"]["balanced"]
    sensitivity, specificity = point["sensitivity"]["value"], point["specificity"]["value"]
    wanted = sensitivity * 0.06 / (sensitivity * 0.06 + (1 - specificity) * 0.94)
    assert point["ppv_at_prevalence"]["value"] == pytest.approx(wanted)
    assert point["ppv_at_prevalence"]["low"] < wanted < point["ppv_at_prevalence"]["high"]
    assert wanted < point["ppv"]["value"], "rarer than here, so a call says less"
    assert "ppv_at_prevalence" not in tree["classes"]["epidural"]["operating_points"]["balanced"]


def test_at_the_sets_own_prevalence_they_are_the_sets_own() -> None:
    judged, _ = measured(outputs(), Level.EXAM)
    asked = Measuring(CLASSES, CLASSES, {ANY: float(judged.labels[:, -1].mean())}, resamples=20)
    point = measure_level(Level.EXAM, judged, THRESHOLDS, asked)["classes"]["any"]["operating_points"]["balanced"]
    assert point["ppv_at_prevalence"]["value"] == pytest.approx(point["ppv"]["value"])
    assert point["npv_at_prevalence"]["value"] == pytest.approx(point["npv"]["value"])


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 6.0, float("nan")])
def test_a_prevalence_outside_0_and_1_is_refused(share: float) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        Measuring(CLASSES, CLASSES, {ANY: share})


def test_a_class_without_positives_or_labels_is_stated() -> None:
    table = outputs()
    labels = table.labels.copy()
    labels[:, 0] = False
    judged = judge(table, labels, Readout.uncalibrated(CLASSES))[Level.PATIENT]
    asked = Measuring(CLASSES, (*CLASSES[:-2], ANY), {EDH: 0.01}, resamples=50)
    classes = measure_level(Level.PATIENT, judged, THRESHOLDS, asked)["classes"]
    assert classes["epidural"]["auc"] == {
        **dict.fromkeys(("value", "low", "high", "defined_share")),
        "note": "not defined (0 positives)",
    }
    point = classes["epidural"]["operating_points"]["balanced"]
    assert point["sensitivity"]["note"] == point["ppv_at_prevalence"]["note"] == "not defined (0 positives)"
    assert point["specificity"]["value"] is not None
    assert classes["subdural"] == {"labelled": False}


def test_a_level_of_positives_alone_is_stated() -> None:
    table = outputs(patients=4, exams=1, slices=1)
    labels = np.ones_like(table.labels)
    judged = judge(table, labels, Readout.uncalibrated(CLASSES))[Level.PATIENT]
    row = measure_level(Level.PATIENT, judged, THRESHOLDS, Measuring(CLASSES, CLASSES, {ANY: 0.1}, resamples=20))[
        "classes"
    ]["any"]
    assert row["auc"]["note"] == "not defined (0 negatives)"
    assert row["operating_points"]["balanced"]["specificity"]["note"] == "not defined (0 negatives)"
    assert row["operating_points"]["balanced"]["npv_at_prevalence"]["note"] == "not defined (0 negatives)"


def test_one_patient_of_one_exam_of_one_slice_has_no_interval() -> None:
    table = outputs(patients=1, exams=1, slices=1)
    for level in Level:
        _, tree = measured(table, level)
        brier = tree["classes"]["any"]["calibration"]["after"]["brier"]
        assert (brier["low"], brier["note"]) == (None, "no interval: 1 patient")


def test_bad_numbers_are_refused() -> None:
    table = outputs(patients=2)
    for bad in (np.nan, 1.5, -0.1):
        said = table.probabilities.copy()
        said[0, 0] = bad
        with pytest.raises(InputError, match=r"numbers in \[0, 1\]"):
            Judged(table.slice_name, table.patient, said, table.probabilities, table.labels, {})
    with pytest.raises(InputError, match="of shape"):
        Judged(table.slice_name, table.patient, table.probabilities[:, :3], table.probabilities, table.labels, {})
    with pytest.raises(InputError, match="the readout is of"):
        judge(table, table.labels, Readout.uncalibrated(CLASSES[1:]))
    with pytest.raises(InputError, match="labels must be"):
        judge(table, table.labels[:, :3], Readout.uncalibrated(CLASSES))
    with pytest.raises(UsageError, match="labels none"):
        Measuring(CLASSES, ())


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_thresholds_outside_0_to_1_are_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold"):
        Thresholds(high_sensitivity=OperatingPoint(threshold=threshold), balanced=OperatingPoint(threshold=0.5))
