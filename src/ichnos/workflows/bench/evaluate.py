"""How fast predictions are measured: every level, every measure, a bootstrap by patient. Begin at `bench_evaluate`."""

import json
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from ichnos.errors import UsageError
from ichnos.evaluation.resampling import RESAMPLES
from ichnos.progress import Progress
from ichnos.workflows.bench import machine
from ichnos.workflows.bench.asked import Asked
from ichnos.workflows.bench.contenders import Contender
from ichnos.workflows.bench.evaluate_own import EvaluateWork, write_predictions
from ichnos.workflows.bench.figures import ratios, spread
from ichnos.workflows.bench.peers import ask_in_turn, begin_peers

SLICES, EXAMS, PATIENTS = 752_803, 21_744, 18_938
"""Of RSNA 2019's training set."""

Tree = dict[str, Any]


@dataclass(frozen=True)
class EvaluateBench(Asked):
    """What is measured."""

    NAME: ClassVar[str] = "evaluate"
    STANDS_ON: ClassVar[tuple[str, ...]] = ("numpy", "polars", "scikit-learn")

    slices: int = SLICES
    """Of RSNA's 752,803; exams and patients become fewer with them."""
    resamples: int = RESAMPLES

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.slices < 100 or self.resamples < 1:
            raise UsageError("--slices is at least 100, and --resamples at least 1")

    def work(self, folder: Path) -> EvaluateWork:
        """Exams and patients in RSNA's proportions."""
        exams, patients = (max(10, round(n * self.slices / SLICES)) for n in (EXAMS, PATIENTS))
        return EvaluateWork(str(folder / "predictions.parquet"), self.slices, exams, patients, self.resamples)


def bench_evaluate(options: EvaluateBench, progress: Progress) -> Tree:
    """Measure, and return everything as a tree for JSON.

    Made-up predictions of six classes; each contender is a process of its own that has read them, and is asked in turn,
    round by round. Raises BenchmarkError where ours fails; a peer that fails stands in the tree with its reason.
    """
    with machine.on_cores(options.cores) as cores, TemporaryDirectory(prefix="ichnos-bench-") as name:
        folder, stopwatch = Path(name), machine.Stopwatch(cores)
        work = options.work(folder)
        write_predictions(work)
        (folder / "work.json").write_text(json.dumps(asdict(work)), encoding="utf-8")
        figures = _measured(options, folder, progress)
        told = {key: value for key, value in asdict(work).items() if key != "predictions"}
        return options.tree(cores, stopwatch, told, figures)


def _measured(options: EvaluateBench, folder: Path, progress: Progress) -> Tree:
    with ExitStack() as open_ones:
        module = [sys.executable, "-m", "ichnos.workflows.bench.evaluate_own", str(folder / "work.json")]
        measures, copies = (
            open_ones.enter_context(Contender(name, [*module, name], folder)) for name in ("measures", "copies")
        )
        peers, refused = begin_peers("evaluate", options.peers, folder, open_ones)
        answers: dict[str, list[Tree]] = {}
        with progress.task("Measuring", options.rounds) as task:
            for _ in range(options.rounds):
                ask_in_turn((measures, copies), peers, refused, answers)
                task.advance()
        seconds = {name: [each["seconds"] for each in said] for name, said in answers.items()}
        taken = {each.name: each.close() for each in (measures, copies, *peers)}
    ours = seconds["measures"]
    peaks = {name: None if each is None else round(each.peak_mb) for name, each in taken.items()}
    return {
        "seconds": spread(ours),
        "slices_a_second": spread([options.slices / each for each in ours]),
        "peak_mb": peaks["measures"],
        "floor": {"copies": spread(seconds["copies"])},
        "to_floor": ratios(ours, seconds["copies"]),
        "peers": {
            each.name: each.about
            | {
                "seconds": spread(seconds[each.name]),
                "to_ours": ratios(seconds[each.name], ours),
                "peak_mb": peaks[each.name],
            }
            for each in peers
            if each.name in seconds
        },
        "peers_not_run": refused,
    }
