"""From a source to a prepared set: shard by shard, on all cores, continued where it was stopped."""

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ichnos.cluster import Cluster
from ichnos.ct import LabelledExam, LabelledSlice, SkippedSlice
from ichnos.data import shards
from ichnos.data.depot import Depot
from ichnos.data.set import ANY_COLUMN, LABEL_COLUMNS, SET_VERSION, PreparedSet, SetHeader, read_json
from ichnos.data.sources import ExamReference, Lazily, Scan, Source
from ichnos.errors import OutputError, SourceError
from ichnos.files import (
    LOCK,
    explained,
    is_torn,
    join_parquet,
    locked,
    parquet_bytes,
    parquet_rows,
    remove_torn,
    replacing,
    write_bytes,
    write_json,
    write_parquet,
)
from ichnos.processes import Workers, in_processes, in_threads
from ichnos.progress import Progress
from ichnos.remote import Place, RemotePath

SLICES_A_SHARD = 256
"""A shard is closed after the exam that reaches so many: some 130 MB of pixels, a second or two of work to lose."""

SLICES_READ = "Reading slices"
"""The task of reading, in words: what comes before it finds and orders slices, what comes after it writes tables."""

_WORTH_PROCESSES = 16
"""Shards, 4,096 slices; fewer are prepared by threads in less time than processes take to start."""

_LEFT_OUT_A_PART = 1 << 16
"""Rows of what was left out that are in memory at a time."""

_NEAR_AIR_HU = -500
_NEAR_AIR_SHARE = 0.01
"""A slice with less than this share of pixels above −500 HU shows next to nothing: two patients may well share it."""

_INDEX_SCHEMA: dict[str, Any] = {
    "source": pl.String,
    "patient": pl.String,
    "exam": pl.String,
    "series": pl.String,
    "name": pl.String,
    "offset": pl.Float64,
    "row_spacing": pl.Float64,
    "column_spacing": pl.Float64,
    "rows": pl.Int32,
    "columns": pl.Int32,
    **dict.fromkeys(LABEL_COLUMNS, pl.Boolean),
    "pixel_hash": pl.String,
    "near_air": pl.Boolean,
    "shard": pl.Int32,
    "start": pl.Int64,
    "length": pl.Int64,
    "mask_start": pl.Int64,
    "mask_length": pl.Int64,
}
_SKIPPED_SCHEMA: dict[str, Any] = {"exam": pl.String, "name": pl.String, "reason": pl.String}


def prepare(
    source: Source,
    out: Path,
    progress: Progress,
    workers: Workers = None,
    *,
    fewest_patients: int = 1,
    target: RemotePath | None = None,
) -> PreparedSet:
    """Read everything that `source` has into the set `out`; a stopped run continues, two runs give the same bytes.

    workers: processes, or threads where there is little work; None: one a core; or a cluster that one is connected to.
    fewest_patients: with fewer a set to learn from cannot be split. target: where shards, and parts of the tables as
    they are done, go; then `out` has no shards, and what it lacks to be finished is sent by Depot.finish. Raises
    SourceError where there is nothing to read, OutputError where `out` holds something else or cannot be written. What
    was finished before an error stays and is used the next time.
    """
    if (out / "header.json").exists():
        return _already_prepared(source, out, progress, target or out)
    with explained(out):
        was_there = out.exists()
        out.mkdir(parents=True, exist_ok=True)
        own = {"prepare.json", "shards", "parts", "scan", LOCK}
        foreign = [p.name for p in out.iterdir() if p.name not in own and not is_torn(p.name)]
    if foreign and not (out / "prepare.json").exists():
        raise OutputError(f"{out} holds other files already; give --out a new or empty folder")
    with locked(out), _without_traces(out, keep=was_there):
        return _prepare(source, Depot(out.absolute(), target), progress, workers, fewest_patients)


def _prepare(source: Source, depot: Depot, progress: Progress, workers: Workers, fewest_patients: int) -> PreparedSet:
    out = depot.work
    with explained(out):
        remove_torn(out)
        for folder in ("shards", "parts", "scan"):
            (out / folder).mkdir(exist_ok=True)
            remove_torn(out / folder)
    scan = _scan(source, out / "scan", progress)
    _refuse_few_patients(scan, fewest_patients if scan.teaches else 1)
    _claim(out, _claim_of(source.name, scan), depot.target or out)
    depot.keep(out / "prepare.json")
    batches = _batches(scan.exams)
    todo = [number for number in range(len(batches)) if not _part(out, number, "index").exists()]

    def shard(number: int) -> tuple[int, tuple[ExamReference, ...]]:
        return number, tuple(scan.exams[exam] for exam in batches[number].exams)

    if isinstance(workers, Cluster) and depot.target is None:  # its machines write the shards
        workers = workers.sharing(out / "prepare.json")
    work, items = partial(_write_shard, source, depot.shards), Lazily(shard, todo)
    if len(todo) < _WORTH_PROCESSES and not isinstance(workers, Cluster):
        done = in_threads(work, items, workers)
    else:
        done = in_processes(work, items, workers)
    with progress.task(SLICES_READ, sum(batch.slices for batch in batches)) as task, closing(done) as parts:
        task.advance(sum(batch.slices for batch in batches) - sum(batches[number].slices for number in todo))
        for part in parts:
            index, skipped = _part(out, part.number, "index"), _part(out, part.number, "skipped")
            write_bytes(skipped, part.skipped)
            write_bytes(index, part.index)
            depot.keep(skipped, index)  # the index last: it says that the shard is whole
            task.advance(batches[part.number].slices)
    return _finish(source.name, out, len(batches), scan)


def _scan(source: Source, scratch: Path, progress: Progress) -> Scan:
    scan = source.scan(progress, scratch)
    if not scan.exams:
        raise SourceError(
            f"no slice to prepare: 0 exams found, {len(scan.skipped)} files or labels left out"
            + (f", the first because: {scan.skipped[0].reason}" if scan.skipped else "")
        )
    return scan


def _refuse_few_patients(scan: Scan, fewest: int) -> None:
    """Before hours of reading, not after them."""
    found: set[str] = set()
    for reference in scan.exams:
        found.add(reference.patient)
        if len(found) >= fewest:
            return
    about = scan.about_patients or "give the data of more patients"
    raise SourceError(
        f"a split needs at least {fewest} patients, found {len(found)} in {len(scan.exams)} exams; {about}"
    )


@contextmanager
def _without_traces(out: Path, *, keep: bool) -> Iterator[None]:
    """A source that is none leaves no half-made set behind. keep: the folder itself, as it was there before."""
    try:
        yield
    except SourceError:
        if not (out / "prepare.json").exists():
            for folder in ("scan", "shards", "parts"):
                shutil.rmtree(out / folder)
            (out / LOCK).unlink()
            if not keep:
                out.rmdir()
        raise


@dataclass(frozen=True)
class _Part:
    """What a shard adds to the tables, each as a Parquet file's bytes."""

    number: int
    index: bytes
    skipped: bytes


def _write_shard(source: Source, folder: Place, shard: tuple[int, tuple[ExamReference, ...]]) -> _Part:
    """Read the exams of one shard and write it in one step; its part of the tables is written by whoever asked."""
    number, references = shard
    rows: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    with replacing(folder / shards.shard_name(number)) as temporary, temporary.open("wb") as file:
        for reference in references:
            exam = source.read(reference)
            skipped += [{"exam": exam.exam, "name": s.name, "reason": s.reason} for s in exam.skipped]
            for one in exam.slices:
                start, length = shards.append(file, one.hu)
                place: dict[str, Any] = {"shard": number, "start": start, "length": length}
                if one.mask is not None:
                    place["mask_start"], place["mask_length"] = shards.append(file, one.mask)
                rows.append(_row(source.name, exam, one) | place)
        if not rows:
            file.write(b"\0")  # every slice of the shard was left out: the file still says that it was done
    left_out = pl.DataFrame(skipped, schema=_SKIPPED_SCHEMA)
    return _Part(number, parquet_bytes(_frame(rows)), parquet_bytes(left_out))


def _row(source: str, exam: LabelledExam, one: LabelledSlice) -> dict[str, Any]:
    return {
        "source": source,
        "patient": exam.patient,
        "exam": exam.exam,
        "series": exam.series,
        "name": one.name,
        "offset": one.offset,
        "row_spacing": one.pixel_spacing[0],
        "column_spacing": one.pixel_spacing[1],
        "rows": one.hu.shape[0],
        "columns": one.hu.shape[1],
        **dict(zip(LABEL_COLUMNS, one.labels.tolist(), strict=True)),
        "pixel_hash": pixel_hash(one.hu),
        "near_air": _is_near_air(one.hu),
        **exam.attributes,
    }


def _frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    extra = {k: type(v) for row in rows for k, v in row.items() if k not in _INDEX_SCHEMA}
    kinds = {k: pl.String if t is str else pl.Float64 for k, t in sorted(extra.items())}
    return pl.DataFrame(rows, schema={**_INDEX_SCHEMA, **kinds}, strict=False)


def _is_near_air(hu: NDArray[np.int16]) -> bool:
    return bool(np.count_nonzero(hu > _NEAR_AIR_HU) < _NEAR_AIR_SHARE * hu.size or hu.min() == hu.max())


def pixel_hash(hu: NDArray[np.int16]) -> str:
    """32 hex digits of a slice's HU and shape: the same for the same picture, whoever is said to be on it."""
    digest = hashlib.blake2b(repr(hu.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(hu).data)
    return digest.hexdigest()


@dataclass(frozen=True)
class _Batch:
    """The exams of one shard, by their numbers, and how many slices they have."""

    exams: range
    slices: int


def _batches(exams: Sequence[ExamReference]) -> list[_Batch]:
    """Consecutive exams, closed when SLICES_A_SHARD is reached: the same whatever the number of workers."""
    batches: list[_Batch] = []
    first, slices = 0, 0
    for number, reference in enumerate(exams):
        slices += reference.slice_count
        if slices >= SLICES_A_SHARD or number == len(exams) - 1:
            batches.append(_Batch(range(first, number + 1), slices))
            first, slices = number + 1, 0
    return batches


def _claim_of(source: str, scan: Scan) -> dict[str, Any]:
    """What tells one set's source from another's: files, labels, and the order of exams and slices."""
    digest = hashlib.sha256(scan.contents.encode())
    for reference in scan.exams:
        digest.update(f"\n{reference!r}".encode())
    return {"version": SET_VERSION, "source": source, "scan": digest.hexdigest()[:16]}


def _claim(out: Path, claim: dict[str, Any], shown: Place) -> None:
    """Note what is being prepared here, or check that it is what was begun here. The note stays in the finished set."""
    if (out / "prepare.json").exists():
        if read_json(out / "prepare.json") != claim:
            raise OutputError(
                f"{shown} holds an unfinished set of other data or of another version; "
                "give --out a new folder, or delete this one"
            )
        return
    write_json(out / "prepare.json", claim)


def _finish(source: str, out: Path, parts: int, scan: Scan) -> PreparedSet:
    """Join the parts of the index, a few at a time, as there may be thousands."""
    skipped = [*_left_out_parts(out, scan.skipped), *(_part(out, n, "skipped") for n in range(parts))]
    index = [_part(out, n, "index") for n in range(parts)]
    header = _header_of(source, index, sum(map(parquet_rows, skipped)), scan)
    if not header.slices:
        reason = next(pl.read_parquet(part)["reason"][0] for part in skipped if parquet_rows(part))
        raise SourceError(f"no slice could be read; {header.skipped} left out, the first because: {reason}")
    join_parquet(out / "index.parquet", index)
    join_parquet(out / "skipped.parquet", skipped)
    write_json(out / "header.json", header.model_dump())
    shutil.rmtree(out / "parts")
    shutil.rmtree(out / "scan")
    remove_torn(out / "shards")
    return PreparedSet(out)


def _left_out_parts(out: Path, left_out: Sequence[SkippedSlice]) -> list[Path]:
    """What was left out before any pixel was read, as the first parts of the table of what was left out."""
    parts: list[Path] = []
    for start in range(0, max(1, len(left_out)), _LEFT_OUT_A_PART):
        rows = [{"exam": "", "name": s.name, "reason": s.reason} for s in left_out[start : start + _LEFT_OUT_A_PART]]
        parts.append(out / "parts" / f"left-out-{start}.parquet")
        write_parquet(parts[-1], pl.DataFrame(rows, schema=_SKIPPED_SCHEMA))
    return parts


def _header_of(source: str, index: list[Path], skipped: int, scan: Scan) -> SetHeader:
    """What the set's header says, from the parts of its index; patients' and exams' names alone are kept."""
    digest = hashlib.sha256()
    positives: Counter[str] = Counter(dict.fromkeys([*LABEL_COLUMNS, "any"], 0))
    patients: set[str] = set()
    exams: set[str] = set()
    slices = 0
    for part in map(pl.read_parquet, index):
        told = [*LABEL_COLUMNS, *([ANY_COLUMN] if ANY_COLUMN in part.columns else [])]
        for row in part.select("source", "patient", "exam", "name", *told, "pixel_hash").iter_rows():
            digest.update(repr(row).encode())
        positives.update(_positives(part, of_exams=scan.labels_of == "exam"))
        patients.update(part["patient"])
        exams.update(part["exam"])
        slices += len(part)
    return SetHeader(
        version=SET_VERSION,
        source=source,
        fingerprint=digest.hexdigest()[:16],
        exams=len(exams),
        patients=len(patients),
        slices=slices,
        skipped=skipped,
        positives=dict(positives),
        labels_of=scan.labels_of,
        labelled=scan.labelled,
    )


def _positives(part: pl.DataFrame, *, of_exams: bool) -> dict[str, int]:
    """Slices with each class, or exams; no exam is in two parts."""
    marked = [*LABEL_COLUMNS, *([pl.col(ANY_COLUMN) == 1] if ANY_COLUMN in part.columns else [])]
    labels = part.select("exam", *LABEL_COLUMNS, any=pl.any_horizontal(marked))
    if of_exams:
        labels = labels.group_by("exam").agg(pl.exclude("exam").any())
    return {c: int(labels[c].sum()) for c in [*LABEL_COLUMNS, "any"]}


def _already_prepared(source: Source, out: Path, progress: Progress, shown: Place) -> PreparedSet:
    """The finished set in `out`, where the source would give the same again. Writes nothing: it may be read-only."""
    prepared = PreparedSet(out)
    if prepared.header.source != source.name:
        raise OutputError(f"{shown} holds a set from {prepared.header.source} already; give --out a new folder")
    with explained(Path(os.environ.get("TMPDIR", "/tmp"))):  # noqa: S108 named for an error's text only
        scratch = TemporaryDirectory(prefix="ichnos-")
    with scratch as folder:
        claim = _claim_of(source.name, _scan(source, Path(folder), progress))
    if read_json(out / "prepare.json") != claim:
        raise OutputError(
            f"{shown} holds a set that was made of other files or labels than these, or by an earlier ichnos; "
            "give --out a new folder, or delete that one to prepare it anew"
        )
    progress.message(f"{shown} is already prepared from these files and labels")
    return prepared


def _part(out: Path, number: int, kind: str) -> Path:
    return out / "parts" / f"{number:05d}.{kind}.parquet"
