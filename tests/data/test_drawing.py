"""Few patients of many: nested, seeded, with every kind among them where it can be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ichnos.data.drawing import draw_patients
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
