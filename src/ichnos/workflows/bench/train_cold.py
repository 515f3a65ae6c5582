"""The input side where nothing of the cache lies in memory: contenders of `ichnos bench train`, beside train_own.py.

Before a round the system is asked to let go of the file's pages (posix_fadvise, POSIX_FADV_DONTNEED). It keeps those
that are mapped or not written yet, so the file is one that nobody else maps, and lies on the disk when it is made. What
a disk, or the host of a virtual machine, keeps in memory of its own nobody here can have dropped.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ichnos.training.batches import read_ahead
from ichnos.training.devices import choose
from ichnos.workflows.bench.train_work import TrainWork

POSSIBLE = hasattr(os, "posix_fadvise")
"""Whether the system can be asked: macOS cannot."""

AT_LEAST = 2.0
"""Seconds that reading and copying go on in a round: in less, whatever else the machine does just then decides."""

_PIECE = 8_000_000
"""Bytes that are asked for at once where a file is read in order: larger pieces are read no faster."""

Tree = dict[str, Any]


def cold(work: TrainWork) -> Callable[[], Tree]:
    """As training reads: all slices in random order, some batches ahead, onto the device; from the disk each time."""
    device, rounds = choose(work.device).device, iter(range(10**9))

    def read() -> None:
        images = np.memmap(work.cold, dtype=np.uint8, mode="r", shape=work.cold_shape)
        with read_ahead(images, work.batches(next(rounds), work.cold_shape[0]), device) as ready:
            for _ in ready:
                pass
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            torch.cuda.empty_cache()  # another contender's process is asked next

    return _from_the_disk(work, read)


def raw(work: TrainWork) -> Callable[[], Tree]:
    """The same bytes read in order into one piece of memory and dropped: nothing is read from this disk faster."""
    piece = bytearray(_PIECE)

    def read() -> None:
        with work.cold.open("rb", buffering=0) as file:
            while file.readinto(piece):
                pass

    return _from_the_disk(work, read)


def _from_the_disk(work: TrainWork, read: Callable[[], None]) -> Callable[[], Tree]:
    """The file read over and over, forgotten before each time; `from_disk`: bytes that a disk gave, to those asked."""
    size = int(np.prod(work.cold_shape))

    def once() -> Tree:
        seconds, times, before = 0.0, 0, _bytes_from_disks()
        while not times or seconds < AT_LEAST:
            _forget(work.cold)
            begun = time.perf_counter()
            read()
            seconds, times = seconds + time.perf_counter() - begun, times + 1
        after = _bytes_from_disks()
        share = None if before is None or after is None else (after - before) / (size * times)
        return {"seconds": seconds, "slices": times * work.cold_shape[0], "from_disk": share}

    return once


def _forget(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(file)


def _bytes_from_disks() -> int | None:
    """That this process has had fetched, read ahead included (proc(5), /proc/PID/io); None where nobody counts."""
    try:
        lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.partition(":")[2]) for line in lines if line.startswith("read_bytes")), None)
