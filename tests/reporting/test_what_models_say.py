"""Slices by lot: one for each class that has any, none twice, the same for the same seed."""

import numpy as np
import pytest

from ichnos.reporting.what_models_say import draw_slices, what_models_say
from tests.reporting.conftest import make_study


def test_each_class_is_shown_once_by_lot() -> None:
    test = make_study().models[0].test
    rows = draw_slices(test, seed=3)
    assert len(rows) == len(set(rows)) == len(test.classes) + 1
    for k, row in enumerate(rows[: len(test.classes)]):
        assert test.labels[row, k]
    assert rows == draw_slices(test, seed=3)
    assert rows != draw_slices(test, seed=4)


def test_a_class_without_slices_is_left_out() -> None:
    test = make_study().models[0].test
    kept = test.select(~test.labels[:, 0])
    rows = draw_slices(kept, seed=0)
    assert len(rows) == len(test.classes)
    assert not kept.labels[rows, 0].any()


@pytest.mark.filterwarnings("error")
def test_the_figure_says_how_slices_were_chosen() -> None:
    drawn = what_models_say(make_study())
    assert "drawn by lot (seed" in drawn.caption
    assert drawn.png.startswith(b"\x89PNG")
    assert np.frombuffer(drawn.svg, dtype=np.uint8).size > 10_000
