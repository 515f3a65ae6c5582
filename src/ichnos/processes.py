"""Work spread over the cores: by processes that never outlive the one that started them, or by threads."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from multiprocessing.connection import wait as wait_for_process
from typing import TypeVar

from ichnos.cluster import Cluster, on_cluster
from ichnos.errors import WorkerError

Item = TypeVar("Item")
Result = TypeVar("Result")

Workers = int | Cluster | None
"""Where work is done: by so many processes (or threads) of this machine, one a core, or on a cluster that one is
connected to."""

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What BLAS libraries ask how many threads to take: with a process a core, one each."""


def in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], workers: Workers = None
) -> Generator[Result, None, None]:
    """Yield work(item) of every item as it is done, in any order. workers: None takes a process for each
    core that this process may use.

    `work` and the items are pickled, so `work` is a function of a module or a partial of one; a script that comes here
    needs its `if __name__ == "__main__":`, as the processes import it. With one worker or one item the work is done
    in this process. At most two items a worker are under way, so a million of them cost no memory.

    Raises what `work` raises, and WorkerError where a process was killed from outside; the rest is then dropped. On a
    cluster see ichnos.cluster.on_cluster.
    """
    if isinstance(workers, Cluster):
        yield from on_cluster(partial(_in_kept_memory, work), items, workers)
        return
    workers = min(workers or cores(), len(items))
    if workers <= 1:
        yield from map(work, items)
        return
    with _pool(workers) as pool:
        try:
            yield from _as_done(partial(pool.submit, work), items, ahead=2 * workers)
        except BrokenProcessPool as error:
            raise WorkerError(
                "a worker process was killed, most often because memory ran out; what was finished is kept: "
                "give the same command again, with fewer cores if it happens again"
            ) from error


@contextmanager
def kept_processes() -> Iterator[None]:
    """Within it the processes of one in_processes do the work of the next too: begun anew they take over a second, most
    of it for imports. They end with it."""
    begun: dict[int, ProcessPoolExecutor] = {}
    before = _KEPT.set(begun)
    try:
        yield
    finally:
        _KEPT.reset(before)
        _end(begun)


_KEPT: ContextVar[dict[int, ProcessPoolExecutor] | None] = ContextVar("kept processes", default=None)
"""The pool that is kept, by its number of workers: one at most."""


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    kept = _KEPT.get()
    pools = {} if kept is None else kept
    if workers not in pools:
        _end(pools)
        context = multiprocessing.get_context("spawn")  # forked children of a threaded parent can hang
        pools[workers] = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin)
    try:
        yield pools[workers]
    except BaseException:
        _end(pools)
        raise
    finally:
        if kept is None:
            _end(pools)


def _end(pools: dict[int, ProcessPoolExecutor]) -> None:
    """Ctrl-C in the middle of `submit` leaves an item that nobody would ever do, and be waited for: it is cancelled."""
    while pools:
        pools.popitem()[1].shutdown(cancel_futures=True)


def in_threads(
    work: Callable[[Item], Result], items: Sequence[Item], workers: int | None = None
) -> Generator[Result, None, None]:
    """Yield work(item) of every item as it is done, in any order, by threads of this process: they start at once, where
    a process takes seconds to import what the work needs.

    For work that is nearly all within NumPy, hashlib, Blosc2 or reading, which let other threads run; processes are
    faster where there is enough of it. workers, and what holds of one worker and of items under way: as in_processes.

    Raises what `work` raises; what is under way is then finished and the rest dropped, as when the iterator is closed.
    From then on this process keeps some of the memory that it frees.
    """
    workers = min(workers or cores(), len(items))
    if workers <= 1:
        yield from map(work, items)
        return
    keep_freed_memory()
    with ThreadPoolExecutor(workers) as pool:
        yield from _as_done(partial(pool.submit, work), items, ahead=2 * workers)


def cores() -> int:
    """Cores that this process may use; all that there are where the system does not say (macOS, Windows)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def exams_at_once() -> int:
    """Exams that one process reads side by side: one for every four cores. More cores share out the 36 slices of an
    exam badly: the last few slices then leave most of them idle."""
    return max(1, cores() // 4)


def _as_done(submit: Callable[[Item], Future[Result]], items: Sequence[Item], ahead: int) -> Iterator[Result]:
    waiting = iter(items)
    running: set[Future[Result]] = set()
    try:
        while True:
            while len(running) < ahead and (item := next(waiting, _NOTHING)) is not _NOTHING:
                running.add(submit(item))  # pyright: ignore[reportArgumentType]
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    finally:
        for future in running:
            future.cancel()


_NOTHING = object()

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""Parameters of mallopt(3)."""

_KEPT_BYTES, _LARGEST_ON_HEAP = 1 << 30, 1 << 28
"""Freed memory that a worker keeps at most, and the largest block that is taken from it."""


def _begin() -> None:
    """In a new worker, before it imports numpy: one thread, its memory kept, deaf to Ctrl-C, ended with its parent."""
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    keep_freed_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and lets what is under way be finished
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _in_kept_memory(work: Callable[[Item], Result], item: Item) -> Result:
    """On a cluster, whose processes Ray begins."""
    keep_freed_memory()
    return work(item)


def keep_freed_memory() -> None:
    """A slice's arrays come and go by the thousand; glibc gives each back to the system, which clears it for the next.

    For the whole process. Kept, a window over 512×512 takes 0.2 ms, not 1.3 ms. Another C library is left as it is.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST_ON_HEAP)
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_TOP_PAD, 1 << 25)


def _end_with_parent() -> None:
    """A pool's worker waits on a queue whose other end it holds itself: it would never notice that it is alone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_process([parent.sentinel])
        os._exit(1)


def is_first_of_training() -> bool:
    """Whether this process alone writes and tells: of those that train one run together (as torchrun or `--devices`
    begin them) the first, of others every one."""
    return _rank(os.environ) == 0


def _rank(environment: Mapping[str, str]) -> int:
    if "TORCHELASTIC_RUN_ID" in environment:
        return int(environment["RANK"])
    return int(environment.get("LOCAL_RANK", 0)) if "NODE_RANK" in environment else 0
