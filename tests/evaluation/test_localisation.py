"""The pointing game and the overlap of maps and masks."""

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from ichnos.errors import InputError, UsageError
from ichnos.evaluation.localisation import Pointed, mean_of, point
from ichnos.evaluation.subgroups import _order, grouped
from ichnos.reporting.exam.heat import placed

MASK = np.zeros((8, 8), np.bool_)
MASK[2:4, 2:6] = True


def judged(heat: NDArray[np.float32], mask: NDArray[np.bool_]) -> Pointed:
    """A map with a cell a pixel."""
    return point(heat, heat, mask)


def test_a_map_that_is_the_mask() -> None:
    found = judged(MASK.astype(np.float32), MASK)
    assert (found.hit, found.iou, found.chance) == (1.0, 1.0, 8 / 64)


def test_a_map_beside_it() -> None:
    heat = np.zeros((8, 8), np.float32)
    heat[6, 6] = 1.0
    heat[2, 2:6] = 0.5
    found = judged(heat, MASK)
    assert not found.hit
    assert found.iou == pytest.approx(4 / 9)
    nowhere = judged(np.zeros((8, 8), np.float32), MASK)
    assert (nowhere.hit, nowhere.iou) == (0.0, 0.0)


def test_a_mask_of_another_size_and_an_empty_one_are_refused() -> None:
    with pytest.raises(InputError, match="of its own size"):
        judged(np.zeros((8, 9), np.float32), MASK)
    with pytest.raises(InputError, match="empty mask"):
        judged(np.zeros((8, 8), np.float32), np.zeros((8, 8), np.bool_))


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
    assert grouped([20190101.0, 20190102.0, 0.5]) == ["20190101", "20190102", "0.5"], "six digits say the same"
    assert grouped([True, False, 3]) == ["True", "False", "3"]
    dates = [20190101 + day for day in range(28)] + [20190201 + day for day in range(28)]
    assert sorted(Counter(grouped(dates)).values()) == [14, 14, 14, 14], "two quartiles have one name"
    bands = grouped([float(k) for k in range(8)] + [float("nan")])
    assert bands[:2] == bands[:1] * 2
    assert len(set(bands)) == 5
    assert bands[-1] == "not known"
    with pytest.raises(UsageError, match="make no subgroups"):
        grouped([f"exam {k}" for k in range(20)])


def test_bands_of_numbers_do_not_overlap_and_stand_in_order() -> None:
    ages = [30.0, 40.0, 57.0, 57.0, 60.0, 64.0, 70.0, 90.0, 110.0]
    bands = grouped(ages)
    assert list(dict.fromkeys(bands)) == ["30 to 57", "above 57 to 60", "above 60 to 70", "above 70 to 110"]
    assert bands[2] == bands[3] == "30 to 57", "an edge belongs to the band that it ends"
    assert sorted(["not known", *reversed(bands)], key=_order) == [*bands, "not known"]


def cell(row: int, column: int, side: int = 3) -> NDArray[np.float32]:
    """A map whose largest value is there."""
    cells = np.full((side, side), 0.1, np.float32)
    cells[row, column] = 1.0
    return cells


def test_an_outer_cell_of_few_points_at_all_that_it_covers() -> None:
    """Of 3×3 cells over 96 pixels: blood at the inner corner of an outer cell, where enlarged maps have no peak."""
    mask = np.zeros((96, 96), np.bool_)
    mask[26:32, 26:32] = True
    for row in range(3):
        for column in range(3):
            cells = cell(row, column)
            found = point(cells, placed(cells, mask.shape), mask)
            assert found.hit == float((row, column) == (0, 0))
            assert found.chance == pytest.approx(1 / 9)
    mask[26:34, 26:32] = True
    assert point(cell(1, 0), placed(cell(1, 0), mask.shape), mask).hit == 1.0, "it reaches into the cell below"


def test_cells_lie_over_the_square_that_a_picture_is_padded_to() -> None:
    """60 rows of 90 columns: the upper row of cells covers 15 rows of padding, then 15 of the picture."""
    mask = np.zeros((60, 90), np.bool_)
    mask[14, 89] = True
    assert point(cell(0, 2), placed(cell(0, 2), mask.shape), mask).hit == 1.0
    mask[:] = False
    mask[15, 89] = True
    assert point(cell(0, 2), placed(cell(0, 2), mask.shape), mask).hit == 0.0
    assert point(cell(1, 2), placed(cell(1, 2), mask.shape), mask).hit == 1.0


def test_a_cell_whose_edge_goes_through_a_pixel_overlaps_it() -> None:
    mask = np.zeros((10, 10), np.bool_)
    mask[3, 0] = True
    found = [point(cell(row, 0), placed(cell(row, 0), mask.shape), mask).hit for row in range(3)]
    assert found == [1.0, 1.0, 0.0], "3 cells over 10 pixels: the edge of the first two is at 3.33"


def test_a_level_map_hits_as_often_as_chance() -> None:
    cells = np.ones((3, 3), np.float32)
    mask = np.zeros((30, 30), np.bool_)
    mask[5:15, 5:8] = True
    found = point(cells, placed(cells, mask.shape), mask)
    assert found.hit == found.chance == pytest.approx(2 / 9)
