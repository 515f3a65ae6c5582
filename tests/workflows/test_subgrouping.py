"""A table of what is known of exams: whose names it must have, and that they are names."""

from pathlib import Path

import polars as pl
import pytest

from ichnos.errors import InputError
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
