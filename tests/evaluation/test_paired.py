"""Differences beside AUC, against scikit-learn's metrics of the same resamples."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
)

from ichnos.evaluation.comparison import compare
from ichnos.evaluation.fold_comparison import compare_folds
from ichnos.evaluation.folds import OutOfFold
from ichnos.evaluation.paired import (
    AT_PREVALENCE,
    Called,
    Paired,
    PairedMeasures,
    paired_exact_match,
    paired_kaggle_loss,
    paired_measures,
)
from ichnos.evaluation.resampling import PatientResamples
from ichnos.subtypes import CLASSES, Subtype

PATIENTS, SLICES, RESAMPLES = 14, 6, 12
THRESHOLDS = {"high_sensitivity": (0.3, 0.42), "balanced": (0.5, 0.66)}
"""Of the first model and of the second."""

PREVALENCE = {Subtype.SUBDURAL: 0.04}

PATIENT = np.array([f"p{k:02d}" for k in range(PATIENTS)]).repeat(SLICES)


def drawn_scores(seed: int, skill: float) -> NDArray[np.float64]:
    noise = np.random.default_rng(seed).normal(0, 1, LABELS.shape)
    return np.round(1 / (1 + np.exp(-(skill * LABELS - 0.5 + noise))), 2)  # some are equal


LABELS = np.random.default_rng(4).random((PATIENTS * SLICES, len(CLASSES))) < 0.35
SCORES = drawn_scores(1, 0.4), drawn_scores(2, 1.6)


def called(scores: NDArray[np.float64], side: int) -> dict[str, NDArray[np.bool_]]:
    return {point: scores >= both[side] for point, both in THRESHOLDS.items()}


@pytest.fixture(scope="module")
def resamples() -> PatientResamples:
    return PatientResamples.draw(PATIENT, 0, RESAMPLES)


@pytest.fixture(scope="module")
def measures(resamples: PatientResamples) -> dict[Subtype, PairedMeasures]:
    calls = Called(called(SCORES[0], 0)), Called(called(SCORES[1], 1))
    ranked = compare(*SCORES, LABELS, CLASSES, resamples)
    return paired_measures(SCORES, calls, LABELS, CLASSES, resamples, ranked, PREVALENCE)


Metric = Callable[[NDArray[np.bool_], NDArray[np.float64], int], float]
"""Of labels, scores and a side, both of the rows that a resample holds, as often as it does."""


def of_scores(metric: Callable[..., float]) -> Metric:
    return lambda labels, scores, _: float(metric(labels, scores))


def specificity(labels: NDArray[np.bool_], calls: NDArray[np.bool_]) -> float:
    return float(recall_score(labels, calls, pos_label=False))


def npv(labels: NDArray[np.bool_], calls: NDArray[np.bool_]) -> float:
    return float(precision_score(labels, calls, pos_label=False))


def ppv_at_prevalence(labels: NDArray[np.bool_], calls: NDArray[np.bool_]) -> float:
    """The PPV of a set in which cases weigh so much that the share has the class."""
    share = PREVALENCE[Subtype.SUBDURAL]
    weights = np.where(labels, share / labels.mean(), (1 - share) / (1 - labels.mean()))
    return float(precision_score(labels, calls, sample_weight=weights))


def npv_at_prevalence(labels: NDArray[np.bool_], calls: NDArray[np.bool_]) -> float:
    share = PREVALENCE[Subtype.SUBDURAL]
    weights = np.where(labels, share / labels.mean(), (1 - share) / (1 - labels.mean()))
    return float(precision_score(labels, calls, pos_label=False, sample_weight=weights))


def of_calls(metric: Callable[..., float], point: str) -> Metric:
    return lambda labels, scores, side: float(metric(labels, scores >= THRESHOLDS[point][side]))


def by_hand(metric: Metric, k: int, weights: NDArray[np.uint16]) -> NDArray[np.float64]:
    """(resamples,) second less first of column k."""
    differences: list[float] = []
    for each in weights:
        rows = np.arange(len(PATIENT)).repeat(each.repeat(SLICES))
        one, two = (metric(LABELS[rows, k], scores[rows, k], side) for side, scores in enumerate(SCORES))
        differences.append(two - one)
    return np.array(differences)


def agrees(found: Paired, metric: Metric, k: int, resamples: PatientResamples) -> None:
    whole = by_hand(metric, k, np.ones((1, PATIENTS), np.uint16))[0]
    assert found.difference.value == pytest.approx(whole)
    assert (found.second.value or 0) - (found.first.value or 0) == pytest.approx(whole)
    interval = found.difference.interval
    assert interval is not None
    low, high = np.quantile(by_hand(metric, k, resamples.weights), [0.025, 0.975])
    assert (interval.low, interval.high) == pytest.approx((low, high))


@pytest.mark.parametrize("c", [Subtype.EPIDURAL, Subtype.ANY])
@pytest.mark.parametrize(
    ("name", "metric"),
    [("average_precision", average_precision_score), ("brier", brier_score_loss), ("log_loss", log_loss)],
)
def test_scores_of_probabilities(
    measures: dict[Subtype, PairedMeasures],
    resamples: PatientResamples,
    c: Subtype,
    name: str,
    metric: Callable[..., float],
) -> None:
    agrees(getattr(measures[c], name), of_scores(metric), CLASSES.index(c), resamples)


@pytest.mark.parametrize("point", list(THRESHOLDS))
@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("sensitivity", recall_score),
        ("specificity", specificity),
        ("ppv", precision_score),
        ("npv", npv),
        ("f1", f1_score),
        ("ppv_at_prevalence", ppv_at_prevalence),
        ("npv_at_prevalence", npv_at_prevalence),
    ],
)
def test_calls_each_model_by_its_own_threshold(
    measures: dict[Subtype, PairedMeasures],
    resamples: PatientResamples,
    point: str,
    name: str,
    metric: Callable[..., float],
) -> None:
    c = Subtype.SUBDURAL
    agrees(measures[c].points[point][name], of_calls(metric, point), CLASSES.index(c), resamples)


def test_predictive_values_elsewhere_are_of_the_classes_whose_prevalence_is_given(
    measures: dict[Subtype, PairedMeasures],
) -> None:
    for c, of_class in measures.items():
        for rates in of_class.points.values():
            assert ("ppv_at_prevalence" in rates) == ("npv_at_prevalence" in rates) == (c in PREVALENCE)


@pytest.mark.parametrize("point", list(THRESHOLDS))
def test_exact_match_of_all_classes(resamples: PatientResamples, point: str) -> None:
    def share(weights: NDArray[np.uint16]) -> float:
        rows = np.arange(len(PATIENT)).repeat(weights.repeat(SLICES))
        calls = [scores[rows] >= THRESHOLDS[point][side] for side, scores in enumerate(SCORES)]
        one, two = (float(accuracy_score(LABELS[rows], each)) for each in calls)
        return two - one

    calls = Called(called(SCORES[0], 0)), Called(called(SCORES[1], 1))
    found = paired_exact_match(calls, LABELS, resamples)[point]
    assert found.difference.value == pytest.approx(share(np.ones(PATIENTS, np.uint16)))
    assert found.difference.interval is not None
    low, high = np.quantile([share(weights) for weights in resamples.weights], [0.025, 0.975])
    assert (found.difference.interval.low, found.difference.interval.high) == pytest.approx((low, high))
    unknown = paired_exact_match((calls[0], Called(why_not="nobody said")), LABELS, resamples)[point]
    assert unknown.first == found.first
    assert unknown.difference.to_json() == unknown.second.to_json()
    assert unknown.second.note == "not defined (nobody said)"


def test_a_difference_tells_the_resamples_that_define_it_not_those_that_define_either() -> None:
    """Each calls two patients of its own: few resamples have of both."""
    patient = np.array([f"p{k:02d}" for k in range(12)])
    labels = (np.arange(12) % 2 == 0)[:, None]
    calls = [np.isin(np.arange(12), ours)[:, None] for ours in ((0, 1), (2, 3))]
    scores = calls[0].astype(np.float64), calls[1].astype(np.float64)
    drawn = PatientResamples.draw(patient, 0, 300)
    sides = Called(dict.fromkeys(THRESHOLDS, calls[0])), Called(dict.fromkeys(THRESHOLDS, calls[1]))
    ranked = compare(*scores, labels, CLASSES[:1], drawn)
    ppv = paired_measures(scores, sides, labels, CLASSES[:1], drawn, ranked)[CLASSES[0]].points["balanced"]["ppv"]
    share = np.mean([(weights[:2].sum() > 0) and (weights[2:4].sum() > 0) for weights in drawn.weights])
    assert ppv.difference.interval is not None
    assert ppv.first.interval is not None
    assert ppv.difference.interval.defined_share == pytest.approx(share)
    assert share < ppv.first.interval.defined_share
    assert ppv.difference.note == f"in {100 * share:.0f} % of resamples"


def test_kaggles_loss(resamples: PatientResamples) -> None:
    def weighted(rows: NDArray[np.intp], scores: NDArray[np.float64]) -> float:
        losses = [float(log_loss(LABELS[rows, k], scores[rows, k], labels=[False, True])) for k in range(6)]
        return (2 * losses[5] + sum(losses[:5])) / 7

    def change(weights: NDArray[np.uint16]) -> float:
        rows = np.arange(len(PATIENT)).repeat(weights.repeat(SLICES))
        return weighted(rows, SCORES[1]) - weighted(rows, SCORES[0])

    found = paired_kaggle_loss(*SCORES, LABELS, CLASSES, resamples).difference
    assert found.value == pytest.approx(change(np.ones(PATIENTS, np.uint16)), rel=1e-4), "clipped elsewhere"
    assert found.interval is not None
    low, high = np.quantile([change(weights) for weights in resamples.weights], [0.025, 0.975])
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high), rel=1e-4)
    few = paired_kaggle_loss(SCORES[0][:, 1:], SCORES[1][:, 1:], LABELS[:, 1:], CLASSES[1:], resamples)
    assert few.difference.to_json()["note"] == "not defined (it is of six classes; without EDH)"


def test_folds_have_the_same_differences(measures: dict[Subtype, PairedMeasures]) -> None:
    fold = np.arange(len(PATIENT)) // SLICES % 3
    first, second = (OutOfFold(PATIENT, fold, s, s, LABELS, called(s, side)) for side, s in enumerate(SCORES))
    gains = compare_folds(first, second, CLASSES, seed=0, resamples=RESAMPLES)
    told = {gain.subtype: gain.measures.to_json() for gain in gains}
    for c, each in measures.items():
        wanted = each.to_json()
        for rates in wanted["operating_points"].values():
            for name in AT_PREVALENCE:
                rates.pop(name, None)
        assert told[c] == wanted


def test_what_is_not_stated_or_not_there_is_not_defined(resamples: PatientResamples) -> None:
    labels = LABELS.copy()
    labels[:, 0], labels[:, 1] = False, True
    ranked = compare(*SCORES, labels, CLASSES, resamples)
    calls = Called(called(SCORES[0], 0)), Called(why_not="nobody said")
    found = paired_measures(SCORES, calls, labels, CLASSES, resamples, ranked, {Subtype.ANY: 0.06})
    assert "npv_at_prevalence" in found[Subtype.ANY].points["balanced"]
    for rate in found[Subtype.ANY].points["balanced"].values():
        assert rate.first.value is not None
        assert rate.difference.to_json()["value"] is None
        assert rate.second.note == rate.difference.note == "not defined (nobody said)"
    both = Called(called(SCORES[0], 0)), Called(called(SCORES[1], 1))
    found = paired_measures(SCORES, both, labels, CLASSES, resamples, ranked)
    nothing = found[Subtype.EPIDURAL]
    assert nothing.points["balanced"]["sensitivity"].difference.note == "not defined (0 positives)"
    assert nothing.points["balanced"]["f1"].difference.value is None
    assert nothing.average_precision.difference.note == "not defined (0 positives)"
    assert nothing.points["balanced"]["specificity"].difference.interval is not None
    assert nothing.brier.difference.interval is not None, "a probability of what never is can be right too"
    silent = Called({point: np.zeros_like(labels) for point in THRESHOLDS})
    quiet = paired_measures(SCORES, (both[0], silent), labels, CLASSES, resamples, ranked)
    assert quiet[Subtype.ANY].points["balanced"]["ppv"].difference.note == "not defined (0 calls)"
    assert quiet[Subtype.ANY].points["balanced"]["npv"].difference.interval is not None
    always = found[Subtype.INTRAPARENCHYMAL].points["balanced"]
    assert always["specificity"].difference.note == "not defined (0 negatives)"
