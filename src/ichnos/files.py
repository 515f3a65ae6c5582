"""Files that are whole or absent: written beside their place, flushed to the disk, then moved there in one step."""

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import TYPE_CHECKING, Any

from ichnos.errors import OutputError, StorageError
from ichnos.remote import Place, RemotePath

if TYPE_CHECKING:
    import polars as pl  # of [train]: whoever has a table has it

LOCK = ".lock"
"""The name of the file by which a process holds a folder. It may stay behind, and then means nothing."""


@contextmanager
def replacing(path: Place) -> Iterator[Path]:
    """Give a temporary path to write to; when the block ends well it becomes `path`, else nothing is left behind.

    For a place on a storage it lies in a temporary folder of this machine, and is sent whole. Raises OutputError where
    the disk is full or the folder cannot be written; what `path` held before stays.
    """
    if isinstance(path, RemotePath):
        with explained(path), TemporaryDirectory(prefix="ichnos-") as folder:
            yield Path(folder) / path.name
            path.put(Path(folder) / path.name)
        return
    temporary = path.with_name(f".{path.name}.{os.uname().nodename}-{os.getpid()}.tmp")
    try:
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
    finally:
        with suppress(OSError):  # what went wrong before says more
            temporary.unlink(missing_ok=True)


def is_torn(name: str) -> bool:
    """Whether a file's name, or its path on a storage, is of what was being written when the process was killed."""
    last = name.rpartition("/")[2]
    return last.startswith(".") and last.endswith(".tmp")


def remove_torn(folder: Path) -> None:
    """Take away what killed processes were writing into a folder."""
    for torn in [path for path in folder.iterdir() if is_torn(path.name)]:
        torn.unlink(missing_ok=True)


@contextmanager
def explained(path: Place) -> Iterator[None]:
    """Turn what the operating system or a storage says of a failed write into an OutputError that says what to do."""
    try:
        yield
    except StorageError as error:
        if not isinstance(path, RemotePath):
            raise  # what was to be written is read from a storage
        raise OutputError(f"cannot write {path}: {error}") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutputError(
                f"the disk is full: {path.name} could not be written; what was finished before is kept: "
                "free some space and give the same command again"
            ) from error
        if isinstance(path, RemotePath):
            raise OutputError(f"cannot write {path}: {error.strerror}; mend that, or give another --out") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise OutputError(
                f"cannot write {path}: {error.strerror}; give a folder that you may write to with --out"
            ) from error
        if error.errno is None or isinstance(error, (ConnectionError, TimeoutError)):
            raise  # of a decoder or of the network, not of a write
        raise OutputError(
            f"cannot write {path}: {error.strerror}; check the disk, or give another folder with --out"
        ) from error


@contextmanager
def locked(folder: Path, *, before_waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold a folder that exists for this process alone; the lock goes with the process, however it ends.

    Where another process holds it: call `before_waiting` and wait, or raise OutputError where none is given.
    """
    from filelock import FileLock, Timeout  # of [train]: a reader of exams needs no lock

    lock = FileLock(folder / LOCK)
    try:
        with explained(folder):
            lock.acquire(timeout=0)
    except Timeout as error:
        if before_waiting is None:
            raise OutputError(
                f"another process is at work in {folder}; wait for it, or give --out another folder"
            ) from error
        before_waiting()
        with explained(folder):
            lock.acquire(timeout=-1)
    try:
        yield
    finally:
        lock.release()


def can_be_written(folder: Path) -> bool:
    """Whether files can be made in `folder`, which is made if need be: tried, as permissions do not tell it all.

    Only a lack of permission and a read-only disk count; whatever else is wrong shows, explained, at the first write.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            return True
    except OSError as error:
        return error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS)


def check_can_be_written(path: Path) -> None:
    """Raise OutputError where a file `path` could not be written at the end of long work; nothing is made now."""
    if path.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder; give the name of a file with --out")
    there = next(folder for folder in path.absolute().parents if folder.exists())
    with explained(path), TemporaryFile(dir=there):
        pass


def cache_folder() -> Path:
    """Where what can be made or fetched again is kept: $ICHNOS_CACHE, else ichnos in $XDG_CACHE_HOME or ~/.cache."""
    own = os.environ.get("ICHNOS_CACHE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ichnos"


def write_bytes(path: Place, content: bytes) -> None:
    """Write a whole file in one step."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_parquet(path: Path, table: "pl.DataFrame") -> None:
    """Write a whole table in one step."""
    write_bytes(path, parquet_bytes(table))


def parquet_bytes(table: "pl.DataFrame") -> bytes:
    """A table as a Parquet file's bytes: made in memory, since a full disk is no OSError where polars writes."""
    content = BytesIO()
    table.write_parquet(content, compression="zstd")
    return content.getvalue()


def join_parquet(path: Path, parts: list[Path]) -> None:
    """Write the rows of many Parquet files as one, in one step, some of them in memory at a time.

    The bytes are those of `write_parquet` of all rows: columns in the order in which the parts first have them.
    """
    import polars as pl

    schema = {name: kind for part in parts for name, kind in pl.read_parquet_schema(part).items()}
    rows = pl.scan_parquet(parts, schema=schema, missing_columns="insert", parallel="none")
    with replacing(path) as temporary, temporary.open("wb") as file:
        try:
            rows.sink_parquet(file, compression="zstd", engine="streaming")
        except pl.exceptions.PolarsError:
            file.write(bytes(1 << 20))  # of a full disk polars tells in words, if at all: this raises an OSError
            file.flush()
            raise


def parquet_rows(path: Path) -> int:
    """How many rows a Parquet file has, without reading them."""
    import polars as pl

    return pl.scan_parquet(path).select(pl.len()).collect().item()


def write_text(path: Place, content: str) -> None:
    """Write a whole text file in one step, as UTF-8."""
    write_bytes(path, content.encode())


def write_json(path: Place, tree: Any) -> None:
    """Write a whole JSON file in one step: indented, keys as given, no NaN."""
    write_text(path, json.dumps(tree, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
