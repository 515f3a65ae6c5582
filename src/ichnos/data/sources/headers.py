"""Read the headers of many DICOM slices on all cores, keeping what is done so that a killed scan continues."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from ichnos.ct import order_along_normal
from ichnos.data.sources.files import FileStore, StoredFile
from ichnos.dicom import SliceHeader, read_header
from ichnos.errors import DicomError
from ichnos.files import write_parquet
from ichnos.processes import in_processes
from ichnos.progress import Progress

_CHUNK = 4096
"""Files a task and a kept table: some seconds of work, and under two hundred tables for RSNA."""

_START_BYTES = 4096
"""RSNA's headers take about 1 kB; where a header is longer the whole file is read."""

_TABLE_VERSION = "1"
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
    "reason": pl.String(),
}


@dataclass(frozen=True)
class FoundSlice:
    """One axial CT slice and where it lies. position: mm; orientation: 6 direction cosines."""

    name: str
    key: str
    sop_instance: str
    series: str
    study: str
    patient: str
    position: tuple[float, ...]
    orientation: tuple[float, ...]


@dataclass(frozen=True)
class RefusedFile:
    """A file that is no axial CT slice, and why. The reason holds no identifier."""

    name: str
    key: str
    reason: str


def scan_headers(
    store: FileStore, files: Sequence[StoredFile], progress: Progress, scratch: Path, workers: int | None
) -> tuple[list[FoundSlice], list[RefusedFile]]:
    """Read every file's header, in the order of `files`. workers: processes, None for one a core.

    Tables of finished chunks are kept in `scratch` and used again where the same files, of the same sizes, are scanned.
    """
    chunks = [files[start : start + _CHUNK] for start in range(0, len(files), _CHUNK)]
    tables = [scratch / f"headers-{_fingerprint(store, chunk)}.parquet" for chunk in chunks]
    todo = [(chunk, table) for chunk, table in zip(chunks, tables, strict=True) if not table.exists()]
    with progress.task("Reading headers", total=len(files)) as task:
        task.advance(len(files) - sum(len(chunk) for chunk, _ in todo))
        for done in in_processes(partial(_scan_chunk, store), todo, workers):
            task.advance(done)
    found: list[FoundSlice] = []
    refused: list[RefusedFile] = []
    for table in tables:
        for row in pl.read_parquet(table).iter_rows(named=True):
            reason = row.pop("reason")
            if reason is None:
                found.append(
                    FoundSlice(**{**row, "position": tuple(row["position"]), "orientation": tuple(row["orientation"])})
                )
            else:
                refused.append(RefusedFile(row["name"], row["key"], reason))
    return found, refused


def group_series(slices: Sequence[FoundSlice]) -> list[list[FoundSlice]]:
    """Slices by patient, study and series, each from foot to head; neither order depends on the order given."""
    series: defaultdict[tuple[str, str, str], list[FoundSlice]] = defaultdict(list)
    for found in slices:
        series[found.patient, found.study, found.series].append(found)
    return [_foot_to_head(series[identity]) for identity in sorted(series)]


def _foot_to_head(slices: list[FoundSlice]) -> list[FoundSlice]:
    settled = sorted(slices, key=lambda found: (found.sop_instance, found.name))  # decides between equal positions
    positions = np.array([found.position for found in settled])
    order, _ = order_along_normal(positions, np.array([found.orientation for found in settled]))
    return [settled[index] for index in order]


def _scan_chunk(store: FileStore, work: tuple[Sequence[StoredFile], Path]) -> int:
    chunk, table = work
    rows = [_scan_file(store, file) for file in chunk]
    write_parquet(table, pl.DataFrame(rows, schema=_SCHEMA, orient="row"))
    return len(chunk)


def _scan_file(store: FileStore, file: StoredFile) -> tuple[object, ...]:
    try:
        header = _header(store, file)
    except DicomError as error:
        return (file.name, file.key, *[None] * 6, str(error))
    if not header.is_axial:
        return (file.name, file.key, *[None] * 6, "it is not an axial slice; send the axial series")
    identity = (header.sop_instance, header.series, header.study, header.patient)
    return (file.name, file.key, *identity, header.position, header.orientation, None)


def _header(store: FileStore, file: StoredFile) -> SliceHeader:
    try:
        start = store.read_start(file.key, _START_BYTES)
        try:
            return read_header(start)
        except DicomError:
            if file.size <= _START_BYTES or start[128:132] != b"DICM":
                raise
            return read_header(store.read(file.key))  # a long or deflated header, or a true fault
    except PermissionError:
        raise DicomError("it cannot be opened: no permission to read it; grant it") from None
    except OSError as error:
        raise DicomError(f"it cannot be read: {error.strerror or 'input/output error'}; copy it again") from error


def _fingerprint(store: FileStore, chunk: Sequence[StoredFile]) -> str:
    digest = hashlib.blake2b(f"{_TABLE_VERSION}\n{store!r}\n".encode(), digest_size=16)
    for file in chunk:
        digest.update(f"{file.name}\n{file.key}\n{file.size}\n".encode())
    return digest.hexdigest()
