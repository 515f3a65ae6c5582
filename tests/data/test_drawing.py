"""Few patients of many: nested, seeded, with every kind among them where it can be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ichnos.data.drawing import PatientOrder, draw_patients, order_patients
from ichnos.errors import UsageError

KINDS = st.lists(st.sampled_from([None, 0, 1, 2, 3, 4]), min_size=2, max_size=20)


def cohort(kinds: list[int | None]) -> tuple[np.ndarray, np.ndarray]:
    """Two slices a patient, of which the second bleeds."""
    labels = np.zeros((2 * len(kinds), 5), np.bool_)
    for patient, kind in enumerate(kinds):
        if kind is not None:
            labels[2 * patient + 1, kind] = True
    return np.repeat([f"p{k:02d}" for k in range(len(kinds))], 2), labels


@given(KINDS, st.integers(0, 5), st.data())
def test_a_larger_draw_holds_the_smaller(kinds: list[int | None], seed: int, data: st.DataObject) -> None:
    patients, labels = cohort(kinds)
    fewer = data.draw(st.integers(1, len(kinds)))
    more = data.draw(st.integers(fewer, len(kinds)))
    small, large = (draw_patients(patients, labels, count, seed) for count in (fewer, more))
    assert len(set(small)) == fewer
    assert set(small) <= set(large) <= set(patients.tolist())
    assert draw_patients(patients, labels, fewer, seed) == small


@given(KINDS, st.integers(0, 5), st.integers(1, 20))
def test_bleeding_and_healthy_take_turns(kinds: list[int | None], seed: int, count: int) -> None:
    patients, labels = cohort(kinds)
    count = min(count, len(kinds))
    chosen = {int(name[1:]) for name in draw_patients(patients, labels, count, seed)}
    bleeding, healthy = sum(k is not None for k in kinds), sum(k is None for k in kinds)
    drawn = sum(kinds[k] is not None for k in chosen)
    assert drawn == min(bleeding, max((count + 1) // 2, count - healthy))


def test_every_subtype_is_drawn_before_one_comes_twice() -> None:
    kinds = [0, 0, 0, 0, 1, 1, 1, 2, 3, 4]
    patients, labels = cohort([*kinds])
    for seed in range(10):
        chosen = [int(name[1:]) for name in draw_patients(patients, labels, 5, seed)]
        assert {kinds[k] for k in chosen} == {0, 1, 2, 3, 4}
    assert len({draw_patients(patients, labels, 5, seed) for seed in range(10)}) > 1


def test_more_than_there_are() -> None:
    patients, labels = cohort([None, 1])
    with pytest.raises(UsageError, match=r"asked for 3 patients, and the training part of this set has 2"):
        draw_patients(patients, labels, 3, 0)


def ordered(kinds: list[int | None], seed: int = 0) -> PatientOrder:
    return order_patients(*cohort(kinds), seed)


@given(KINDS, st.integers(0, 5), st.data())
def test_a_longer_beginning_holds_the_shorter(kinds: list[int | None], seed: int, data: st.DataObject) -> None:
    order = ordered(kinds, seed)
    fewer = data.draw(st.integers(0, len(kinds)))
    more = data.draw(st.integers(fewer, len(kinds)))
    assert len(set(order.names[:fewer])) == fewer
    assert set(order.names[:fewer]) <= set(order.names[:more])
    assert set(order.names) == set(cohort(kinds)[0].tolist())
    assert ordered(kinds, seed).names.tolist() == order.names.tolist()
    own = [kinds[int(name[1:])] for name in order.names[:fewer]]
    assert order.positives(fewer).tolist() == [own.count(c) for c in range(5)]


@given(st.lists(st.integers(0, 60), min_size=6, max_size=6).filter(any), st.integers(0, 3), st.floats(0.01, 1))
def test_every_beginning_is_stratified(sizes: list[int], seed: int, share: float) -> None:
    """Of each kind as many as its share, but for what is rounded and for the first, who have every class."""
    kinds: list[int | None] = [k if k < 5 else None for k, size in enumerate(sizes) for _ in range(size)]
    order = ordered(kinds, seed)
    count = round(share * len(kinds))
    for c, found in enumerate(order.positives(count)):
        assert abs(found - count * sizes[c] / len(kinds)) <= 4
    present = sum(size > 0 for size in sizes[:5])
    assert order.fewest == present
    assert (order.positives(max(count, present)) > 0).sum() == present, "no class is left out"


def test_large_kinds_keep_their_shares_almost_exactly() -> None:
    order = ordered([0] * 40 + [1] * 200 + [None] * 760)
    for count in (125, 250, 500):
        assert order.positives(count)[:2].tolist() == pytest.approx([0.04 * count, 0.2 * count], abs=1)
    assert len({tuple(ordered([0] * 40 + [None] * 60, seed).names[:10]) for seed in range(10)}) == 10, "by the seed"


def test_few_patients_have_every_class_between_them() -> None:
    """One who has two classes does for both."""
    patients = np.array(["a", "b", "c", "d", "e"])
    labels = np.array([[1, 1], [0, 1], [0, 1], [0, 0], [0, 0]], np.bool_)
    for seed in range(5):
        order = order_patients(patients, labels, seed)
        assert order.fewest == 1
        assert order.names[0] == "a"
    assert order_patients(patients, np.zeros((5, 2), np.bool_), 0).fewest == 0
