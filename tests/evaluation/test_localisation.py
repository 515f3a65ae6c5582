"""The pointing game and the overlap of maps and masks."""

import numpy as np
import pytest

from ichnos.errors import InputError, UsageError
from ichnos.evaluation.localisation import mean_of, point
from ichnos.evaluation.subgroups import grouped

MASK = np.zeros((8, 8), np.bool_)
MASK[2:4, 2:6] = True


def test_a_map_that_is_the_mask() -> None:
    found = point(MASK.astype(np.float32), MASK)
    assert (found.hit, found.iou, found.chance) == (True, 1.0, 8 / 64)


def test_a_map_beside_it() -> None:
    heat = np.zeros((8, 8), np.float32)
    heat[6, 6] = 1.0
    heat[2, 2:6] = 0.5
    found = point(heat, MASK)
    assert not found.hit
    assert found.iou == pytest.approx(4 / 9)
    nowhere = point(np.zeros((8, 8), np.float32), MASK)
    assert (nowhere.hit, nowhere.iou) == (False, 0.0)


def test_a_mask_of_another_size_and_an_empty_one_are_refused() -> None:
    with pytest.raises(InputError, match="of its own size"):
        point(np.zeros((8, 9), np.float32), MASK)
    with pytest.raises(InputError, match="empty mask"):
        point(np.zeros((8, 8), np.float32), np.zeros((8, 8), np.bool_))


def test_the_mean_has_an_interval_by_patient() -> None:
    values = np.array([0.0, 0.0, 1.0, 1.0])
    alike = mean_of(values, np.array(["a", "a", "b", "b"]), seed=0, resamples=500)
    assert alike.value == 0.5
    assert alike.interval is not None
    assert (alike.interval.low, alike.interval.high) == (0.0, 1.0)
    assert mean_of(values, np.array(["a"] * 4), seed=0, resamples=50).interval is None


def test_groups_of_words_and_of_numbers() -> None:
    assert grouped(["F", "M", None, ""]) == ["F", "M", "not known", "not known"]
    assert grouped([1.0, 2.0, float("nan")]) == ["1", "2", "not known"]
    bands = grouped([float(k) for k in range(8)] + [float("nan")])
    assert bands[:2] == bands[:1] * 2
    assert len(set(bands)) == 5
    assert bands[-1] == "not known"
    with pytest.raises(UsageError, match="make no subgroups"):
        grouped([f"exam {k}" for k in range(20)])


def test_a_level_peak_is_taken_at_its_middle() -> None:
    """A map that was enlarged from few cells is level from an outer cell's centre to the edge."""
    heat = np.zeros((30, 30), np.float32)
    heat[0:11, 20:30] = 1.0
    mask = np.zeros((30, 30), np.bool_)
    mask[4:7, 23:27] = True
    assert point(heat, mask).hit
    mask[:] = False
    mask[0, 20] = True
    assert not point(heat, mask).hit
