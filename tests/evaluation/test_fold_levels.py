"""Every measure of every level over folds, against scikit-learn and by hand."""

from functools import cache

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, precision_score, roc_auc_score

from ichnos.evaluation.fold_comparison import compare_folds
from ichnos.evaluation.fold_levels import JudgedFolds, measure_fold_levels
from ichnos.evaluation.folds import OutOfFold
from ichnos.evaluation.level_measures import Measuring, Tree
from ichnos.evaluation.levels import Judged, Level, judge
from ichnos.evaluation.readout import reported_labels
from ichnos.predictions import Predictions
from ichnos.readout import Readout, sigmoid
from ichnos.subtypes import CLASSES, Subtype

PREVALENCE = 0.06


def predictions(seed: int, patients: int = 12) -> Predictions:
    """Two exams of four slices a patient; what is said leans to what is so, more in some folds."""
    rng = np.random.default_rng(seed)
    n = patients * 8
    patient = np.repeat(np.arange(patients), 8)
    subtypes = (rng.random((patients, 5)) < 0.35)[patient] & (rng.random((n, 5)) < 0.6)
    labels = np.column_stack([subtypes, subtypes.any(axis=1)])
    said = sigmoid(1.5 * labels - 1.2 + rng.normal(0.3 * seed, 1, labels.shape))
    exam = np.arange(n) // 4
    patients_of, exams_of, slices_of = (
        np.array([f"{kind}{seed}-{k:03d}" for k in of])
        for kind, of in (("p", patient), ("e", exam), ("s", np.arange(n)))
    )
    return Predictions(CLASSES, patients_of, exams_of, slices_of, np.arange(n) % 4 * 5.0, said, labels)


@cache
def folds() -> JudgedFolds:
    tests = [predictions(k) for k in range(3)]
    plain = Readout.uncalibrated(CLASSES)
    readouts = [plain.model_copy(update={"temperatures": dict.fromkeys(CLASSES, 1.5 + k)}) for k in range(3)]
    return JudgedFolds([judge(t, reported_labels(t), r) for t, r in zip(tests, readouts, strict=True)])


@cache
def measured() -> dict[str, Tree]:
    stated = {point: {c: [0.1, 0.2, 0.3] for c in CLASSES} for point in ("high_sensitivity", "balanced")}
    asked = Measuring(CLASSES, CLASSES, {Subtype.ANY: PREVALENCE}, seed=0, resamples=200)
    return measure_fold_levels(folds(), tuple(Level), dict.fromkeys(Level, stated), asked)


def test_each_level_counts_what_it_is_of() -> None:
    assert {level: (tree["n"], tree["patients"]) for level, tree in measured().items()} == {
        "slice": (288, 36),
        "exam": (72, 36),
        "patient": (36, 36),
    }
    assert "kaggle_loss" in measured()["slice"]
    assert "kaggle_loss" not in measured()["patient"]
    assert measured()["exam"]["classes"]["any"]["operating_points"]["balanced"]["threshold"] == [0.1, 0.2, 0.3]


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize("c", CLASSES)
def test_numbers_of_all_folds_together_are_scikit_learns(level: Level, c: Subtype) -> None:
    row, k = measured()[level.value]["classes"][c.value], CLASSES.index(c)
    table = folds().pooled(level)
    so, said, raw = table.labels[:, k], table.probabilities[:, k], table.raw[:, k]
    assert row["auc"]["value"] == pytest.approx(roc_auc_score(so, said))
    assert row["average_precision"]["value"] == pytest.approx(average_precision_score(so, said))
    assert row["calibration"]["before"]["brier"]["value"] == pytest.approx(brier_score_loss(so, raw))
    assert row["calibration"]["after"]["brier"]["value"] == pytest.approx(brier_score_loss(so, said))
    for point, called in table.called.items():
        numbers = row["operating_points"][point]
        assert numbers["f1"]["value"] == pytest.approx(f1_score(so, called[:, k]))
        if called[:, k].any():
            assert numbers["ppv"]["value"] == pytest.approx(precision_score(so, called[:, k]))
    single = [fold[level] for fold in folds().folds]
    aucs = [
        roc_auc_score(each.labels[:, k], each.probabilities[:, k]) for each in single if len(set(each.labels[:, k])) > 1
    ]
    assert row["auc_mean_of_folds"]["value"] == pytest.approx(np.mean(aucs))


def test_every_number_has_an_interval_around_it() -> None:
    for tree in measured().values():
        row = tree["classes"]["any"]
        point = row["operating_points"]["high_sensitivity"]
        scaled = row["calibration"]["after"]
        for number in (
            row["auc"],
            point["ppv_at_prevalence"],
            scaled["brier"],
            scaled["expected_calibration_error"],
        ):
            assert number["low"] <= number["value"] <= number["high"]


def test_a_patient_is_called_where_any_exam_is_and_no_fold_calls_anothers() -> None:
    exams, patients = folds().pooled(Level.EXAM), folds().pooled(Level.PATIENT)
    for point, called in patients.called.items():
        for k, name in enumerate(patients.name):
            assert (called[k] == exams.called[point][exams.patient == name].any(axis=0)).all()
    assert len(np.unique(folds().out_of_fold(Level.PATIENT).fold)) == 3


def test_joined_keeps_every_row() -> None:
    parts = [fold[Level.SLICE] for fold in folds().folds]
    whole = Judged.joined(parts)
    assert whole.name.tolist() == [name for part in parts for name in part.name]
    assert (whole.called["balanced"] == np.concatenate([part.called["balanced"] for part in parts])).all()


def few(scores: OutOfFold) -> OutOfFold:
    """Epidural in four patients alone."""
    labels = scores.labels.copy()
    labels[:, 0] &= np.isin(scores.patient, np.unique(scores.patient[labels[:, 0]])[:4])
    return OutOfFold(scores.patient, scores.fold, scores.raw, scores.probabilities, labels, scores.called)


def test_a_class_of_few_patients_is_not_tested_in_any_of_its_differences() -> None:
    before = few(folds().out_of_fold(Level.SLICE))
    sharper = np.clip(before.probabilities + 0.3 * before.labels, 0, 1)
    after = OutOfFold(before.patient, before.fold, before.raw, sharper, before.labels, before.called)
    epidural, *_, any_bleed = (gain.to_json() for gain in compare_folds(before, after, CLASSES, seed=0, resamples=100))
    assert (epidural["positive_patients"], epidural["descriptive_only"]) == (4, True)
    assert epidural["difference"]["bootstrap_p"] is None
    assert epidural["pooled"]["bootstrap_p"] is None
    assert epidural["pooled"]["low"] > 0, "described it is"
    assert any_bleed["pooled"]["bootstrap_p"] < 0.05
