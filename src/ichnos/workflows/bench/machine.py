"""The machine that a benchmark runs on: what it is, which of its cores are used, and how much else it has to do."""

import os
import platform
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@contextmanager
def on_cores(wanted: int) -> Iterator[int]:
    """Keep this process and those it begins to so many cores, where the system can; gives how many there are."""
    if not hasattr(os, "sched_getaffinity"):
        yield os.cpu_count() or 1
        return
    before = os.sched_getaffinity(0)
    chosen = sorted(before)[:wanted]
    os.sched_setaffinity(0, chosen)
    try:
        yield len(chosen)
    finally:
        os.sched_setaffinity(0, before)


def description(cores: int) -> dict[str, object]:
    """For a table: processor, cores, memory, system, Python."""
    return {
        "processor": _from_proc("cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores_used": cores,
        "cores": os.cpu_count(),
        "memory_gb": round(_memory() / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def versions(names: Sequence[str]) -> dict[str, str]:
    """Of installed distributions; what is not installed is left out."""
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """Of the clone that ichnos runs from, with a plus where its sources were changed since; None in an installation."""
    here = Path(__file__).parent
    try:
        said = _git(here, "rev-parse", "--short=12", "HEAD").strip()
        return said + ("+" if _git(here, "status", "--porcelain", "--", str(here.parents[1])).strip() else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    return subprocess.run(command, capture_output=True, check=True, text=True, timeout=10).stdout  # noqa: S603


@dataclass(frozen=True)
class Stopwatch:
    """Begun when it is made: how much of the cores' time went to other processes than ours and our children's."""

    cores: int
    begun: float = field(default_factory=time.perf_counter)
    own: float = field(default_factory=lambda: _own_seconds())
    busy: float | None = field(default_factory=lambda: _busy_seconds())

    def others(self) -> float | None:
        """The share, once all children have ended: 0 on a machine that does nothing else. None where nobody counts."""
        busy = _busy_seconds()
        if busy is None or self.busy is None:
            return None
        others = (busy - self.busy) - (_own_seconds() - self.own)
        return round(max(others, 0.0) / ((time.perf_counter() - self.begun) * self.cores), 3)


def _own_seconds() -> float:
    import resource  # Windows has none; what is given there is refused before

    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _busy_seconds() -> float | None:
    """Of the cores that this process may use, since the machine began (proc(5), /proc/stat)."""
    try:
        lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    ours = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    ticks = [[int(n) for n in line.split()[1:9]] for line in lines if line.split()[0] in ours]
    return sum(sum(each) - each[3] - each[4] for each in ticks) / os.sysconf("SC_CLK_TCK")


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _from_proc(file: str, name: str) -> str | None:
    try:
        lines = Path("/proc", file).read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), None)
