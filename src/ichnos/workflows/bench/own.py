"""Our own side of a benchmark, as a contender: `python -m ichnos.workflows.bench.own WORK.json WHAT`.

WHAT: `exam`, the whole road of one exam in a warm process; `steps`, the same in its parts; `network` and `files`, what
no road can be faster than; `arithmetic`, what this machine reckons with at most; `batch`, many exams in one call.
"""

import json
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ichnos.dicom.exams import find_exams, read_exam, read_found_exam
from ichnos.inference import load_bundle, read_bundle
from ichnos.inference.engine import Engine
from ichnos.processes import cores
from ichnos.progress import SILENT
from ichnos.workflows.bench.contenders import answer_when_asked
from ichnos.workflows.bench.machine import Stopwatch
from ichnos.workflows.predict import classify_reading, predict_paths, write_findings

Tree = dict[str, Any]

_SIDE = 2048
"""Of the matrices: beyond the caches, so that they are worked on block by block, as convolutions are."""


@dataclass(frozen=True)
class Work:
    """What there is to do, for us and for peers: work.json. Paths as text."""

    exam: str
    """A folder of one exam's DICOM files."""
    bundle: str
    out: str
    """A folder for findings."""
    recipes: list[Tree]
    """Of each network whose logits the bundle averages, with its own input road and views."""
    checkpoint: str | None
    """The bundle's weights, as a checkpoint of ours; None where only the bundle is known: peers then draw their own."""
    exams: str | None = None
    """A folder of many exams."""


def exam(work: Work) -> Callable[[], Tree]:
    """Find, choose, read, check, classify and write findings.json, with the bundle open already."""
    classifier = load_bundle(work.bundle)
    out = Path(work.out, "exam")

    def once() -> Tree:
        cpu, begun = time.process_time(), time.perf_counter()
        summary = predict_paths([Path(work.exam)], out, classifier, SILENT, force=True)
        taken = {"seconds": time.perf_counter() - begun, "cpu_seconds": time.process_time() - cpu}
        findings = json.loads((out / summary["exams"][0]["findings"]).read_bytes())
        return taken | {"slices": [each["probabilities"] for each in findings["slices"]]}

    return once


def steps(work: Work) -> Callable[[], Tree]:
    """The parts of that road, one after the other."""
    classifier = load_bundle(work.bundle)

    def once() -> Tree:
        marks = [time.perf_counter()]
        (found,) = find_exams([Path(work.exam)]).exams
        marks.append(time.perf_counter())
        reading = read_found_exam(found)
        marks.append(time.perf_counter())
        result = classify_reading(reading, classifier)
        marks.append(time.perf_counter())
        write_findings(result.findings, Path(work.out, "steps"), force=True)
        marks.append(time.perf_counter())
        names = ("find", "read", "classify", "write")
        parts = {name: end - begin for name, begin, end in zip(names, marks, marks[1:], strict=False)}
        return {"seconds": marks[-1] - marks[0], "parts": parts}

    return once


def network(work: Work) -> Callable[[], Tree]:
    """The bundle's graph alone, on HU that are in memory."""
    engine = Engine(read_bundle(Path(work.bundle)))
    hu = read_exam(Path(work.exam)).hu
    return _timed(lambda: engine.run(hu))


def files(work: Work) -> Callable[[], Tree]:
    """Every byte of the exam, read."""
    paths = sorted(Path(work.exam).iterdir())
    return _timed(lambda: [path.read_bytes() for path in paths])


def arithmetic(work: Work) -> Callable[[], Tree]:
    """Large matrices multiplied by NumPy's BLAS on all cores: with `multiply_adds`, the machine's peak as measured."""
    del work
    one, other = np.full((2, _SIDE, _SIDE), 0.5, np.float32)
    product = np.empty_like(one)
    return lambda: _timed(lambda: np.matmul(one, other, out=product))() | {"multiply_adds": _SIDE**3}


def batch(work: Work) -> Callable[[], Tree]:
    """All exams in one call, with the peak memory after each."""
    classifier = load_bundle(work.bundle)
    assert work.exams is not None
    given = Path(work.exams)

    def once() -> Tree:
        memory = _Memory()
        cpu, stopwatch = time.process_time(), Stopwatch(cores())
        summary = predict_paths([given], Path(work.out, "batch"), classifier, memory, force=True)
        return {
            "seconds": time.perf_counter() - stopwatch.begun,
            "cpu_seconds": time.process_time() - cpu,
            "other_work": stopwatch.others(),
            "read": sum(each["read"] for each in summary["exams"]),
            "peak_mb": memory.peaks,
        }

    return once


@dataclass
class _Memory:
    """A Progress that asks after every exam how much memory this process has had at most."""

    peaks: list[float] = field(default_factory=list)

    def task(self, description: str, total: float | None) -> "AbstractContextManager[_Memory]":
        del description
        return nullcontext(self if total else _Memory())  # headers, whose number nobody knows, are not exams

    def advance(self, amount: float = 1) -> None:
        import resource

        del amount
        unit = 1 if sys.platform == "darwin" else 1024
        self.peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)

    def note(self, text: str) -> None:
        del text

    def message(self, text: str) -> None:
        del text


_WHAT: dict[str, Callable[[Work], Callable[[], Tree]]] = {
    each.__name__: each for each in (exam, steps, network, files, arithmetic, batch)
}


def _timed(work: Callable[[], object]) -> Callable[[], Tree]:
    def once() -> Tree:
        begun = time.perf_counter()
        work()
        return {"seconds": time.perf_counter() - begun}

    return once


if __name__ == "__main__":
    answer_when_asked(Work, _WHAT, sys.argv)
