"""The members of a zip are those that Python's own zipfile lists, at their places, however the zip was written."""

import zipfile
from pathlib import Path

import pytest

from ichnos.data.sources.zip_directory import members

FILES = {"a.txt": b"one" * 100, "folder/b.dcm": b"", "folder/häm.dcm": b"three"}


def _write(path: Path, comment: bytes = b"") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
        archive.mkdir("empty")
        archive.comment = comment
    return path


def _expected(path: Path) -> list[tuple[object, ...]]:
    with zipfile.ZipFile(path) as archive:
        return [
            (one.filename, one.header_offset, one.compress_size, one.file_size, one.compress_type, one.CRC)
            for one in archive.infolist()
            if not one.is_dir()
        ]


def _found(path: Path) -> list[tuple[object, ...]]:
    return [(one.name, one.offset, one.packed_size, one.size, one.method, one.crc) for one in members(path)]


@pytest.mark.parametrize("comment", [b"", b"a comment" * 1000])
def test_members_are_those_that_python_lists(tmp_path: Path, comment: bytes) -> None:
    path = _write(tmp_path / "one.zip", comment)
    assert [name for name, *_ in _found(path)] == list(FILES)
    assert _found(path) == _expected(path)


def test_what_stands_before_a_zip_moves_its_members(tmp_path: Path) -> None:
    path = _write(tmp_path / "one.zip")
    path.write_bytes(b"#!/bin/sh\n" + path.read_bytes())
    assert _found(path) == _expected(path)


@pytest.mark.parametrize("shift", [0, 5])
def test_numbers_that_need_64_bits_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shift: int) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    path = _write(tmp_path / "large.zip")
    assert b"PK\6\6" in path.read_bytes()
    path.write_bytes(bytes(shift) + path.read_bytes())
    assert _found(path) == _expected(path)


@pytest.mark.parametrize("most", [4, 50, 200, -1])
def test_a_zip_that_is_cut_short_is_none(tmp_path: Path, most: int) -> None:
    path = _write(tmp_path / "one.zip")
    path.write_bytes(path.read_bytes()[:most])
    with pytest.raises(zipfile.BadZipFile):
        _found(path)


def test_a_damaged_directory_is_told(tmp_path: Path) -> None:
    path = _write(tmp_path / "one.zip")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"PK\1\2", b"PK\1\3"))
    with pytest.raises(zipfile.BadZipFile, match="damaged entry"):
        _found(path)
