"""A table of what is known of exams: whose names it must have, and that they are names."""

from pathlib import Path

import polars as pl
import pytest

from ichnos.errors import InputError, UsageError
from ichnos.evaluation.subgroups import VARIES, grouped
from ichnos.workflows.subgrouping import Subgrouping, _values


class Prepared:
    """What is asked of a set."""

    exams = pl.Series(["007/1", "008/1", "110/1"]).to_numpy().astype(str)
    index = pl.DataFrame({"patient": ["007", "008", "110"], "exam": ["007/1", "008/1", "110/1"]})


def test_names_that_look_like_numbers_keep_their_zeros(tmp_path: Path) -> None:
    table = tmp_path / "scanners.csv"
    table.write_text("patient,scanner\n007,A\n008,B\n110,A\n")
    assert _values(Prepared(), "scanner", table) == {"007/1": "A", "008/1": "B", "110/1": "A"}  # pyright: ignore[reportArgumentType]


def test_a_table_of_others_is_refused_before_anything_runs(tmp_path: Path) -> None:
    table = tmp_path / "scanners.csv"
    table.write_text("patient,scanner\n7,A\n8,B\n")
    with pytest.raises(InputError, match="names no patient of this set"):
        Subgrouping("scanner", table).see_that_it_can_be(Prepared())  # pyright: ignore[reportArgumentType]


class OfSlices:
    """Three exams of two slices."""

    exams = pl.Series(["a", "a", "b", "b", "c", "c"]).to_numpy().astype(str)
    index = pl.DataFrame(
        {
            "epidural": [True, False, False, False, False, None],
            "age": [30, 30, 41, 41, None, None],
            "slice_thickness": [5.0, 2.5, 5.0, 5.0, 2.5, 2.5],
            "instance": [1, 2, 1, 2, 1, 2],
            "offset": [0.0, 5.0, 0.0, 5.0, 0.0, 5.0],
        }
    )


def test_an_exam_has_what_any_of_its_slices_has_and_is_not_known_where_one_is_not() -> None:
    assert _values(OfSlices(), "epidural", None) == {"a": True, "b": False, "c": None}  # pyright: ignore[reportArgumentType]


def test_exams_whose_slices_differ_are_a_group_of_their_own() -> None:
    values = _values(OfSlices(), "slice_thickness", None)  # pyright: ignore[reportArgumentType]
    assert values == {"a": VARIES, "b": 5.0, "c": 2.5}
    assert grouped(list(values.values())) == [VARIES, "5", "2.5"]
    assert grouped([VARIES, *map(float, range(8))])[0] == VARIES, "beside quartiles too"
    assert _values(OfSlices(), "age", None) == {"a": 30, "b": 41, "c": None}  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(("column", "why"), [("instance", "in every exam"), ("offset", "says nothing of an exam")])
def test_what_only_slices_have_makes_no_groups(column: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        Subgrouping(column).see_that_it_can_be(OfSlices())  # pyright: ignore[reportArgumentType]


def test_groups_of_a_table_or_of_before_are_not_what_is_asked_for_now(tmp_path: Path) -> None:
    """A study that goes on measures again what its command would not give."""
    of_index, of_table = {"subgroups": {"by": "sex"}}, {"subgroups": {"by": "sex", "table": "a.csv"}}
    assert Subgrouping("sex").is_told(of_index)
    assert not Subgrouping("sex").is_told(of_table)
    assert not Subgrouping("sex", tmp_path / "a.csv").is_told(of_table), "it may have changed"
    assert Subgrouping().is_told({})
    assert not Subgrouping().is_told(of_index)
