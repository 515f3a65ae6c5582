"""Our own side of `ichnos bench prepare`, as a contender: `python -m ichnos.workflows.bench.prepare_own WORK WHAT`.

WHAT: `folder` and `zip`, RSNA's layout to a prepared set; `cache`, a set to a cache; `decoded`, the bare files read and
decoded by pydicom on all cores, and `bytes`, read and dropped: what no preparing can be faster than; `parts`, what one
slice takes, step by step, in one process.
"""

import io
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from ichnos.ct.windows import BLOOD, BONE, BRAIN
from ichnos.data import shards
from ichnos.data.cache import open_cache
from ichnos.data.preparing import SLICES_READ, pixel_hash
from ichnos.data.resizing import resize
from ichnos.data.sources.rsna import RsnaSource
from ichnos.dicom import read_header, read_slice
from ichnos.dicom.plain import plain_pixels
from ichnos.inputs import to_planes
from ichnos.processes import keep_freed_memory
from ichnos.progress import SILENT
from ichnos.recipe import InputSpec, Population, WindowMerge
from ichnos.workflows.bench.contenders import answer_when_asked
from ichnos.workflows.phantom import IMAGES
from ichnos.workflows.prepare import prepare_set

Tree = dict[str, Any]

_SHARE = 32
"""Files that a process decodes before it asks for more."""

_TIMED_BY_PART = 100
"""Slices."""


@dataclass(frozen=True)
class PrepareWork:
    """What there is to do, for us and for peers: work.json. Paths as text."""

    cohort: str
    """A folder in RSNA's layout: stage_2_train/ID_*.dcm and stage_2_train.csv."""
    zip: str
    """The same as one file."""
    out: str
    """A folder for what is written."""
    slices: int
    bytes: int
    size: int
    """Pixels of the cache."""
    cores: int


def folder(work: PrepareWork) -> Callable[[], Tree]:
    """The unpacked folders to a prepared set."""
    return partial(_prepare, Path(work.cohort), Path(work.out, "folder"))


def zip_file(work: PrepareWork) -> Callable[[], Tree]:
    """The zip, never unpacked, to a prepared set."""
    return partial(_prepare, Path(work.zip), Path(work.out, "zip"))


def cache(work: PrepareWork) -> Callable[[], Tree]:
    """A set's slices through three windows to pixels for a network, resized."""
    prepared = prepare_set(RsnaSource(Path(work.cohort)), Path(work.out, "set"), SILENT)
    spec = _cached(work)

    def once() -> Tree:
        shutil.rmtree(prepared.path / "caches", ignore_errors=True)
        begun = time.perf_counter()
        open_cache(prepared, spec, Population(slices="all"), SILENT)
        return {"seconds": time.perf_counter() - begun}

    return once


def decoded(work: PrepareWork) -> Callable[[], Tree]:
    """Processes are begun before the clock."""
    files = sorted(Path(work.cohort, IMAGES).iterdir())
    shares = [files[start : start + _SHARE] for start in range(0, len(files), _SHARE)]
    pool = ProcessPoolExecutor(work.cores, mp_context=get_context("spawn"))
    list(pool.map(_decode, [files[:1]] * work.cores))

    def once() -> Tree:
        begun = time.perf_counter()
        list(pool.map(_decode, shares))
        return {"seconds": time.perf_counter() - begun}

    return once


def read_bytes(work: PrepareWork) -> Callable[[], Tree]:
    """From the system's file cache, where the benchmark has just written them."""
    files = sorted(Path(work.cohort, IMAGES).iterdir())

    def once() -> Tree:
        begun = time.perf_counter()
        for path in files:
            path.read_bytes()
        return {"seconds": time.perf_counter() - begun}

    return once


def parts(work: PrepareWork) -> Callable[[], Tree]:
    """Milliseconds a slice of each step from a file's bytes to the set, and on to the cache."""
    files = [path.read_bytes() for path in sorted(Path(work.cohort, IMAGES).iterdir())[:_TIMED_BY_PART]]
    slices = [read_slice(content).hu for content in files]
    packed, spec = io.BytesIO(), _cached(work)
    steps: dict[str, Callable[[int], object]] = {
        "header": lambda k: read_header(files[k]),
        "pixels to HU": lambda k: read_slice(files[k]),
        "hash": lambda k: pixel_hash(slices[k]),
        "pack": lambda k: shards.append(packed, slices[k]),
        "windows and resize": lambda k: to_planes(spec, slices[k], resize),
    }

    def once() -> Tree:
        took: dict[str, float] = {}
        begun = time.perf_counter()
        for name, step in steps.items():
            packed.seek(0)
            mark = time.process_time()
            for k in range(len(files)):
                step(k)
            took[name] = 1000 * (time.process_time() - mark) / len(files)
        return {"seconds": time.perf_counter() - begun, "parts": took}

    keep_freed_memory()
    return once


def _cached(work: PrepareWork) -> InputSpec:
    """What the cache is of: three windows."""
    return InputSpec(windows=(BRAIN, BLOOD, BONE), merge=WindowMerge.STACK, size=work.size)


def _prepare(root: Path, out: Path) -> Tree:
    """As unasked: by the cores that the benchmark keeps to, and with no more processes than few slices pay for."""
    shutil.rmtree(out, ignore_errors=True)
    begun, clock = time.perf_counter(), _Clock()
    prepare_set(RsnaSource(root), out, clock)
    ended = time.perf_counter()
    first, last = clock.slices
    stages = {"finding and ordering": first - begun, "reading and packing": last - first, "tables": ended - last}
    return {"seconds": ended - begun, "parts": stages}


class _Clock:
    """A Progress that remembers when the first slice was asked for and when the last was there."""

    def __init__(self) -> None:
        self.slices = (0.0, 0.0)

    @contextmanager
    def task(self, description: str, total: float | None) -> Iterator["_Clock"]:
        del total
        begun = time.perf_counter()
        yield self
        if description == SLICES_READ:
            self.slices = begun, time.perf_counter()

    def advance(self, amount: float = 1) -> None:
        del amount

    def note(self, text: str) -> None:
        del text

    def message(self, text: str) -> None:
        del text


def _decode(files: list[Path]) -> int:
    return sum(int(plain_pixels(path)[0, 0]) for path in files)


if __name__ == "__main__":
    what = {"folder": folder, "zip": zip_file, "cache": cache, "decoded": decoded, "bytes": read_bytes}
    what["parts"] = parts
    answer_when_asked(PrepareWork, what, sys.argv)
