"""A scan's tables: read after the scan, thrown away by the next, and clear words where the disk is full."""

import gc
from pathlib import Path

import pytest

from ichnos.data.sources.tables import new_tables
from ichnos.errors import OutputError


def _with_rows(scratch: Path, names: list[str]) -> list[tuple[str, str]]:
    with new_tables(scratch) as tables:
        tables.executemany("INSERT INTO left_out VALUES (?, 'it is odd')", [(name,) for name in names])
        skipped = tables.skipped()
    del tables
    gc.collect()
    return [(each.name, each.reason) for each in skipped]


def test_what_was_left_out_is_read_in_order_after_the_scan(tmp_path: Path) -> None:
    assert _with_rows(tmp_path, ["b", "é", "a"]) == [(name, "it is odd") for name in ("a", "b", "é")]


def test_a_killed_scans_tables_are_thrown_away(tmp_path: Path) -> None:
    (tmp_path / "scan.sqlite").write_bytes(b"torn" * 1000)
    assert _with_rows(tmp_path, []) == []
    assert _with_rows(tmp_path, ["a"]) == [("a", "it is odd")]


def test_a_scan_of_a_folder_with_an_odd_name(tmp_path: Path) -> None:
    (tmp_path / "100 % ? # é").mkdir()
    assert _with_rows(tmp_path / "100 % ? # é", ["a"]) == [("a", "it is odd")]
    assert (tmp_path / "100 % ? # é" / "scan.sqlite").stat().st_size


def test_a_full_disk_says_so(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"the disk is full: scan\.sqlite"):
        _fill(tmp_path)


def _fill(scratch: Path) -> None:
    with new_tables(scratch) as tables:
        tables.execute("PRAGMA max_page_count = 20")
        tables.executemany("INSERT INTO left_out VALUES (?, '')", [("a" * 1000,) for _ in range(200)])
