"""Files that are whole or absent, and what is said when they cannot be written."""

import errno
import io
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ichnos.errors import OutputError, StorageError
from ichnos.files import cache_folder, is_torn, remove_torn, replacing, write_bytes, write_parquet
from ichnos.predictions import Predictions
from ichnos.subtypes import Subtype

TABLE = pl.DataFrame({"exam": ["a", "b"], "offset": [0.0, 5.0]})


def test_a_table_comes_back(tmp_path: Path) -> None:
    write_parquet(tmp_path / "deep" / "table.parquet", TABLE)
    assert pl.read_parquet(tmp_path / "deep" / "table.parquet").equals(TABLE)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["table.parquet"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_disk_full_says_so_of_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/dev/full answers every write with ENOSPC."""
    write_bytes(tmp_path / "table.parquet", b"before")
    monkeypatch.setattr(Path, "with_name", lambda path, name: Path("/dev/full"))
    monkeypatch.setattr(Path, "unlink", lambda path, missing_ok=False: None)
    with pytest.raises(OutputError, match=r"the disk is full: table\.parquet"):
        write_parquet(tmp_path / "table.parquet", TABLE)
    assert (tmp_path / "table.parquet").read_bytes() == b"before"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_disk_full_is_an_os_error_of_predictions() -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        Predictions.write_parquet(_predictions(), Path("/dev/full"))
    assert caught.value.errno == errno.ENOSPC


def _predictions() -> Predictions:
    names = np.array(["a", "b"])
    ones = np.ones((2, 1))
    return Predictions((Subtype.ANY,), names, names, names, np.zeros(2), ones, ones.astype(np.bool_))


FAILURES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk is full",
    errno.EACCES: "Permission denied; give a folder that you may write to",
    errno.EROFS: "Read-only file system; give a folder that you may write to",
    errno.ENOENT: "No such file or directory; check the disk, or give another folder",
    errno.EIO: "Input/output error; check the disk, or give another folder",
    errno.ENAMETOOLONG: "File name too long; check the disk, or give another folder",
}


@pytest.mark.parametrize("number", FAILURES)
def test_every_failed_write_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OutputError, match=FAILURES[number]):
        write_bytes(tmp_path / "result.json", b"{}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["/proc/ichnos", "/dev/null/ichnos", f"/tmp/{'long' * 100}"])
def test_places_that_are_none_are_explained(place: str) -> None:
    with pytest.raises(OutputError, match=r"cannot write .*with --out"):
        write_bytes(Path(place) / "result.json", b"{}")


def test_what_cannot_be_tidied_away_does_not_hide_the_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unlink(path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def write(path: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "unlink", unlink)
    monkeypatch.setattr(Path, "write_bytes", write)
    with pytest.raises(OutputError, match="the disk is full"):
        write_bytes(tmp_path / "result.json", b"{}")


def test_what_is_no_failure_of_a_write_passes_as_it_is(tmp_path: Path) -> None:
    """Decoders and networks raise OSErrors too, without a number of the system's or with one of the network's."""
    for error in (io.UnsupportedOperation("seek"), ConnectionResetError(errno.ECONNRESET, "reset"), OSError("odd")):
        with pytest.raises(type(error)) as caught, replacing(tmp_path / "weights"):
            raise error
        assert caught.value is error


def test_a_read_that_fails_is_no_failed_write(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be reached"), replacing(tmp_path / "shard"):
        raise StorageError("s3://b cannot be reached")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_was_writing_is_known_and_taken_away(tmp_path: Path) -> None:
    with replacing(tmp_path / "whole.json") as temporary:
        temporary.write_bytes(b"{}")
        assert is_torn(temporary.name)
        assert is_torn(f"shards/{temporary.name}")
        assert not is_torn(f"{temporary.name}/whole.json")
        (tmp_path / f".x{temporary.name}").write_bytes(b"half")
    remove_torn(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["whole.json"]


def test_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ICHNOS_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/ichnos")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/reader")
    assert cache_folder() == Path("/home/reader/.cache/ichnos")
