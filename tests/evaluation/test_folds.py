"""Measures over folds: every patient once, each judged by the model of their own fold."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ichnos.errors import InputError
from ichnos.evaluation.fold_comparison import FoldSide, compare_folds, compare_sides
from ichnos.evaluation.folds import OutOfFold, measure_folds
from ichnos.evaluation.resampling import PatientResamples
from ichnos.subtypes import Subtype

CLASSES = (Subtype.EPIDURAL, Subtype.ANY)


def scores(patients: int = 40, seed: int = 0, shift: float = 0.0) -> OutOfFold:
    """Four slices a patient, two folds; fold 1's probabilities are shifted, as another model's may be."""
    rng = np.random.default_rng(seed)
    n = patients * 4
    labels = np.column_stack([rng.random(n) < 0.1, rng.random(n) < 0.4])
    fold = np.repeat(np.arange(patients) % 2, 4)
    probabilities = np.clip(0.3 + 0.2 * labels + 0.1 * rng.standard_normal((n, 2)) + shift * fold[:, None], 0, 1)
    return OutOfFold(
        np.repeat([f"p{i:02d}" for i in range(patients)], 4),
        fold,
        probabilities,
        probabilities,
        labels,
        {"high_sensitivity": probabilities > 0.2, "balanced": probabilities > 0.4},
    )


def test_pooled_and_mean_of_folds_are_scikit_learns() -> None:
    table = scores(shift=0.3)
    measured = measure_folds(table, CLASSES, seed=0)["classes"]["any"]
    assert measured["auc"]["value"] == pytest.approx(roc_auc_score(table.labels[:, 1], table.probabilities[:, 1]))
    folds = [roc_auc_score(table.labels[table.fold == k, 1], table.probabilities[table.fold == k, 1]) for k in range(2)]
    assert measured["auc_mean_of_folds"]["value"] == pytest.approx(np.mean(folds))
    # a shift between the models is a fault of the pooled ranking only
    assert measured["auc_mean_of_folds"]["value"] > measured["auc"]["value"] + 0.02
    for name in ("auc", "auc_mean_of_folds"):
        assert measured[name]["low"] < measured[name]["value"] < measured[name]["high"]


def test_rates_are_of_the_calls_that_the_folds_made() -> None:
    table = scores()
    points = measure_folds(table, CLASSES, seed=0)["classes"]["any"]["operating_points"]
    positive = table.labels[:, 1]
    for name, called in table.called.items():
        assert points[name]["sensitivity"]["value"] == pytest.approx(called[positive, 1].mean())
        assert points[name]["specificity"]["value"] == pytest.approx((~called[~positive, 1]).mean())


def test_few_positive_patients_only_describe() -> None:
    table = scores()
    marked = table.labels.copy()
    marked[:, 0] = False
    marked[np.isin(table.patient, ["p00", "p02", "p04"]), 0] = True  # three patients, all in fold 0
    few = OutOfFold(table.patient, table.fold, table.raw, table.probabilities, marked, table.called)
    measured = measure_folds(few, CLASSES, seed=0)["classes"]
    assert measured["epidural"]["descriptive_only"]
    assert measured["epidural"]["positive_patients"] == 3
    assert measured["epidural"]["auc_mean_of_folds"]["note"].startswith("of the 1 of 2 folds that define it; in 9")
    assert not measured["any"]["descriptive_only"]


@pytest.mark.parametrize("kind", ["positive", "negative"])
def test_a_fold_that_rests_on_one_patient_gives_no_interval(kind: str) -> None:
    table = scores()
    lone = (table.patient == "p00") | ((table.fold == 1) & table.labels[:, 1])
    marked = np.column_stack([lone if kind == "positive" else ~lone, table.labels[:, 1]])
    one = OutOfFold(table.patient, table.fold, table.raw, table.probabilities, marked, table.called)
    found = measure_folds(one, CLASSES, seed=0)["classes"]["epidural"]["auc_mean_of_folds"]
    assert found["low"] is None
    assert found["note"] == f"no interval: a fold rests on one {kind} patient"


@pytest.mark.parametrize(("folds", "note"), [(2, "in {} % of resamples"), (8, "no interval: only {} % of resamples")])
def test_the_mean_of_folds_says_how_many_resamples_define_it(folds: int, note: str) -> None:
    """Two patients with epidural in each fold: the more folds, the fewer resamples leave one of them in every fold."""
    table = scores(patients=100)
    number = np.unique(table.patient, return_inverse=True)[1]
    marked = np.column_stack([number < 2 * folds, table.labels[:, 1]])
    few = OutOfFold(table.patient, number % folds, table.raw, table.probabilities, marked, table.called)
    drawn = PatientResamples.draw(table.patient, seed=0).weights
    both = [drawn[:, fold] + drawn[:, fold + folds] > 0 for fold in range(folds)]
    found = measure_folds(few, CLASSES, seed=0)["classes"]["epidural"]["auc_mean_of_folds"]
    assert found["note"].startswith(note.format(round(100 * np.all(both, axis=0).mean())))
    assert (found["low"] is None) is note.startswith("no")


@pytest.mark.parametrize(("patients", "tested"), [(9, False), (10, True)])
def test_few_negative_patients_only_describe_too(patients: int, tested: bool) -> None:
    """All slices of a patient are labelled alike; so many patients have none."""
    table = scores()
    labels = np.column_stack([table.labels[:, 0], ~np.isin(table.patient, np.unique(table.patient)[:patients])])
    few, better = (
        OutOfFold(table.patient, table.fold, said, said, labels, table.called)
        for said in (table.probabilities, table.probabilities + 0.01 * labels)
    )
    measured = measure_folds(few, CLASSES, seed=0)["classes"]["any"]
    assert (measured["positive_patients"], measured["negative_patients"]) == (40 - patients, patients)
    assert measured["descriptive_only"] is not tested
    gain = next(each for each in compare_folds(few, better, CLASSES, seed=0) if each.subtype is Subtype.ANY)
    assert gain.descriptive_only is not tested
    assert gain.pooled.bootstrap_p is not None, "there would be one"
    assert (gain.to_json()["pooled"]["bootstrap_p"] is not None) is tested


def test_the_same_answers_are_not_tested() -> None:
    """Epidural is answered alike, any is not; so a cascade whose gate is the other model differs in subtypes alone."""
    table = scores()
    moved = table.probabilities + np.array([0.0, 0.01]) * table.labels
    other = OutOfFold(table.patient, table.fold, moved, moved, table.labels, table.called)
    epidural, any_of_them = compare_folds(table, other, CLASSES, seed=0, resamples=100)
    assert (epidural.identical, any_of_them.identical) == (True, False)
    told = epidural.to_json()
    assert told["identical"]
    assert not told["descriptive_only"]
    for which in ("difference", "pooled"):
        assert (told[which]["value"], told[which]["bootstrap_p"]) == (0, None)
    assert any_of_them.to_json()["pooled"]["bootstrap_p"] is not None


def test_a_class_that_nobody_has_is_not_defined() -> None:
    table = scores()
    none = OutOfFold(
        table.patient, table.fold, table.raw, table.probabilities, table.labels & [False, True], table.called
    )
    measured = measure_folds(none, CLASSES, seed=0)["classes"]["epidural"]
    assert measured["auc"]["value"] is None
    assert measured["auc_mean_of_folds"]["value"] is None


def test_joined_keeps_the_rows_of_every_fold() -> None:
    whole = scores()
    parts = [
        OutOfFold(
            whole.patient[rows],
            whole.fold[rows],
            whole.raw[rows],
            whole.probabilities[rows],
            whole.labels[rows],
            {name: called[rows] for name, called in whole.called.items()},
        )
        for rows in (whole.fold == 0, whole.fold == 1)
    ]
    assert OutOfFold.joined(parts).patient.tolist() == sorted(whole.patient, key=lambda p: (int(p[1:]) % 2, p))
    joined = measure_folds(OutOfFold.joined(parts), CLASSES, 0)["classes"]["any"]
    assert joined["auc"] == pytest.approx(measure_folds(whole, CLASSES, 0)["classes"]["any"]["auc"], nan_ok=True)


def test_fold_differences_are_paired() -> None:
    """The same scores twice differ by nothing in every resample; a better one by something."""
    table = scores()
    same = compare_folds(table, table, CLASSES, seed=0)
    assert [(gain.change.estimate.value, gain.tested, gain.identical) for gain in same] == [(0.0, None, True)] * 2
    better = scores(seed=0)
    sharper = np.clip(better.probabilities + 0.2 * better.labels, 0, 1)
    better = type(better)(better.patient, better.fold, sharper, sharper, better.labels, better.called)
    gain = compare_folds(table, better, CLASSES, seed=0)[1]
    interval = gain.change.estimate.interval
    assert interval is not None
    assert interval.low > 0
    assert gain.tested is not None
    assert gain.tested < 0.01


def test_sides_of_other_resamples_or_classes_are_not_compared() -> None:
    table = scores()
    drawn = [PatientResamples.draw(table.patient, seed, 50) for seed in (0, 1)]
    first, second = (FoldSide.of(table, CLASSES, each) for each in drawn)
    with pytest.raises(InputError, match="in the same resamples"):
        compare_sides(first, second)
    with pytest.raises(InputError, match="the same classes"):
        compare_sides(first, FoldSide.of(table, CLASSES[::-1], drawn[0]))
