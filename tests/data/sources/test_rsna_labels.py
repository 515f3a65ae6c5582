"""RSNA's table of labels: what is accepted, and what is refused by name."""

from pathlib import Path

import pytest

from ichnos.data.sources import rsna_labels
from ichnos.data.sources.rsna_labels import read_labels
from ichnos.data.sources.tables import new_tables
from ichnos.errors import SourceError
from ichnos.subtypes import SUBTYPES, Subtype
from tests.data.sources.rsna_trees import label_rows

ONE, TWO = "ID_00000000a", "ID_00000000b"
ROWS = [*label_rows(ONE, "subdural", "epidural"), *label_rows(TWO)]


def _labels(scratch: Path, rows: list[str], header: str = "ID,Label") -> list[tuple[str, int]]:
    (scratch / "labels.csv").write_text("\n".join([header, *rows, ""]))
    with new_tables(scratch) as tables:
        read_labels(tables, scratch / "labels.csv", "labels.csv")
        return tables.execute("SELECT uid, bits FROM labels ORDER BY uid").fetchall()


def test_labels_are_bits_in_the_order_of_the_subtypes(tmp_path: Path) -> None:
    expected = 1 << SUBTYPES.index(Subtype.SUBDURAL) | 1 << SUBTYPES.index(Subtype.EPIDURAL)
    assert _labels(tmp_path, ROWS) == [(ONE, expected), (TWO, 0)]


def test_an_empty_line_is_no_row(tmp_path: Path) -> None:
    assert _labels(tmp_path, [*ROWS[:6], "", *ROWS[6:], "", ""]) == _labels(tmp_path, ROWS)


def test_duplicates_that_agree_count_once(tmp_path: Path) -> None:
    assert _labels(tmp_path, ROWS + ROWS[:6] + ROWS[3:5]) == _labels(tmp_path, ROWS)


def test_a_table_is_the_same_in_any_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _labels(tmp_path, ROWS)
    for size in (1, 30, 100):
        monkeypatch.setattr(rsna_labels, "_PIECE_BYTES", size)
        assert _labels(tmp_path, ROWS) == whole


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*ROWS, f"{ONE}_epidural,0"], f"1 images .* disagree, such as {ONE}"),
        ([*ROWS, f"{ONE}_sinusitis,0"], "1 rows .* no subtype known here, such as ID_00000000a_sinusitis"),
        ([*ROWS, "nonsense,0"], "no subtype known here, such as nonsense"),
        ([*ROWS, f"{TWO}_any,0.5"], "label other than 0 or 1, such as ID_00000000b_any,0.5"),
        ([*ROWS, f"{TWO}_any,2"], "label other than 0 or 1"),
        ([*ROWS[:-1], f"{TWO}_any,"], "label other than 0 or 1"),
        (ROWS[1:], f"1 images .* lack a row .* such as {ONE}"),
        ([*ROWS[:-1], f"{TWO}_any,1"], f"1 images .* `any` that contradicts their subtypes, such as {TWO}"),
        ([*ROWS[:5], f"{ONE}_any,0", *ROWS[6:]], f"`any` that contradicts their subtypes, such as {ONE}"),
    ],
)
def test_contradictions_are_refused(tmp_path: Path, rows: list[str], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        _labels(tmp_path, rows)


@pytest.mark.parametrize(("header", "missing"), [("ID,Lable", "Label"), ("Image,Label", "ID"), ("a,b", "ID and Label")])
def test_missing_columns_are_named(tmp_path: Path, header: str, missing: str) -> None:
    with pytest.raises(SourceError, match=f"{missing} missing"):
        _labels(tmp_path, ROWS, header)


def test_an_empty_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read as CSV"):
        _labels(tmp_path, [], "")
    with new_tables(tmp_path) as tables, pytest.raises(SourceError, match="cannot be read"):
        read_labels(tables, tmp_path / "absent.csv", "absent.csv")
