"""The cache: a population's slices as uint8 planes, ready for a network, derived once from the set for an InputSpec."""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ichnos.inputs
from ichnos.data.images import Images, JoinedImages, StackedImages
from ichnos.data.joined import JoinedSet
from ichnos.data.resizing import resize
from ichnos.data.set import PreparedSet
from ichnos.errors import SetError
from ichnos.files import cache_folder, can_be_written, explained, locked, write_json
from ichnos.inputs import neighbour_stacks, to_planes
from ichnos.processes import in_processes, in_threads
from ichnos.progress import Progress
from ichnos.recipe import InputSpec, Population

CACHE_VERSION = 1
"""Of the form on disk and of the road's arithmetic: raised whenever either changes, so no old cache passes for new."""

_BLOCK = 128
"""Slices that one worker turns at a time, and that are lost at most when it is killed."""

_WORTH_PROCESSES = 32
"""Blocks, 4,096 slices; fewer are turned by threads in less time than processes take to start."""


@dataclass(frozen=True, eq=False)
class SliceCache:
    """Slices as a network's first layer takes them.

    slices: (n, planes, size, size) uint8, each slice alone, mapped from the disk, read-only. images: the same with
    neighbours' planes beside each slice's own. rows: (n,) the set's row that each image shows, ascending.
    """

    slices: Images
    images: Images
    rows: NDArray[np.int64]

    def positions_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where in `images` the given rows of the set are, those that the cache's population has, in order."""
        return np.flatnonzero(np.isin(self.rows, rows))


def open_cache(
    prepared: PreparedSet, spec: InputSpec, population: Population, progress: Progress, workers: int | None = None
) -> SliceCache:
    """The cache of a population for an input road; made, continued or made anew as need be.

    Every population's slices are a selection of `positives` or of `all`, so one cache each serves them all; where
    neighbours are shown it is that of all slices. It lies in the set's folder, or in the user's cache folder where the
    set's cannot be written. Of joined sets each has its own.
    """
    if isinstance(prepared, JoinedSet):
        return _joined(prepared, spec, population, progress, workers)
    kept = Population(slices="all" if spec.neighbours else population.slices)
    rows = prepared.rows_of(kept)
    key = _key(prepared, spec, rows)
    name = f"{spec.fingerprint()}-{kept.slices}"
    folder = prepared.path / "caches" / name
    if not _is_whole(folder, key) and not can_be_written(folder):
        folder = cache_folder() / "sets" / prepared.header.fingerprint / name
        progress.message(f"{prepared.path} cannot be written: its cache is kept in {folder}")
    if not _is_whole(folder, key):
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
        waiting = partial(progress.message, f"another process is making the cache at {spec.size} px: waiting for it")
        with locked(folder, before_waiting=waiting), explained(folder):
            if not _is_whole(folder, key):  # else another training made it while we waited
                _build(prepared, spec, rows, folder, key, progress, workers)
    slices = np.memmap(folder / "images.u8", dtype=np.uint8, mode="r", shape=_shape(spec, len(rows)))
    return SliceCache(slices, StackedImages(slices, _stacks(prepared, spec)) if spec.neighbours else slices, rows)


def _joined(
    joined: JoinedSet, spec: InputSpec, population: Population, progress: Progress, workers: int | None
) -> SliceCache:
    """Each set's cache behind the other; a set without such slices has none."""
    kept = Population(slices="all" if spec.neighbours else population.slices)
    some = [number for number, each in enumerate(joined.sets) if len(each.rows_of(kept))] or [0]
    caches = [open_cache(joined.sets[number], spec, population, progress, workers) for number in some]
    return SliceCache(
        JoinedImages([cache.slices for cache in caches]),
        JoinedImages([cache.images for cache in caches]),
        np.concatenate([joined.starts[number] + cache.rows for number, cache in zip(some, caches, strict=True)]),
    )


def _stacks(prepared: PreparedSet, spec: InputSpec) -> NDArray[np.int64]:
    """(slices of the set, 1 + 2·neighbours) rows of the set: each slice's neighbours are of its own exam and series."""
    _, exam = np.unique(prepared.exams, return_inverse=True)
    offsets = prepared.index["offset"].to_numpy()
    order = np.argsort(exam, kind="stable")
    stacks = np.empty((len(exam), 1 + 2 * spec.neighbours), dtype=np.int64)
    for rows in np.split(order, np.cumsum(np.bincount(exam))[:-1]):
        stacks[rows] = rows[neighbour_stacks(spec, offsets[rows])]
    return stacks


def _key(prepared: PreparedSet, spec: InputSpec, rows: NDArray[np.int64]) -> dict[str, Any]:
    return {
        "version": CACHE_VERSION,
        "set": prepared.header.fingerprint,
        "input": spec.cached(),
        "matrix": [ichnos.inputs.MATRIX, ichnos.inputs.AIR],
        "rows": hashlib.sha256(rows.tobytes()).hexdigest()[:16],
        "shape": list(_shape(spec, len(rows))),
    }


def _is_whole(folder: Path, key: dict[str, Any]) -> bool:
    """Whether the folder holds exactly this cache. One that does not match is not an error: it is made anew."""
    try:
        size = (folder / "images.u8").stat().st_size
        return json.loads((folder / "header.json").read_bytes()) == key and size == int(np.prod(key["shape"]))
    except (OSError, ValueError):
        return False


def _build(
    prepared: PreparedSet,
    spec: InputSpec,
    rows: NDArray[np.int64],
    folder: Path,
    key: dict[str, Any],
    progress: Progress,
    workers: int | None,
) -> None:
    if not len(rows):
        raise SetError(
            "the set has no slice of this population: nothing to train on or to measure. Labels of whole exams give no "
            "positive slices; label slices, and prepare again"
        )
    unfinished, log = folder / "images.u8.partial", folder / "blocks.log"
    done = _blocks_done(unfinished, log, key)
    blocks = [b for b in range(-(-len(rows) // _BLOCK)) if b not in done]
    with progress.task(f"Making the cache at {spec.size} px", len(rows)) as task, log.open("a") as journal:
        task.advance(min(len(done) * _BLOCK, len(rows)))
        fill = partial(fill_block, prepared, spec, unfinished)
        work = [(block, start, rows[start : start + _BLOCK]) for block in blocks for start in [block * _BLOCK]]
        spread = in_processes if len(work) >= _WORTH_PROCESSES else in_threads
        for block in spread(fill, work, workers):
            journal.write(f"{block}\n")  # after the block's pixels were flushed: what the log names is on the disk
            journal.flush()
            os.fsync(journal.fileno())
            task.advance(min(_BLOCK, len(rows) - block * _BLOCK))
    unfinished.replace(folder / "images.u8")
    write_json(folder / "header.json", key)
    log.unlink()


def _blocks_done(unfinished: Path, log: Path, key: dict[str, Any]) -> set[int]:
    """The blocks that an earlier, stopped run of the very same cache finished; else an empty file to begin with."""
    first = json.dumps(key, sort_keys=True)
    size = int(np.prod(key["shape"]))
    if log.exists() and unfinished.exists() and unfinished.stat().st_size == size:
        head, *lines = log.read_text().split("\n")
        if head == first:
            return {int(line) for line in lines[:-1]}  # what follows the last line feed was not finished
    with unfinished.open("wb") as file:
        _reserve(file.fileno(), size)
    log.write_text(first + "\n")
    return set()


def _reserve(descriptor: int, size: int) -> None:
    """Take the whole file's room now: a mapped file on a full disk kills the process instead of raising."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.ftruncate(descriptor, size)


def fill_block(
    prepared: PreparedSet, spec: InputSpec, unfinished: Path, work: tuple[int, int, NDArray[np.int64]]
) -> int:
    """Turn a block's rows into planes, write them where its first belongs and flush them; returns the block's number.

    work: the block's number, the place of its first image in the file, its rows of the set.
    """
    block, start, rows = work
    planes = np.stack([to_planes(spec, prepared.hu(int(row)), resize) for row in rows])
    with unfinished.open("r+b") as file:
        file.seek(start * planes[0].nbytes)
        file.write(planes.tobytes())
        file.flush()
        os.fsync(file.fileno())
    return block


def _shape(spec: InputSpec, n: int) -> tuple[int, int, int, int]:
    return (n, spec.planes, spec.size, spec.size)
