"""A scan's tables, on the disk: SQLite joins and sorts them in a bounded part of memory, however many slices."""

import errno
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ichnos.ct import SkippedSlice
from ichnos.data.sources.base import Lazily
from ichnos.files import explained

_CACHE_KIB = 16 << 10
"""Of a database in memory, and as much again of rows that are being sorted; more is no faster at RSNA's size."""

_SCHEMA = """
-- what a store lists, in any order
CREATE TABLE found (name TEXT, key TEXT, size INTEGER);
-- the files whose headers are read, numbered from 1 by name
CREATE TABLE files (number INTEGER PRIMARY KEY, name TEXT, key TEXT, size INTEGER);
-- axial slices. place: position (mm) and orientation, 9 doubles; start: a digest of the file's first bytes and its size
CREATE TABLE headers (
  file INTEGER PRIMARY KEY, sop_instance TEXT, series TEXT, study TEXT, patient TEXT, place BLOB, start BLOB);
-- files that are no axial slice
CREATE TABLE refused (file INTEGER PRIMARY KEY, reason TEXT);
-- uid: of a slice, or of the series or study that is labelled as a whole; bit k of bits is SUBTYPES[k]
CREATE TABLE labels (uid TEXT PRIMARY KEY, bits INTEGER, patient TEXT) WITHOUT ROWID;
-- what the scan results in: series in order, their slices from foot to head, and all that is left out
CREATE TABLE exams (number INTEGER PRIMARY KEY, patient TEXT, study TEXT, series TEXT, first INTEGER, count INTEGER);
CREATE TABLE slices (number INTEGER PRIMARY KEY, slice TEXT, bits INTEGER, key TEXT, start BLOB);
CREATE TABLE left_out (name TEXT, reason TEXT);
"""


class Tables(sqlite3.Connection):
    """The database of one scan; it is closed when nobody reads from it any more."""

    def __del__(self) -> None:
        self.close()

    def count(self, table: str) -> int:
        """How many rows one of the tables has."""
        return self.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 a name of ours

    def skipped(self) -> Sequence[SkippedSlice]:
        """What is left out, by name and reason, each row read when it is asked for."""
        self.execute("CREATE TABLE skipped AS SELECT name, reason FROM left_out ORDER BY name, reason")

        def skipped(number: int) -> SkippedSlice:
            return SkippedSlice(*self.execute("SELECT name, reason FROM skipped WHERE rowid = ?", (number,)).fetchone())

        return Lazily(skipped, range(1, 1 + self.count("skipped")))

    def commonest_reason(self) -> tuple[str, int]:
        """Why most was left out, and how much; of two reasons the one that came first."""
        return self.execute(
            "SELECT reason, count(*) FROM left_out GROUP BY reason ORDER BY count(*) DESC, min(rowid) LIMIT 1"
        ).fetchone()


@contextmanager
def new_tables(scratch: Path, name: str = "scan") -> Iterator[Tables]:
    """An empty database in `scratch`, in place of what a killed scan left there. It can be read after the block too.

    Raises OutputError where the disk is full.
    """
    path = scratch / f"{name}.sqlite"
    with explained(path):
        path.unlink(missing_ok=True)
        path.touch()
    uri = f"{path.absolute().as_uri()}?nolock=1"  # the folder is ours alone, and not every file system has locks
    try:
        tables = sqlite3.connect(uri, uri=True, factory=Tables, check_same_thread=False)
        for setting in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE_KIB}", "temp_store = FILE"):
            tables.execute(f"PRAGMA {setting}")
        tables.executescript(_SCHEMA)
        yield tables
    except sqlite3.OperationalError as error:
        number = _OS_ERRORS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
        if number is None:
            raise
        with explained(path):
            raise OSError(number, str(error)) from error


_OS_ERRORS = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_READONLY: errno.EROFS,
}
"""What SQLite's primary result codes say of the disk."""
