"""Files that are whole or absent, and what is said when they cannot be written."""

import errno
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ichnos.errors import OutputError
from ichnos.files import write_bytes, write_parquet
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
