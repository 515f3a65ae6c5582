"""The table of predictions: what it says of itself survives its file, and what is no probability is named."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ichnos.errors import InputError
from ichnos.predictions import Predictions, Unit
from ichnos.subtypes import Subtype


def table(rows: int = 4, labels_of: Unit = "slice", rows_of: Unit = "slice") -> Predictions:
    names = np.array([f"n{k}" for k in range(rows)])
    return Predictions(
        (Subtype.SUBDURAL, Subtype.ANY),
        names,
        names,
        names if rows_of == "slice" else np.full(rows, ""),
        np.zeros(rows),
        np.full((rows, 2), 0.5),
        np.zeros((rows, 2), np.bool_),
        "test",
        labels_of,
        rows_of,
    )


@pytest.mark.parametrize(("labels_of", "rows_of"), [("slice", "slice"), ("exam", "slice"), ("exam", "exam")])
def test_what_rows_and_labels_are_of_goes_with_them(tmp_path: Path, labels_of: Unit, rows_of: Unit) -> None:
    whole = table(4, labels_of, rows_of)
    whole.write_parquet(tmp_path / "t.parquet")
    read = Predictions.read_parquet(tmp_path / "t.parquet")
    some = whole.select(np.array([0, 2])).restrict((Subtype.ANY,))
    for each in (read, some, Predictions.joined([some, some])):
        assert (each.part, each.labels_of, each.rows_of) == ("test", labels_of, rows_of)


def test_older_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    for rows_of in ("slice", "exam"):
        table(rows_of=rows_of).write_parquet(path)
        pl.read_parquet(path).drop("labels_of", "rows_of").write_parquet(path)
        read = Predictions.read_parquet(path)
        assert (read.labels_of, read.rows_of) == ("slice", rows_of), "exams have no slice's name"


def test_a_file_of_both_is_none(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table().write_parquet(path)
    mixed = pl.read_parquet(path).with_columns(labels_of=pl.Series(["slice", "exam", "exam", "slice"]))
    mixed.write_parquet(path)
    with pytest.raises(InputError, match=r"t\.parquet cannot be read: its column labels_of says .*not slice or exam"):
        Predictions.read_parquet(path)
    with pytest.raises(InputError, match="cannot be joined where some are of slices"):
        Predictions.joined([table(), table(labels_of="exam")])


def test_rows_that_are_no_probabilities_are_named() -> None:
    good = table(20)
    said = good.probabilities.copy()
    said[7, 1] = np.nan
    with pytest.raises(InputError, match=r"1 row of 20 has others \(row 7, counted from 0\)"):
        replace(good, probabilities=said)
    said[4:18] = 1.5
    with pytest.raises(InputError, match=r"14 rows of 20 have others \(rows 4, 5, 6, 7, 8, 9, 10, 11 and 6 more, "):
        replace(good, probabilities=said)
