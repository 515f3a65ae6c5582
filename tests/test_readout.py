"""The arithmetic from logits to calls."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ichnos.readout import (
    Aggregator,
    AnyRule,
    Bound,
    OperatingPoint,
    Readout,
    Scaling,
    logit,
    noisy_or,
    sigmoid,
    slice_weights,
)
from ichnos.subtypes import CLASSES, SUBTYPES, Subtype


@given(st.floats(-700, 700))
def test_sigmoid_does_not_overflow(x: float) -> None:
    value = sigmoid(np.array([x]))
    assert 0 <= value[0] <= 1
    assert value[0] == pytest.approx(0.5 * (1 + np.tanh(x / 2)), abs=1e-12)


def test_logit_undoes_sigmoid() -> None:
    x = np.linspace(-15, 15, 31)
    np.testing.assert_allclose(logit(sigmoid(x)), x, atol=1e-6)
    assert np.isfinite(logit(np.array([0.0, 1.0]))).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(1, 8))
def test_aggregators_stand_in_their_order(values: list[float], k: int) -> None:
    p = np.array(values)[:, None]
    whole = np.ones(len(p))
    top = Aggregator(kind="top-mean", k=k).apply(p, whole)[0]
    largest = Aggregator(kind="max").apply(p, whole)[0]
    every = Aggregator(kind="noisy-or").apply(p, whole)[0]
    assert top <= largest + 1e-12
    assert largest <= every + 1e-12
    assert top == pytest.approx(np.mean(sorted(values)[-k:]))
    assert every == pytest.approx(noisy_or(np.array(values), axis=0))


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30), st.randoms())
@settings(max_examples=30)
def test_the_order_of_slices_does_not_matter(values: list[float], random) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)
    for kind in ("max", "noisy-or", "top-mean"):
        aggregator = Aggregator.model_validate({"kind": kind, "k": 3})
        whole = np.ones(len(values))
        first, second = (aggregator.apply(np.array(each)[:, None], whole) for each in (values, shuffled))
        np.testing.assert_allclose(first, second, atol=1e-12)


@pytest.mark.parametrize("kind", ["max", "noisy-or", "top-mean"])
def test_a_head_that_is_cut_into_more_slices_has_the_same_score(kind: str) -> None:
    aggregator = Aggregator.model_validate({"kind": kind, "k": 3})
    thick = np.random.default_rng(2).uniform(0, 0.4, (12, 2))
    wanted = aggregator.apply(thick, slice_weights(5.0 * np.arange(12)))
    for cut in (2, 8):  # 2.5 mm, 0.625 mm
        thin, places = np.repeat(thick, cut, axis=0), 5 / cut * np.arange(12 * cut)
        np.testing.assert_allclose(aggregator.apply(thin, slice_weights(places)), wanted, atol=1e-3)


def test_what_a_slice_counts() -> None:
    assert slice_weights(np.array([7.0])).tolist() == [1]
    assert slice_weights(np.array([0, 5, 10.0001, 35])).tolist() == [1, 1, 1, 1]
    assert slice_weights(np.array([10.0, 0.0, 1.0])).tolist() == [1, 0.2, 1], "in any order, at most 1"
    assert slice_weights(np.array([0, 1, 2, 12])).tolist() == pytest.approx([0.2, 0.2, 1, 1])
    assert slice_weights(np.zeros(3)).tolist() == [1, 1, 1], "places that say nothing"
    assert slice_weights(np.array([5.0, 0.0, 5.0, 10.0])).tolist() == [0.5, 1, 0.5, 1], "two at one place"


def test_scaling_never_changes_a_ranking() -> None:
    scores = np.sort(np.random.default_rng(0).random(50))
    assert (np.diff(Scaling(slope=0.3, intercept=-2).apply(scores)) >= 0).all()
    np.testing.assert_allclose(Scaling().apply(scores), scores, atol=1e-9)


def test_outputs_in_any_order_are_reported_in_one() -> None:
    readout = Readout.uncalibrated((Subtype.ANY, Subtype.SUBDURAL, Subtype.EPIDURAL))
    assert readout.reported == (Subtype.EPIDURAL, Subtype.SUBDURAL, Subtype.ANY)
    p = readout.slice_probabilities(np.array([[0.0, 1.0, -1.0]]))
    np.testing.assert_allclose(p, sigmoid(np.array([[-1.0, 1.0, 1.0]])))  # any is raised to subdural's


def test_smoothing_is_by_mm() -> None:
    readout = Readout.uncalibrated(CLASSES).model_copy(update={"smoothing": 0.5})
    ramp = np.random.default_rng(0).normal(size=(7, 6))
    thick = readout.smoothed(ramp, np.arange(7) * 5.0)
    between = np.stack([np.interp(np.arange(31), np.arange(7) * 5.0, column) for column in ramp.T], axis=1)
    np.testing.assert_allclose(readout.smoothed(between, np.arange(31.0))[::5], thick, atol=1e-12)  # 1 mm slices
    far = readout.smoothed(ramp, np.arange(7) * 10.0)
    wanted = (ramp[3] + 0.5 * (ramp[3] + 0.5 * (ramp[2] + ramp[4]))) / 2  # half of what lies 5 mm away is its own
    np.testing.assert_allclose(far[3], wanted)
    gap = readout.smoothed(ramp, np.array([0, 5, 10, 5000, 5005, 5010, 5015.0]))
    np.testing.assert_allclose(gap[:3], readout.smoothed(ramp[:3], np.array([0, 5, 10.0])), atol=2e-3)


def test_smoothing_mixes_a_slice_with_those_beside_it() -> None:
    readout = Readout.uncalibrated(CLASSES).model_copy(update={"smoothing": 0.5})
    logits, places = np.zeros((4, 6)), np.arange(4) * 5.0
    logits[1] = 4.0
    assert readout.smoothed(logits, places)[:, 0].tolist() == [1, 2, 1, 0]
    assert readout.smoothed(logits[1:], places[1:])[:, 0].tolist() == [3, 1, 0]  # the end is its own missing neighbour
    assert readout.smoothed(logits[1:2], places[1:2])[:, 0].tolist() == [4]
    np.testing.assert_array_equal(Readout.uncalibrated(CLASSES).smoothed(logits, places), logits)


def test_what_stands_for_any_is_stated() -> None:
    assert Readout.uncalibrated(CLASSES).any_rule is AnyRule.EXPLICIT
    assert Readout.uncalibrated(SUBTYPES).any_rule is AnyRule.NOISY_OR


def test_a_bundle_names_a_subtype() -> None:
    with pytest.raises(ValidationError, match="at least one subtype"):
        Readout.uncalibrated((Subtype.ANY,))


@pytest.mark.parametrize("bound", list(Bound))
def test_what_gives_way_where_a_subtype_is_likelier_than_any(bound: Bound) -> None:
    both = Readout.uncalibrated(CLASSES).model_copy(update={"bound": bound})
    logits = np.log(np.array([[0.9, 0.2, 0.1, 0.1, 0.1, 0.4]]) / (1 - np.array([[0.9, 0.2, 0.1, 0.1, 0.1, 0.4]])))
    slices = both.slice_probabilities(logits)
    raised, capped = [0.9, 0.2, 0.1, 0.1, 0.1, 0.9], [0.4, 0.2, 0.1, 0.1, 0.1, 0.4]
    wanted = capped if bound is Bound.CAP_SUBTYPES else raised
    np.testing.assert_allclose(slices[0], wanted)
    steep = {c: Scaling(intercept=3.0 if c is Subtype.EPIDURAL else 0.0) for c in CLASSES}
    exam = both.model_copy(update={"exam_scaling": steep}).exam_probabilities(slices, np.zeros(1))
    assert exam[-1] == exam.max()
    assert exam[-1] == pytest.approx(0.4 if bound is Bound.CAP_SUBTYPES else exam[0])


@given(st.lists(st.floats(-20, 20), min_size=6, max_size=6))
def test_any_lies_between_the_largest_subtype_and_their_sum(logits: list[float]) -> None:
    between = Readout.uncalibrated(CLASSES).model_copy(update={"bound": Bound.BETWEEN})
    *subtypes, some = between.slice_probabilities(np.array([logits]))[0]
    np.testing.assert_allclose(subtypes, sigmoid(np.array(logits[:5])))
    low, high = max(subtypes), sum(subtypes)
    assert some == pytest.approx(np.clip(sigmoid(np.array(logits[5])), low, high))


def test_the_sum_of_some_subtypes_bounds_nothing() -> None:
    some = Readout.uncalibrated((*SUBTYPES[1:], Subtype.ANY)).model_dump(mode="json")
    with pytest.raises(ValidationError, match="bound=between needs all five"):
        Readout.model_validate(some | {"bound": "between"})


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_threshold_outside_0_to_1_is_refused(threshold: float) -> None:
    with pytest.raises(ValidationError, match="threshold"):
        OperatingPoint(threshold=threshold)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"temperatures": {"any": 1.0}}, "every output needs one temperature"),
        ({"temperatures": dict.fromkeys(CLASSES, -1.0)}, "greater than 0"),
        ({"temperatures": dict.fromkeys(CLASSES, float("inf"))}, "finite"),
        (
            {"classes": SUBTYPES, "any_rule": "max", "temperatures": dict.fromkeys(SUBTYPES, 1), "shifts": {"any": 1}},
            "shifts are of outputs",
        ),
        ({"exams": {}}, "exams must be given for every reported class"),
        ({"aggregator": {"kind": "median"}}, "Input should be"),
        ({"aggregator": {"kind": "top-mean", "k": 0}}, "greater than or equal to 1"),
        ({"exam_scaling": {c: {"slope": 0} for c in CLASSES}}, "greater than 0"),
        ({"classes": ["any", "any"]}, "named twice"),
    ],
)
def test_a_readout_that_is_not_whole(change: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        Readout.model_validate(Readout.uncalibrated(CLASSES).model_dump() | change)
