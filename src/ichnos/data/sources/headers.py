"""Read the headers of many DICOM slices on all cores, keeping what is done so that a killed scan continues."""

import hashlib
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from ichnos.ct import order_along_normal
from ichnos.data.sources.base import Lazily
from ichnos.data.sources.files import FileStore
from ichnos.dicom import SliceHeader, read_header
from ichnos.errors import DicomError
from ichnos.files import write_parquet
from ichnos.processes import in_processes
from ichnos.progress import Progress

_CHUNK = 4096
"""Files a task and a kept table: some seconds of work, and under two hundred tables for RSNA."""

_START_BYTES = 4096
"""RSNA's headers take about 1 kB; where a header is longer the whole file is read."""

_TABLE_VERSION = "2"
"""Part of the kept tables' names: raise it when their columns or the rules of reading change."""

_SCHEMA: dict[str, pl.DataType] = {
    "name": pl.String(),
    "key": pl.String(),
    "sop_instance": pl.String(),
    "series": pl.String(),
    "study": pl.String(),
    "patient": pl.String(),
    "position": pl.Array(pl.Float64(), 3),
    "orientation": pl.Array(pl.Float64(), 6),
    "start": pl.Binary(),
    "reason": pl.String(),
}
"""A row a file. position: mm; orientation: 6 direction cosines; start: a digest of the file's first bytes and its size.
reason: why it is no axial CT slice, without an identifier; then all but name and key is null."""

FileRow = tuple[str, str, int]
"""A row of a store's files: name, key, size."""


def scan_headers(
    store: FileStore, files: pl.DataFrame, progress: Progress, scratch: Path, workers: int | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read every file's header, in the order of `files` (see FileStore.find). workers: processes, None for one a core.

    Returns axial CT slices and other files, tables of the columns of _SCHEMA, the second of name, key and reason alone.
    Tables of finished chunks are kept in `scratch` and used again where the same files, of the same sizes, are scanned.
    """
    starts = range(0, len(files), _CHUNK)
    tables = [scratch / f"headers-{_fingerprint(store, files[start : start + _CHUNK])}.parquet" for start in starts]
    todo = [number for number, table in enumerate(tables) if not table.exists()]

    def chunk(number: int) -> tuple[list[FileRow], Path]:
        return files[number * _CHUNK : (number + 1) * _CHUNK].rows(), tables[number]

    with progress.task("Reading headers", total=len(files)) as task:
        task.advance(len(files) - sum(len(files[number * _CHUNK : (number + 1) * _CHUNK]) for number in todo))
        for done in in_processes(partial(_scan_chunk, store), Lazily(chunk, todo), workers):
            task.advance(done)
    scanned = [pl.read_parquet(table) for table in tables]
    slices = [table.filter(pl.col("reason").is_null()).drop("reason") for table in scanned]
    others = [table.filter(pl.col("reason").is_not_null()).select("name", "key", "reason") for table in scanned]
    empty = pl.DataFrame(schema=_SCHEMA)
    return pl.concat([empty.drop("reason"), *slices]), pl.concat([empty.select("name", "key", "reason"), *others])


def group_series(slices: pl.DataFrame) -> pl.DataFrame:
    """Slices by patient, study and series, each from foot to head; neither order depends on the order given.

    Columns as given but for position and orientation, and `series_number`, which counts the series from 0.
    """
    identity = ["patient", "study", "series"]
    settled = slices.select(pl.arg_sort_by(*identity, "sop_instance", "name")).to_series()  # ties by identifiers
    number = slices.select(*identity)[settled].select(pl.struct(identity).rle_id()).to_series()
    bounds = np.append(np.searchsorted(number, np.arange(number[-1] + 1)), len(number)) if len(number) else np.zeros(1)
    rows = settled.to_numpy().copy()
    positions, orientations = slices["position"].to_numpy(), slices["orientation"].to_numpy()
    for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        of_series = rows[start:stop]
        order, _ = order_along_normal(positions[of_series], orientations[of_series])
        rows[start:stop] = of_series[order]
    return slices.drop("position", "orientation")[rows].with_columns(series_number=number)


def _scan_chunk(store: FileStore, work: tuple[list[FileRow], Path]) -> int:
    chunk, table = work
    rows = [_scan_file(store, file) for file in chunk]
    write_parquet(table, pl.DataFrame(rows, schema=_SCHEMA, orient="row"))
    return len(chunk)


def _scan_file(store: FileStore, file: FileRow) -> tuple[object, ...]:
    name, key, size = file
    try:
        header, start = _header(store, key, size)
    except DicomError as error:
        return (name, key, *[None] * 7, str(error))
    if not header.is_axial:
        return (name, key, *[None] * 7, "it is not an axial slice; send the axial series")
    identity = (header.sop_instance, header.series, header.study, header.patient)
    digest = hashlib.blake2b(start + str(size).encode(), digest_size=8).digest()
    return (name, key, *identity, header.position, header.orientation, digest, None)


def _header(store: FileStore, key: str, size: int) -> tuple[SliceHeader, bytes]:
    """The header, and the bytes that the file begins with."""
    try:
        start = store.read_start(key, _START_BYTES)
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


def _fingerprint(store: FileStore, chunk: pl.DataFrame) -> str:
    digest = hashlib.blake2b(f"{_TABLE_VERSION}\n{store!r}\n".encode(), digest_size=16)
    for name, key, size in chunk.iter_rows():
        digest.update(f"{name}\n{key}\n{size}\n".encode())
    return digest.hexdigest()
