"""How members' answers become one: means, places and stacking, on numbers that can be worked out."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from ichnos.errors import InputError
from ichnos.evaluation import stacking
from ichnos.evaluation.combination import Linear, Places, Ranks, combined, cross_fitted, fit_combination
from ichnos.evaluation.stacking import fit_stacking
from ichnos.predictions import Predictions
from ichnos.readout import sigmoid
from ichnos.subtypes import SUBTYPES, Subtype

BOTH = (Subtype.SUBDURAL, Subtype.ANY)


def table(logits: np.ndarray, labels: np.ndarray, classes: tuple[Subtype, ...] = BOTH) -> Predictions:
    """Ten slices a patient."""
    n = len(logits)
    patient = np.array([f"p{k // 10}" for k in range(n)])
    names = np.array([f"s{k}" for k in range(n)])
    return Predictions(
        classes, patient, patient, names, np.arange(n, dtype=np.float64) * 5, sigmoid(logits), labels, "validation"
    )


def members(seed: int = 0, n: int = 400) -> tuple[list[Predictions], np.ndarray]:
    """A good member, a weaker one on another scale, and one that says nothing."""
    rng = np.random.default_rng(seed)
    labels = rng.random((n, 2)) < (0.2, 0.4)
    truth = np.where(labels, 1.0, -1.0)
    noise = [rng.normal(size=(n, 2)) for _ in range(3)]
    return [table(s, labels) for s in (truth + noise[0], 5 * (truth + 2 * noise[1]), noise[2])], labels


def test_the_mean_is_of_logits_and_weighed() -> None:
    logits = np.array([[[0.0, 1.0]], [[4.0, -3.0]]])
    np.testing.assert_allclose(Linear.mean((0.75, 0.25), 2).apply(logits), [[1.0, 0.0]])


@given(st.lists(st.floats(-40, 40), min_size=1, max_size=60), st.floats(-60, 60))
@example([0.0, 2.225073858507e-311], 0.0)  # a slope between these is not finite
@example([2.225073858507e-311, 0.0, 1.0], -1e-311)
def test_a_place_is_the_share_of_slices_below(logits: list[float], at: float) -> None:
    given_, place = np.array(logits), Places.of(np.array(logits))
    below, above = place.sides(np.array([at]))
    assert below[0] + above[0] == pytest.approx(1)
    assert 0 < below[0] < 1
    if at < given_.min():
        assert below[0] <= 0.5 * np.mean(given_ <= given_.min() + 1e-11) + 1e-12
    nearer = place.sides(np.array([at + 0.5]))
    assert nearer[0][0] >= below[0]
    assert nearer[1][0] <= above[0]


def test_places_of_many_slices_are_their_ranks() -> None:
    logits = np.random.default_rng(1).normal(size=2000)
    below, _ = Places.of(logits).sides(np.sort(logits))
    np.testing.assert_allclose(below, (np.arange(2000) + 0.5) / 2000, atol=0.02)


def test_surer_than_every_validation_slice_still_has_an_order() -> None:
    ranks = Ranks.of(np.zeros((2, 50, 1)) + np.linspace(-2, 2, 50)[:, None], (0.5, 0.5))
    said = ranks.apply(np.array([[[-9.0], [-5.0], [2.0], [5.0], [9.0]]] * 2))[:, 0]
    assert (np.diff(said) > 1).all()


def test_equal_logits_have_one_place_and_nothing_is_infinite() -> None:
    ranks = Ranks.of(np.full((2, 30, 1), -3.0), (0.5, 0.5))
    said = ranks.apply(np.array([[[-1e4], [-3.0], [1e4]]] * 2))[:, 0]
    assert np.isfinite(said).all()
    assert said[1] == pytest.approx(0)


def test_ranks_do_not_depend_on_a_members_scale() -> None:
    tables, labels = members()
    squeezed = [tables[0], table(np.log(tables[1].probabilities / (1 - tables[1].probabilities)) / 7 - 2, labels)]
    one, two = (
        combined(fit_combination("rank", each, (0.5, 0.5))[0], each).probabilities for each in (tables[:2], squeezed)
    )
    np.testing.assert_allclose(one, two, atol=0.01)


def test_stacking_listens_to_those_that_know() -> None:
    tables, _ = members()
    unseen, truth = members(seed=1)
    stacked, record = fit_combination("stacking", tables, (1 / 3,) * 3)
    mean = combined(Linear.mean((1 / 3,) * 3, 2), unseen)
    said = combined(stacked, unseen)
    for k in range(2):
        assert roc_auc_score(truth[:, k], said.probabilities[:, k]) > roc_auc_score(
            truth[:, k], mean.probabilities[:, k]
        )
    assert record["patients"] == 40
    assert record["notes"] == []


def test_a_class_absent_in_validation_keeps_the_plain_mean_and_says_so() -> None:
    tables, labels = members()
    without = [table(np.log(t.probabilities / (1 - t.probabilities)), labels & (False, True)) for t in tables]
    stacked, record = fit_combination("stacking", without, (1 / 3,) * 3)
    assert isinstance(stacked, Linear)
    np.testing.assert_allclose(stacked.matrix[0], np.tile([1 / 3, 0], 3))
    assert stacked.bias[0] == 0
    assert record["notes"] == ["subdural: the plain mean, as not both slices with and without it are there"]
    assert record["strengths"]["subdural"] is None  # pyright: ignore[reportIndexIssue]


def test_weights_that_have_not_settled_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacking, "ITERATIONS", 1)
    _, record = fit_combination("stacking", members()[0], (1 / 3,) * 3)
    assert record["notes"] == [f"{c}: its weights had not settled when the solver stopped" for c in ("subdural", "any")]


def test_calibration_sees_each_patient_by_the_fit_of_the_others() -> None:
    rng = np.random.default_rng(3)
    labels = rng.random((100, 2)) < 0.5
    tables = [table(rng.normal(size=(100, 2)), labels) for _ in range(4)]  # they know nothing: all fit is overfit
    flattered = combined(fit_combination("stacking", tables, (1 / 4,) * 4)[0], tables)
    own, other = (roc_auc_score(labels, each.probabilities) for each in (flattered, cross_fitted(tables)))
    assert own > 0.55
    assert other < own - 0.05
    alone = [each.select(each.patient == "p0") for each in tables]  # who has no others
    plain = combined(Linear.mean((1 / 4,) * 4, 2), alone)
    np.testing.assert_allclose(cross_fitted(alone).probabilities, plain.probabilities)


def test_an_ensemble_of_unequal_classes_is_refused() -> None:
    tables, _ = members()
    with pytest.raises(InputError, match="an ensemble of unequal classes: one member names subdural, any, another any"):
        combined(Linear.mean((0.5, 0.5), 2), [tables[0], tables[1].restrict((Subtype.ANY,))])
    with pytest.raises(InputError, match="must be asked of the same slices, in the same order"):
        combined(Linear.mean((0.5, 0.5), 2), [tables[0], tables[1].select(np.arange(400)[::-1])])


def test_probabilities_that_are_no_numbers_are_refused() -> None:
    good = members()[0][0]
    broken = good.probabilities.copy()
    broken[3, 1] = np.nan
    with pytest.raises(InputError, match=r"probabilities must be numbers in \[0, 1\]"):
        replace(good, probabilities=broken)


def test_nothing_to_fit_on_is_an_error() -> None:
    empty = [each.select(np.zeros(400, bool)) for each in members()[0]]
    for combine in ("rank", "stacking"):
        with pytest.raises(InputError, match="there are no slices to fit the ensemble's combination on"):
            fit_combination(combine, empty, (1 / 3,) * 3)


def test_five_subtypes_make_five_regressions() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random((100, 5)) < 0.3
    fitted = fit_stacking(rng.normal(size=(2, 100, 5)), labels, np.repeat(np.arange(10), 10).astype(str))
    assert fitted.matrix.shape == (len(SUBTYPES), 2 * len(SUBTYPES))


def test_members_that_rounding_would_rank_are_named() -> None:
    rng = np.random.default_rng(0)
    spread = rng.normal(size=(2, 50, 2))
    assert not Ranks.of(spread, (0.5, 0.5)).undecided(("a", "b"), BOTH)
    spread[1, :, 0] = -3.0 + 1e-5 * spread[1, :, 0]
    assert Ranks.of(spread, (0.5, 0.5)).undecided(("a", "b"), BOTH) == ["subdural of b"]
    spread[1, 7, 0] += 0.1  # one that stands apart orders none of the others
    assert Ranks.of(spread, (0.5, 0.5)).undecided(("a", "b"), BOTH) == ["subdural of b"]
    spread[1, :, 0] = -3.0
    assert Ranks.of(spread, (0.5, 0.5)).undecided(("a", "b"), BOTH) == ["subdural of b"]
