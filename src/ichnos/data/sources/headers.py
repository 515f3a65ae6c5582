"""Read the headers of many DICOM slices on all cores, keeping what is done so that a killed scan continues."""

import hashlib
import struct
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
import polars as pl

from ichnos.ct import order_along_normal
from ichnos.data.sources.base import Lazily
from ichnos.data.sources.files import FileRow, FileStore, in_turn
from ichnos.data.sources.tables import Tables
from ichnos.dicom import SliceHeader, read_header
from ichnos.errors import DicomError
from ichnos.files import parquet_bytes, write_bytes
from ichnos.processes import Workers, in_processes
from ichnos.progress import Progress

_CHUNK = 4096
"""Files a task and a kept table at most: some seconds of work, and under two hundred tables for RSNA. So many are also
read sooner by one process than others begin."""

_TASKS, _LEAST_OF_MANY = 32, 256
"""Tasks that more files than _CHUNK are cut into at least, so that no core waits long for the last; and their fewest
files."""

_START_BYTES = 4096
"""RSNA's headers take about 1 kB; where a header is longer the whole file is read."""

_TABLE_VERSION = "3"
"""Part of the kept tables' names: raise it when their columns or the rules of reading change."""

_SCHEMA: dict[str, pl.DataType] = {
    "sop_instance": pl.String(),
    "series": pl.String(),
    "study": pl.String(),
    "patient": pl.String(),
    "place": pl.Binary(),
    "start": pl.Binary(),
    "reason": pl.String(),
}
"""A row a file. reason: why it is no axial CT slice, without an identifier; then all else is null, and else it is."""

_PLACE = struct.Struct("<9d")
"""ImagePositionPatient in mm, then the 6 direction cosines of ImageOrientationPatient."""


def scan_headers(tables: Tables, store: FileStore, progress: Progress, scratch: Path, workers: Workers) -> None:
    """Read the header of every one of `files` into `headers` or `refused`. workers: see ichnos.processes.in_processes.

    Tables of finished chunks are kept in `scratch` and used again where the same files, of the same sizes, are scanned.
    """
    total = tables.count("files")
    size = _files_a_task(total)
    starts = range(0, total, size)
    kept = [scratch / f"headers-{_fingerprint(store, _chunk(tables, start, size))}.parquet" for start in starts]
    todo = [number for number, table in enumerate(kept) if not table.exists()]

    def chunk(number: int) -> tuple[int, list[FileRow]]:
        return number, _chunk(tables, starts[number], size)

    with progress.task("Reading headers", total=total) as task:
        task.advance(total - sum(min(size, total - starts[number]) for number in todo))
        for number, content in in_processes(partial(_scan_chunk, store), Lazily(chunk, todo), workers):
            write_bytes(kept[number], content)
            task.advance(min(size, total - starts[number]))
    for start, table in zip(starts, kept, strict=True):
        rows = pl.read_parquet(table).with_row_index("file", offset=start + 1)
        slices, refused = rows.filter(pl.col("reason").is_null()), rows.filter(pl.col("reason").is_not_null())
        tables.executemany("INSERT INTO headers VALUES (?, ?, ?, ?, ?, ?, ?)", slices.drop("reason").rows())
        tables.executemany("INSERT INTO refused VALUES (?, ?)", refused.select("file", "reason").rows())


def order_slices(tables: Tables, query: str) -> None:
    """Fill `exams` and `slices`: each series' slices from foot to head, in an order that no order of files changes.

    query: selects patient, study, series, place, and what a row of `slices` has after its number, in the order of
    patient, study, series, sop_instance and file.
    """
    first = 1
    for number, (identity, group) in enumerate(groupby(tables.execute(query), key=itemgetter(0, 1, 2))):
        series = list(group)
        rows = [row[4:] for row in _from_foot_to_head(series)]
        tables.execute("INSERT INTO exams VALUES (?, ?, ?, ?, ?, ?)", (number, *identity, first, len(rows)))
        tables.executemany("INSERT INTO slices (slice, bits, key, start) VALUES (?, ?, ?, ?)", rows)
        first += len(rows)


def _from_foot_to_head(series: Sequence[tuple[object, ...]]) -> Iterator[tuple[object, ...]]:
    places = np.frombuffer(b"".join(map(itemgetter(3), series)), "<f8").reshape(-1, 9)  # pyright: ignore[reportArgumentType]
    order, _ = order_along_normal(places[:, :3], places[:, 3:])
    return (series[place] for place in order.tolist())


def _files_a_task(total: int) -> int:
    """By the number of files alone: a scan that was stopped goes on with another number of cores."""
    return _CHUNK if total <= _CHUNK else min(_CHUNK, max(_LEAST_OF_MANY, -(-total // _TASKS)))


def _chunk(tables: Tables, start: int, size: int) -> list[FileRow]:
    return tables.execute(
        "SELECT name, key, size FROM files WHERE number BETWEEN ? AND ? ORDER BY number", (start + 1, start + size)
    ).fetchall()


def _scan_chunk(store: FileStore, work: tuple[int, list[FileRow]]) -> tuple[int, bytes]:
    """The chunk's number and its table; whoever asked writes it, as no other machine need see its disk."""
    number, chunk = work
    starts = in_turn(store, partial(store.read_start, size=_START_BYTES), [key for _, key, _ in chunk])
    rows = [_scan_file(store, file, start) for file, start in zip(chunk, starts, strict=True)]
    return number, parquet_bytes(pl.DataFrame(rows, schema=_SCHEMA, orient="row"))


def _scan_file(store: FileStore, file: FileRow, read_start: Callable[[], bytes]) -> tuple[object, ...]:
    _, key, size = file
    try:
        header, start = _header(store, key, size, read_start)
    except DicomError as error:
        return (*[None] * 6, str(error))
    if not header.is_axial:
        return (*[None] * 6, "it is not an axial slice; send the axial series")
    place = _PLACE.pack(*header.position, *header.orientation)
    digest = hashlib.blake2b(start + str(size).encode(), digest_size=8).digest()
    return (header.sop_instance, header.series, header.study, header.patient, place, digest, None)


def _header(store: FileStore, key: str, size: int, read_start: Callable[[], bytes]) -> tuple[SliceHeader, bytes]:
    """The header, and the bytes that the file begins with."""
    try:
        start = read_start()
        try:
            return read_header(start), start
        except DicomError:
            if size <= _START_BYTES or start[128:132] != b"DICM":
                raise
            return read_header(store.read(key)), start  # a long or deflated header, or a true fault
    except PermissionError:
        raise DicomError("it cannot be opened: no permission to read it; grant it") from None
    except OSError as error:
        raise DicomError(f"it cannot be read: {error.strerror or 'input/output error'}; copy it again") from error


def _fingerprint(store: FileStore, chunk: Sequence[FileRow]) -> str:
    digest = hashlib.blake2b(f"{_TABLE_VERSION}\n{store!r}\n".encode(), digest_size=16)
    for name, key, size in chunk:
        digest.update(f"{name}\n{key}\n{size}\n".encode())
    return digest.hexdigest()
