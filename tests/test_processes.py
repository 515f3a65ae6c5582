"""Work spread over processes: all of it done, errors passed on, nobody left behind."""

import os
import platform
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ichnos import processes
from ichnos.errors import WorkerError
from ichnos.processes import cores, in_processes, in_threads, kept_processes


def square(number: int) -> int:
    return number * number


def blas_threads(number: int) -> tuple[int, str | None]:
    return number, os.environ.get("OMP_NUM_THREADS")


def faults_of_arrays(number: int) -> tuple[int, int]:
    """Pages that a worker has to fetch anew for arrays of 1 MB that come and go, once it has had one."""
    import resource

    import numpy as np

    np.ones(1 << 18, np.float32).sum()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        np.ones(1 << 18, np.float32).sum()
    return number, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def refuse(number: int) -> int:
    raise ValueError(f"not {number}")


def die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def sleep(folder: Path, number: int) -> int:
    (folder / str(os.getpid())).touch()
    time.sleep(60)
    return number


class InterruptedInSubmit(ProcessPoolExecutor):
    """Its third item is noted as to be done, but never put where workers would be given it."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        put, count = self._work_ids.put, iter(range(100))  # pyright: ignore[reportAttributeAccessIssue]

        def interrupted(work_id: int) -> None:
            if next(count) == 2:
                raise KeyboardInterrupt
            put(work_id)

        self._work_ids.put = interrupted  # pyright: ignore[reportAttributeAccessIssue]


def test_a_stop_at_any_moment_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "ProcessPoolExecutor", InterruptedInSubmit)
    ended: list[BaseException] = []

    def work() -> None:
        try:
            list(in_processes(square, range(50), 2))
        except KeyboardInterrupt as error:
            ended.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(60)
    assert ended, "it waits for an item that nobody does"


@pytest.mark.parametrize("workers", [1, 2])
def test_every_item_is_done_once(workers: int) -> None:
    assert sorted(in_processes(square, range(50), workers)) == [n * n for n in range(50)]


def process(number: int) -> tuple[int, int]:
    return number, os.getpid()


@pytest.mark.parametrize(("may_use", "has"), [({3}, 8), (None, 1)])
def test_as_many_processes_as_cores_that_may_be_used(
    may_use: set[int] | None, has: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if may_use is None:
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    else:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: may_use, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: has)
    assert cores() == 1
    assert list(in_processes(process, range(3))) == [(n, os.getpid()) for n in range(3)], "one core needs no process"


def meet(folder: Path, number: int) -> int:
    """Done by two processes at once, or not within a minute: its process."""
    folder.mkdir(exist_ok=True)
    (folder / str(os.getpid())).touch()
    assert _within(60, lambda: len(list(folder.iterdir())) == 2)
    return os.getpid()


def test_processes_that_are_kept_do_what_comes_next_and_end_together(tmp_path: Path) -> None:
    with kept_processes():
        first, second = (set(in_processes(partial(meet, tmp_path / name), [1, 2], 2)) for name in ("a", "b"))
        assert first == second, "the second work began processes of its own"
        assert all(_alive(pid) for pid in first)
        list(in_processes(square, range(8), 3))
        assert not any(_alive(pid) for pid in first), "two pools at once take more cores than were asked for"
        third = set(in_processes(partial(meet, tmp_path / "c"), [1, 2], 2))
    assert not any(_alive(pid) for pid in third)


def test_kept_processes_go_on_after_one_was_killed() -> None:
    with kept_processes():
        with pytest.raises(WorkerError):
            list(in_processes(die, [1, 2], 2))
        assert sorted(in_processes(square, range(5), 2)) == [0, 1, 4, 9, 16]


def test_nothing_to_do() -> None:
    assert list(in_processes(square, [], 2)) == []


def test_a_worker_takes_one_thread() -> None:
    assert {threads for _, threads in in_processes(blas_threads, [1, 2], 2)} == {"1"}


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc, whose ways are set")
def test_a_worker_keeps_the_memory_of_arrays_that_come_and_go() -> None:
    for _, faults in in_processes(faults_of_arrays, [1, 2], 2):
        assert faults < 256, "an array of 1 MB has 256 pages: more than one was given back and fetched again"


def test_what_the_work_raises_comes_out() -> None:
    with pytest.raises(ValueError, match="not"):
        list(in_processes(refuse, [1, 2, 3], 2))


@pytest.mark.parametrize("workers", [1, 3])
def test_threads_do_every_item_once_in_this_process(workers: int) -> None:
    assert sorted(in_threads(process, range(50), workers)) == [(n, os.getpid()) for n in range(50)]


def test_threads_are_at_work_at_once() -> None:
    barrier = threading.Barrier(2, timeout=30)
    assert len(list(in_threads(lambda _: barrier.wait(), range(6), 2))) == 6


def test_what_a_thread_raises_comes_out() -> None:
    with pytest.raises(ValueError, match="not"):
        list(in_threads(refuse, [1, 2, 3], 2))


def note(begun: list[int], number: int) -> int:
    begun.append(number)
    time.sleep(0.01)
    return number


def test_threads_that_are_left_finish_what_they_are_at_and_begin_no_more() -> None:
    begun: list[int] = []
    with closing(in_threads(partial(note, begun), range(1000), 2)) as done:
        next(done)
    stopped = len(begun)
    time.sleep(0.05)
    assert len(begun) == stopped < 10


def test_a_killed_worker_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(WorkerError, match="give the same command again"):
        list(in_processes(die, [1, 2], 2))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_when_their_parent_is_killed(tmp_path: Path, how: signal.Signals) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from functools import partial\nfrom pathlib import Path\n"
        "from ichnos.processes import in_processes\nfrom tests.test_processes import sleep\n"
        'if __name__ == "__main__":\n'
        f"    list(in_processes(partial(sleep, Path({str(tmp_path / 'pids')!r})), [1, 2], 2))\n"
    )
    (tmp_path / "pids").mkdir()
    root = Path(__file__).parents[1]
    parent = subprocess.Popen([sys.executable, str(script)], env=os.environ | {"PYTHONPATH": str(root)})
    assert _within(30, lambda: len(list((tmp_path / "pids").iterdir())) == 2)
    workers = [int(p.name) for p in (tmp_path / "pids").iterdir()]
    parent.send_signal(how)
    parent.wait(30)
    assert _within(10, lambda: not any(_alive(pid) for pid in workers))


def _within(seconds: float, condition) -> bool:  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
