"""DeLong's test against its definition by a double loop, and against a published example."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from ichnos.errors import InputError
from ichnos.evaluation.delong import delong

OVARIAN = """
3.0 5.8 10 0 3.2 6.3 5 1 3.9 6.8 3 1 2.8 4.8 6 0 3.2 5.8 3 1 0.9 4.0 5 0 2.5 5.7 8 0 1.6 5.6 5 1 3.8 5.7 5 1 3.7 6.7 6 1
3.2 5.4 4 1 3.8 6.6 6 1 4.1 6.6 5 1 3.6 5.7 5 1 4.3 7.0 4 1 3.6 6.7 4 0 2.3 4.4 6 1 4.2 7.6 4 0 4.0 6.6 6 0 3.5 5.8 6 1
3.8 6.8 7 1 3.0 4.7 8 0 4.5 7.4 5 1 3.7 7.4 5 1 3.1 6.6 6 1 4.1 8.2 6 1 4.3 7.0 5 1 4.3 6.5 4 1 3.2 5.1 5 1 2.6 4.7 6 1
3.3 6.8 6 0 1.7 4.0 7 0 3.7 6.1 5 1 3.3 6.3 7 1 4.2 7.7 6 1 3.5 6.2 5 1 2.9 5.7 9 0 2.1 4.8 7 1 2.8 6.2 8 0 4.0 7.0 7 1
3.3 5.7 6 1 3.7 6.9 5 1 3.6 6.6 5 1
"""
"""DeLong 1988's patients without missing values: albumin, total protein, K-G score (its complement to 10 is used), and
0 for what SAS calls the event. SAS/STAT User's Guide, The LOGISTIC Procedure, "Comparing ROC Curves", which reports the
numbers below."""


def by_definition(first: NDArray[np.float64], second: NDArray[np.float64], positive: NDArray[np.bool_]):
    """AUCs and the standard error of their difference from Mann-Whitney kernels, case by case."""
    components = []
    for scores in (first, second):
        wins = np.zeros((positive.sum(), (~positive).sum()))
        for i, x in enumerate(scores[positive]):
            for j, y in enumerate(scores[~positive]):
                wins[i, j] = 1.0 if x > y else 0.5 if x == y else 0.0
        components.append(wins)
    m, n = components[0].shape
    aucs = [wins.mean() for wins in components]
    v10 = [[sum(row) / n for row in wins] for wins in components]
    v01 = [[sum(column) / m for column in wins.T] for wins in components]

    def covariance(r: int, s: int) -> float:
        s10 = sum((a - aucs[r]) * (b - aucs[s]) for a, b in zip(v10[r], v10[s], strict=True)) / (m - 1)
        s01 = sum((a - aucs[r]) * (b - aucs[s]) for a, b in zip(v01[r], v01[s], strict=True)) / (n - 1)
        return s10 / m + s01 / n

    return aucs, np.sqrt(covariance(0, 0) + covariance(1, 1) - 2 * covariance(0, 1))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("decimals", [1, 6], ids=["ties", "no ties"])
def test_the_fast_form_is_the_definition(seed: int, decimals: int) -> None:
    rng = np.random.default_rng(seed)
    positive = rng.random(60) < 0.4
    first = rng.normal(positive * 1.0).round(decimals)
    second = (first + rng.normal(0, 0.8, 60)).round(decimals)
    result = delong(first, second, positive)
    assert result is not None
    aucs, error = by_definition(first, second, positive)
    assert (result.first, result.second) == pytest.approx(tuple(aucs))
    assert result.first == pytest.approx(roc_auc_score(positive, first))
    assert result.standard_error == pytest.approx(error)
    assert result.low is not None
    assert result.high is not None
    assert result.low < result.difference < result.high


def test_a_published_example() -> None:
    table = np.array(OVARIAN.split(), dtype=np.float64).reshape(-1, 4)
    albumin, protein, score, event = table[:, 0], table[:, 1], 10 - table[:, 2], table[:, 3] == 0
    one = delong(score, albumin, ~event)
    two = delong(score, protein, ~event)
    assert one is not None
    assert two is not None
    assert (one.first, one.second, two.second) == pytest.approx((0.7258, 0.7366, 0.6478), abs=5e-5)
    assert (one.difference, one.standard_error, one.p) == pytest.approx((0.0108, 0.0953, 0.9102), abs=5e-5)
    assert (two.difference, two.standard_error, two.p) == pytest.approx((-0.0780, 0.1046, 0.4561), abs=5e-5)


def test_a_model_against_itself() -> None:
    positive = np.arange(40) % 2 == 0
    scores = np.random.default_rng(0).random(40)
    result = delong(scores, scores, positive)
    assert result is not None
    assert (result.difference, result.standard_error, result.p) == (0.0, 0.0, 1.0)
    turned = delong(scores, 1 - scores, positive)
    assert turned is not None
    assert turned.second == pytest.approx(1 - turned.first)


@pytest.mark.parametrize("sure", [np.full(40, 0.3), np.arange(40) % 2 * -1.0], ids=["constant", "all wrong"])
def test_a_difference_without_variance_is_not_tested(sure: NDArray[np.float64]) -> None:
    """Neither model varies from case to case, so nothing says how sure the difference is."""
    positive = np.arange(40) % 2 == 1
    result = delong(positive * 1.0, sure, positive)
    assert result is not None
    assert result.difference in (-0.5, -1.0)
    assert (result.standard_error, result.low, result.high, result.p) == (0.0, None, None, None)


def test_its_error_rate_is_what_it_says() -> None:
    rng = np.random.default_rng(7)
    below = 0
    for _ in range(400):
        positive = np.arange(80) < 30
        shared = rng.normal(positive * 1.0)
        result = delong(shared + rng.normal(0, 1, 80), shared + rng.normal(0, 1, 80), positive)
        assert result is not None
        assert result.p is not None
        below += result.p < 0.05
    assert 0.02 < below / 400 < 0.09


def test_too_few_cases_give_no_p_and_one_gives_nothing() -> None:
    scores = np.arange(20.0)
    assert delong(scores, scores, scores > 18) is None
    few = delong(scores, -scores, scores > 14)
    assert few is not None
    assert few.p is None


def test_bad_scores_are_refused() -> None:
    scores = np.arange(20.0)
    with pytest.raises(InputError, match="shape"):
        delong(scores, scores[:5], scores > 9)
    with pytest.raises(InputError, match="NaN"):
        delong(scores, np.where(scores > 3, np.nan, scores), scores > 9)
