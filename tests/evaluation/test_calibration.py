"""Fits find what data were made with; measures are what their papers say; thresholds do what they promise."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import brier_score_loss, log_loss

from ichnos.errors import InputError, UsageError
from ichnos.evaluation.aggregation import ExamTable, choose_aggregator
from ichnos.evaluation.calibration import fit_scaling, measure_calibration, reliability_table
from ichnos.evaluation.levels import Level, judge
from ichnos.evaluation.operating_points import operating_points
from ichnos.evaluation.readout import Fitting, fit_readout, reported_labels
from ichnos.predictions import Predictions
from ichnos.readout import AnyRule, Bound, logit, sigmoid
from ichnos.subtypes import CLASSES, SUBTYPES, Subtype


def drawn(logits: NDArray[np.float64], seed: int = 0) -> NDArray[np.bool_]:
    return np.random.default_rng(seed).random(logits.shape) < sigmoid(logits)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("shift", [0.0, -1.5])
def test_a_temperature_and_a_shift_are_found_again(temperature: float, shift: float) -> None:
    true = np.random.default_rng(1).normal(0, 2, 20_000)
    fitted = fit_scaling((true - shift) * temperature, drawn(true))
    assert fitted is not None
    assert 1 / fitted.slope == pytest.approx(temperature, rel=0.06)
    assert fitted.intercept == pytest.approx(shift, abs=0.06)


def test_a_scaling_is_the_most_likely_one() -> None:
    true = np.random.default_rng(1).normal(-1, 2, 4000)
    positive = drawn(true)
    fitted = fit_scaling(true * 2, positive)
    assert fitted is not None
    for slope, intercept in ((1.1, 0.0), (0.9, 0.0), (1.0, 0.1), (1.0, -0.1)):
        other = sigmoid(fitted.slope * slope * true * 2 + fitted.intercept + intercept)
        assert log_loss(positive, sigmoid(fitted.slope * true * 2 + fitted.intercept)) < log_loss(positive, other)


@pytest.mark.parametrize("positive", [np.zeros(5, np.bool_), np.ones(5, np.bool_)])
def test_one_kind_of_slices_calibrates_nothing(positive: NDArray[np.bool_]) -> None:
    assert fit_scaling(np.arange(5.0), positive) is None
    assert operating_points(np.linspace(0, 1, 5), positive) is None


def test_perfect_separation_stays_finite() -> None:
    scores, positive = np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True])
    scaling = fit_scaling(np.log(scores / (1 - scores)), positive)
    assert scaling is not None
    assert 0.5 < scaling.slope < 10


def test_measures_are_scikit_learns_and_the_papers() -> None:
    logits = np.random.default_rng(3).normal(0, 2, 300)
    p, positive = sigmoid(logits), drawn(logits)
    measured = measure_calibration(p, positive)
    assert measured.brier == pytest.approx(brier_score_loss(positive, p))
    assert measured.log_loss == pytest.approx(log_loss(positive, p))
    by_hand = 0.0
    for low in np.arange(10) / 10:
        held = (p >= low) & (p < low + 0.1)
        if held.any():
            by_hand += held.mean() * abs(p[held].mean() - positive[held].mean())
    assert measured.expected_calibration_error == pytest.approx(by_hand)
    table = reliability_table(p, positive)
    assert sum(row["n"] for row in table) == 300


@given(seed=st.integers(0, 10_000), n=st.integers(4, 80), levels=st.sampled_from([3, 10, 1000]))
@settings(max_examples=80, deadline=None)
def test_operating_points_keep_their_promise(seed: int, n: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels + 1, n) / levels
    positive = rng.random(n) < 0.4
    if positive.all() or not positive.any():
        return
    points = operating_points(scores, positive)
    assert points is not None
    sensitive, balanced = points.high_sensitivity, points.balanced
    assert sensitive.sensitivity is not None
    assert balanced.specificity is not None
    assert sensitive.sensitivity >= 0.95
    assert sensitive.threshold <= balanced.threshold
    youden = max((scores[positive] >= t).mean() + (scores[~positive] < t).mean() for t in [*scores, 2.0])
    assert (balanced.sensitivity or 0) + balanced.specificity == pytest.approx(youden)
    for point in (sensitive, balanced):
        assert point.threshold == 0 or point.threshold not in scores, "a threshold lies between observed scores"
        assert (scores >= point.threshold)[positive].mean() == point.sensitivity
        assert (point.positives, point.negatives) == (positive.sum(), (~positive).sum())


def test_a_threshold_lies_midway() -> None:
    points = operating_points(np.array([0.1, 0.2, 0.6, 0.8]), np.array([False, False, True, True]))
    assert points is not None
    assert points.balanced.threshold == points.high_sensitivity.threshold == pytest.approx(0.4)


def cohort(exams: int, slices: int, seed: int) -> tuple[NDArray[np.str_], NDArray[np.bool_]]:
    """Exam names and labels (n, 1); in half of the exams a third of the slices bleeds."""
    rng = np.random.default_rng(seed)
    names = np.repeat([f"e{k:03d}" for k in range(exams)], slices)
    bleeding = np.repeat(rng.random(exams) < 0.5, slices) & (np.tile(np.arange(slices), exams) < slices // 3)
    return names, bleeding[:, None]


def test_exams_are_found_in_any_order_of_rows() -> None:
    names, labels = cohort(20, 6, 0)
    shuffle = np.random.default_rng(1).permutation(len(names))
    table = ExamTable.of(names[shuffle], labels[shuffle])
    straight = ExamTable.of(names, labels)
    assert table.labels.tolist() == straight.labels.tolist()
    assert [sorted(shuffle[rows]) for rows in table.slices] == [sorted(rows) for rows in straight.slices]


FIVE_APART = 5.0 * np.tile(np.arange(15), 120)


def test_the_mean_of_some_wins_where_single_slices_are_noisy_and_few_where_one_slice_tells() -> None:
    names, labels = cohort(120, 15, 0)
    rng = np.random.default_rng(1)
    outliers = rng.random(labels.shape) < 0.06  # single false slices in every exam
    noisy = sigmoid(np.where(labels, 1.5, -3) + 6 * outliers + rng.normal(0, 0.7, labels.shape))
    choice = choose_aggregator(noisy, FIVE_APART, ExamTable.of(names, labels), [Subtype.SUBDURAL])
    assert choice.aggregator.kind == "top-mean"
    assert choice.aggregator.k > 1
    assert len(choice.tried) == 5

    single = np.zeros_like(labels)
    single[::15] = labels[::15]  # one slice an exam
    clear = sigmoid(np.where(single, 3.0, -4.0) + rng.normal(0, 1.5, labels.shape))
    choice = choose_aggregator(clear, FIVE_APART, ExamTable.of(names, single), [Subtype.SUBDURAL])
    assert choice.aggregator.kind != "top-mean" or choice.aggregator.k == 2


def table(classes: tuple[Subtype, ...], exams: int = 60, slices: int = 8, seed: int = 0) -> Predictions:
    """Overconfident logits of slices; class k bleeds in a quarter of the exams."""
    rng = np.random.default_rng(seed)
    exam = np.repeat(np.arange(exams), slices)
    with_class = rng.random((exams, 5)) < 0.25
    five = with_class[exam] & (rng.random((exams * slices, 5)) < 0.6)
    everything = np.column_stack([five, five.any(axis=1)])
    labels = everything[:, [CLASSES.index(c) for c in classes]]
    logits = 3 * (np.where(labels, 1.0, -1.0) + rng.normal(0, 1, labels.shape))
    names = np.array([f"e{k:03d}" for k in exam])
    return Predictions(
        classes,
        names,
        names,
        np.array([str(k) for k in range(len(exam))]),
        np.tile(5.0 * np.arange(slices), exams),
        sigmoid(logits),
        labels,
    )


@pytest.mark.parametrize("classes", [CLASSES, SUBTYPES, SUBTYPES[1:]])
def test_a_readout_is_fitted_whole(classes: tuple[Subtype, ...]) -> None:
    predictions = table(classes)
    fitted = fit_readout(predictions)
    readout = fitted.readout
    assert readout.calibrated
    assert (readout.any_rule is AnyRule.EXPLICIT) == (Subtype.ANY in classes)
    assert readout.reported == (*[c for c in SUBTYPES if c in classes], Subtype.ANY)
    assert (fitted.patients, fitted.exams, fitted.slices) == (60, 60, 480)
    for c in classes:
        before, after = (fitted.report["slices"][c.value][when]["log_loss"] for when in ("before", "after"))
        assert after <= before + (0.05 if c is Subtype.ANY else 1e-9)  # any is raised to its subtypes
        told = fitted.report["slices"][c.value]
        off = [told[when]["expected_calibration_error"] for when in ("before", "after")]
        assert off[1] < off[0], "overconfident logits are cooled down"
    point = readout.exams[Subtype.ANY].high_sensitivity
    assert point.sensitivity is not None
    assert point.sensitivity >= 0.95
    assert fitted.report["notes"] == []


def test_slices_that_bleed_side_by_side_are_smoothed_and_lone_ones_are_not() -> None:
    """One block of three slices an exam against three slices apart from each other."""
    rng = np.random.default_rng(1)
    for places, side_by_side in (((3, 4, 5), True), ((0, 3, 6), False)):
        base = table(CLASSES)
        exam = np.arange(60) % 2 == 0
        labels = np.zeros((60, 8, 6), dtype=np.bool_)
        labels[np.ix_(exam, places)] = True
        labels = labels.reshape(-1, 6)
        noise = 1.0 if side_by_side else 0.3
        logits = np.where(labels, 2.0, -2.0) + 2 * noise * rng.normal(0, 1, labels.shape)
        fitted = fit_readout(replace(base, probabilities=sigmoid(logits), labels=labels))
        assert (fitted.readout.smoothing > 0) == side_by_side
        assert [row["smoothing"] for row in fitted.report["smoothings"]] == [0, 0.25, 0.5, 1]


def test_what_cannot_be_fitted_is_said() -> None:
    predictions = table(CLASSES)
    predictions.labels[:, 0] = False
    fitted = fit_readout(predictions)
    assert fitted.readout.temperatures[Subtype.EPIDURAL] == 1
    assert fitted.readout.shifts[Subtype.EPIDURAL] == 0
    assert fitted.readout.exams[Subtype.EPIDURAL].balanced.threshold == 0.5
    assert fitted.positives[Subtype.EPIDURAL] == (0, 0)
    notes = " ".join(fitted.report["notes"])
    for words in ("epidural: no temperature", "epidural: slice thresholds of 0.5", "epidural: exam thresholds of 0.5"):
        assert words in notes


@pytest.mark.parametrize("dead", [-8.0, -40.0, -800.0])
def test_a_gate_that_never_fires_is_said_and_stays_finite(dead: float) -> None:
    base = table(CLASSES)
    never = replace(base.restrict((Subtype.ANY,)), probabilities=np.full((len(base), 1), sigmoid(np.array(dead))))
    cascaded = Predictions.cascaded(never, base.restrict(SUBTYPES))
    assert cascaded.classes == CLASSES
    assert cascaded.probabilities.max() <= sigmoid(np.array(dead)), "subtypes are all but 0"
    fitted = fit_readout(cascaded)
    assert any(note.startswith("any: never fires: before calibration no slice") for note in fitted.report["notes"])
    calibrated = fitted.readout.slice_probabilities(cascaded.probabilities)
    assert np.isfinite(calibrated).all()
    assert np.isfinite(fitted.readout.exam_probabilities(calibrated, cascaded.offset)).all()


def test_a_cascade_is_of_the_same_slices() -> None:
    base = table(CLASSES)
    gate, subtypes = base.restrict((Subtype.ANY,)), base.restrict(SUBTYPES)
    both = Predictions.cascaded(gate, subtypes)
    assert (both.probabilities[:, -1:] >= both.probabilities[:, :-1]).all()
    np.testing.assert_array_equal(both.labels, base.labels)
    with pytest.raises(InputError, match="the same slices, in the same order"):
        Predictions.cascaded(gate, subtypes.select(np.arange(len(base))[::-1]))


def test_what_thinks_hemorrhage_too_common_is_put_right() -> None:
    """Log-odds raised by 2 in every slice, as balanced batches do: a shift undoes it, a temperature cannot."""
    base = table(CLASSES)
    raised = replace(base, probabilities=sigmoid(logit(base.probabilities) + 2))
    plain, shifted = fit_readout(base), fit_readout(raised)
    for c in CLASSES:
        before, after = (fitted.report["slices"][c.value]["after"]["log_loss"] for fitted in (plain, shifted))
        assert after == pytest.approx(before, abs=2e-3), c


def test_the_order_of_rows_does_not_matter() -> None:
    predictions = table(CLASSES)
    shuffled = predictions.select(np.random.default_rng(5).permutation(len(predictions)))
    first, second = fit_readout(predictions).readout, fit_readout(shuffled).readout
    assert first.aggregator == second.aggregator
    for c in CLASSES:
        assert first.temperatures[c] == pytest.approx(second.temperatures[c], rel=1e-4)
        assert first.exams[c].balanced.threshold == pytest.approx(second.exams[c].balanced.threshold, abs=1e-3)


def test_no_slices_calibrate_nothing() -> None:
    with pytest.raises(InputError, match="no slices to calibrate on"):
        fit_readout(table(CLASSES).select(np.array([], dtype=np.intp)))


def test_a_sensitivity_of_the_callers_choice() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random((400, 6)) < 0.4
    labels[:, -1] = labels[:, :-1].any(axis=1)
    probabilities = np.asarray(0.3 * labels + 0.6 * rng.random((400, 6)), np.float64)
    exam = np.repeat(np.arange(40), 10).astype(str)
    table = Predictions(CLASSES, exam, exam, exam, np.tile(np.arange(10.0), 40), probabilities, labels, "validation")
    found = {share: fit_readout(table, Fitting(share)).readout for share in (0.8, 0.95, 1.0)}
    assert [readout.high_sensitivity for readout in found.values()] == [0.8, 0.95, 1.0]
    points = [readout.slices[Subtype.EPIDURAL].high_sensitivity for readout in found.values()]
    assert all((point.sensitivity or 0) >= share for share, point in zip(found, points, strict=True))
    assert points[0].threshold > points[1].threshold > points[2].threshold
    for share in (0, 1.01, float("nan")):
        with pytest.raises(UsageError, match="above 0 and at most 1"):
            Fitting(share)
    assert Fitting(0.9, Bound.RAISE_ANY).words == ["--sensitivity", "0.9", "--bound", "raise-any"]
    assert Fitting().words == []


def test_a_point_says_what_exams_are_called_by_it() -> None:
    """A subtype is called only where any hemorrhage is, at exams: its own threshold alone would find more."""
    told = table(CLASSES, exams=60)
    readout = fit_readout(told).readout
    exams = judge(told, reported_labels(told), readout)[Level.EXAM]
    fewer = 0
    for name, called in exams.called.items():
        for k, c in enumerate(readout.reported):
            point, positive = getattr(readout.exams[c], name), exams.labels[:, k]
            assert point.sensitivity == called[positive, k].mean()
            assert point.specificity == (~called[~positive, k]).mean()
            fewer += int((exams.probabilities[positive, k] >= point.threshold).mean() > point.sensitivity)
    assert fewer, "of no subtype does the gate take any"


def test_a_bound_of_the_callers_choice() -> None:
    rng = np.random.default_rng(0)
    probabilities, labels = rng.random((60, 6)), rng.random((60, 6)) < 0.4
    exam = np.repeat(np.arange(6), 10).astype(str)
    table = Predictions(CLASSES, exam, exam, exam, np.tile(np.arange(10.0), 6), probabilities, labels, "validation")
    assert fit_readout(table).readout.bound is Bound.CAP_SUBTYPES
    fitted = fit_readout(table, Fitting(bound=Bound.BETWEEN)).readout
    slices = fitted.slice_probabilities(logit(probabilities))
    assert (slices[:, -1] <= slices[:, :-1].sum(axis=1) + 1e-12).all()
    assert (slices[:, -1:] >= slices[:, :-1]).all()
    with pytest.raises(InputError, match="the sum of all five subtypes, and these predictions name subdural, any"):
        fit_readout(table.restrict((Subtype.SUBDURAL, Subtype.ANY)), Fitting(bound=Bound.BETWEEN))
