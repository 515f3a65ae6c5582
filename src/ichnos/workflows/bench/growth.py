"""What a slice costs as the work grows: prepare, predict and evaluate at several sizes. Begin at `bench_growth`."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from ichnos.errors import UsageError
from ichnos.phantom import RSNA_PREVALENCE, CohortSettings
from ichnos.progress import Progress
from ichnos.workflows.bench import machine
from ichnos.workflows.bench.asked import Asked
from ichnos.workflows.bench.contenders import Contender
from ichnos.workflows.bench.evaluate import EvaluateBench
from ichnos.workflows.bench.evaluate_own import write_predictions
from ichnos.workflows.bench.figures import spread
from ichnos.workflows.bench.own import Work
from ichnos.workflows.bench.prepare_own import PrepareWork
from ichnos.workflows.bench.workload import untrained_recipe, write_exams, write_untrained_bundle
from ichnos.workflows.phantom import IMAGES, write_cohort

PREPARED = {"exams": 10, "slices": 10, "matrix": 256}
"""The base of prepare: 100 slices."""

PREDICTED = {"exams": 1, "slices": 36, "matrix": 256}
"""The base of predict: one exam."""

EVALUATED = {"slices": 11_763, "resamples": 1000}
"""The base of evaluate: 64 times as many are RSNA's 752,832."""

Tree = dict[str, Any]


@dataclass(frozen=True)
class GrowthBench(Asked):
    """What is measured."""

    NAME: ClassVar[str] = "growth"
    STANDS_ON: ClassVar[Sequence[str]] = ("numpy", "onnxruntime", "polars")

    times: str = "1,4,16,64"
    """How many times the base size, rising, between commas."""

    def __post_init__(self) -> None:
        super().__post_init__()
        words = self.times.split(",")
        if not all(word.strip().isdecimal() for word in words) or self.sizes[0] < 1:
            raise UsageError(f"--times is whole numbers from 1 between commas, as 1,4,16,64, got {self.times!r}")
        if list(self.sizes) != sorted(set(self.sizes)):
            raise UsageError(f"--times rises, got {self.times}")

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many times the base size."""
        return tuple(int(word) for word in self.times.split(","))


@dataclass(frozen=True)
class _Step:
    """One benchmark at one size: the contender to ask, and how many slices it then goes through."""

    module: str
    what: str
    slices: int


def bench_growth(options: GrowthBench, progress: Progress) -> Tree:
    """Measure, and return everything as a tree for JSON.

    Each size is made, measured in a process of its own, and removed before the next. Raises BenchmarkError where one
    fails.
    """
    makers = {"prepare": _prepare, "predict": _predict, "evaluate": _evaluate}
    with machine.on_cores(options.cores) as cores, TemporaryDirectory(prefix="ichnos-bench-") as name:
        stopwatch = machine.Stopwatch(cores)
        with progress.task("Measuring", len(makers) * sum(options.sizes)) as task:
            figures: dict[str, list[Tree]] = {each: [] for each in makers}
            for each, make in makers.items():
                for times in options.sizes:
                    figures[each].append(_measured(make, times, options, Path(name), progress))
                    task.advance(times)
        base = {"prepare": PREPARED, "predict": PREDICTED, "evaluate": EVALUATED}
        return options.tree(cores, stopwatch, {"times": list(options.sizes), "base": base}, figures)


def _measured(
    make: Callable[[int, Path, int, Progress], _Step], times: int, options: GrowthBench, top: Path, progress: Progress
) -> Tree:
    folder = top / "work"
    folder.mkdir()
    try:
        step = make(times, folder, options.cores, progress)
        if hasattr(os, "sync"):  # or the disk is still busy with these files while the first of them is read
            os.sync()
        command = [sys.executable, "-m", f"ichnos.workflows.bench.{step.module}", str(folder / "work.json"), step.what]
        with Contender(step.what, command, folder) as contender:
            seconds = [contender.once()["seconds"] for _ in range(options.rounds)]
            taken = contender.close()
    finally:
        shutil.rmtree(folder)
    return {
        "times": times,
        "slices": step.slices,
        "seconds": spread(seconds),
        "microseconds_a_slice": spread([1e6 * each / step.slices for each in seconds]),
        "peak_mb": None if taken is None else round(taken.peak_mb),
    }


def _prepare(times: int, folder: Path, cores: int, progress: Progress) -> _Step:
    per, exams = PREPARED["slices"], PREPARED["exams"] * times
    settings = CohortSettings(
        exams=exams, seed=0, prevalence=dict(RSNA_PREVALENCE), matrix=PREPARED["matrix"], slices=(per, per)
    )
    cohort = write_cohort(settings, folder / "cohort", progress, workers=cores)
    files = list((cohort / IMAGES).iterdir())
    out = folder / "out"
    out.mkdir()
    size = sum(path.stat().st_size for path in files)
    _write(folder, asdict(PrepareWork(str(cohort), "", str(out), len(files), size, 224, cores)))
    return _Step("prepare_own", "folder", len(files))


def _predict(times: int, folder: Path, cores: int, progress: Progress) -> _Step:
    del cores, progress
    per, exams = PREDICTED["slices"], PREDICTED["exams"] * times
    recipe, kept = untrained_recipe({}), folder.parent / "untrained"
    bundle = next(kept.glob("*.ichnos")) if kept.exists() else write_untrained_bundle(recipe, kept)[0]
    write_exams(folder / "exams", exams, slices=per, matrix=PREDICTED["matrix"])
    work = Work(
        exam=str(folder / "exams" / "000"),
        bundle=str(bundle),
        out=str(folder / "out"),
        recipes=[recipe.model_dump(mode="json")],
        checkpoint=None,
        exams=str(folder / "exams"),
    )
    _write(folder, asdict(work))
    return _Step("own", "batch", per * exams)


def _evaluate(times: int, folder: Path, cores: int, progress: Progress) -> _Step:
    del cores, progress
    asked = EvaluateBench(EVALUATED["slices"] * times, EVALUATED["resamples"])
    work = asked.work(folder)
    write_predictions(work)
    _write(folder, asdict(work))
    return _Step("evaluate_own", "measures", work.slices)


def _write(folder: Path, work: Mapping[str, Any]) -> None:
    (folder / "work.json").write_text(json.dumps(work), encoding="utf-8")
