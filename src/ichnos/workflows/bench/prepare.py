"""How fast a set is prepared and its cache derived, from folders and from the zip. Begin at `bench_prepare`."""

import json
import shutil
import sys
import zipfile
from contextlib import ExitStack
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
from ichnos.workflows.bench.figures import parts_of, ratios, spread
from ichnos.workflows.bench.peers import ask_in_turn, begin_peers
from ichnos.workflows.bench.prepare_own import PrepareWork
from ichnos.workflows.phantom import IMAGES, write_cohort

OURS = ("folder", "zip", "cache", "decoded", "bytes", "parts")
"""What prepare_own.py does here, in the order asked: `decoded` and `bytes` are what no preparing can be faster than."""

Tree = dict[str, Any]


@dataclass(frozen=True)
class PrepareBench(Asked):
    """What is measured."""

    NAME: ClassVar[str] = "prepare"
    STANDS_ON: ClassVar[tuple[str, ...]] = ("numpy", "pydicom", "blosc2")

    exams: int = 120
    """Synthetic ones in RSNA's form, of some 35 slices: enough to be prepared by processes, as RSNA's are."""
    matrix: int = 512
    size: int = 224
    """Pixels of the cache."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.exams < 10:
            raise UsageError("--exams is at least 10, which make a set")


def bench_prepare(options: PrepareBench, progress: Progress) -> Tree:
    """Measure, and return everything as a tree for JSON.

    Every contender is a process of its own that begins anew each time, in an empty folder, and all are asked in turn,
    round by round. Raises BenchmarkError where ours fails; a peer that fails stands in the tree with its reason.
    """
    with machine.on_cores(options.cores) as cores, TemporaryDirectory(prefix="ichnos-bench-") as name:
        folder, stopwatch = Path(name), machine.Stopwatch(cores)
        work = _work(options, folder, cores, progress)
        (folder / "work.json").write_text(json.dumps(asdict(work)), encoding="utf-8")
        figures = _measured(options, work, folder, progress)
        told = {"exams": options.exams, "slices": work.slices, "bytes": work.bytes, "matrix": options.matrix}
        return options.tree(cores, stopwatch, told | {"cache_size": options.size}, figures)


def _work(options: PrepareBench, folder: Path, cores: int, progress: Progress) -> PrepareWork:
    """A cohort, and the same as a zip that is stored, as Kaggle's is hardly smaller than its files."""
    settings = CohortSettings(exams=options.exams, seed=0, prevalence=dict(RSNA_PREVALENCE), matrix=options.matrix)
    cohort = write_cohort(settings, folder / "cohort", progress, workers=cores)
    shutil.rmtree(cohort / "masks")
    files = sorted((cohort / IMAGES).iterdir())
    with zipfile.ZipFile(folder / "cohort.zip", "w") as packed:
        for path in (cohort / f"{IMAGES}.csv", *files):
            packed.write(path, path.relative_to(cohort))
    size = sum(path.stat().st_size for path in files)
    out = folder / "out"
    out.mkdir()
    return PrepareWork(str(cohort), str(folder / "cohort.zip"), str(out), len(files), size, options.size, cores)


def _measured(options: PrepareBench, work: PrepareWork, folder: Path, progress: Progress) -> Tree:
    module = [sys.executable, "-m", "ichnos.workflows.bench.prepare_own", str(folder / "work.json")]
    with ExitStack() as open_ones:
        ours = [open_ones.enter_context(Contender(name, [*module, name], folder)) for name in OURS]
        peers, refused = begin_peers("prepare", options.peers, folder, open_ones)
        answers: dict[str, list[Tree]] = {}
        with progress.task("Measuring", options.rounds) as task:
            for _ in range(options.rounds):
                ask_in_turn(ours, peers, refused, answers)
                task.advance()
        seconds = {name: [each["seconds"] for each in said] for name, said in answers.items()}
        taken = {each.name: each.close() for each in (*ours, *peers)}
    peaks = {name: None if each is None else round(each.peak_mb) for name, each in taken.items()}

    def rates(name: str) -> Tree:
        rate = spread([work.slices / each for each in seconds[name]])
        return {"seconds": spread(seconds[name]), "slices_a_second": rate, "peak_mb": peaks[name]}

    both = [one + other for one, other in zip(seconds["folder"], seconds["cache"], strict=True)]
    return {
        **{name: rates(name) | {"to_decoded": ratios(seconds["decoded"], seconds[name])} for name in OURS[:3]},
        "stages_s": parts_of(answers["folder"]),
        "parts_ms": parts_of(answers["parts"]),
        "floor": {name: rates(name) for name in OURS[3:5]},
        "peers": {
            each.name: each.about
            | rates(each.name)
            | {
                "to_ours": ratios(seconds[each.name], seconds["folder"]),
                "to_zip": ratios(seconds[each.name], seconds["zip"]),
                "to_both": ratios(seconds[each.name], both),
            }
            for each in peers
            if each.name in seconds
        },
        "peers_not_run": refused,
    }
