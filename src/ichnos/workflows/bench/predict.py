"""How fast exams are read, against peers and against what the machine can do: START READING HERE, `bench_predict`."""

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from ichnos.counting import counted
from ichnos.errors import BenchmarkError, UsageError
from ichnos.inference import read_bundle
from ichnos.inference.manifest import Manifest
from ichnos.progress import Progress
from ichnos.recipe import EnsembleRecipe, SliceRecipe
from ichnos.workflows.bench import machine
from ichnos.workflows.bench.asked import Asked
from ichnos.workflows.bench.contenders import Contender, Taken, run_command
from ichnos.workflows.bench.figures import parts_of, ratios, spread
from ichnos.workflows.bench.own import Work
from ichnos.workflows.bench.peers import ask_in_turn, begin_peers
from ichnos.workflows.bench.workload import exam_bytes, untrained_recipe, write_exams, write_untrained_bundle

_MOST_BYTES = 1_000_000_000
"""Of the disk, for a batch: more exams are read in several calls of as many as fit."""

OURS = ("exam", "network", "files", "arithmetic", "steps")
"""What own.py does here, in the order asked."""

Tree = dict[str, Any]


@dataclass(frozen=True)
class PredictBench(Asked):
    """What is measured."""

    NAME: ClassVar[str] = "predict"
    STANDS_ON: ClassVar[tuple[str, ...]] = ("numpy", "onnxruntime", "pydicom")

    bundle: Path | None = None
    """None exports an untrained one of the usual recipe with `changes`."""
    changes: Mapping[str, str] = field(default_factory=dict)
    exams: int = 100
    """Of the batch; 0 leaves it out."""
    slices: int = 36
    """Of an exam."""
    matrix: int = 512
    rounds: int = field(default=7, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.exams < 0:
            raise UsageError("--exams is at least 0")
        if self.bundle is not None and self.changes:
            raise UsageError("--set changes the recipe of an untrained bundle; a bundle that is given has its own")

    def _said(self, name: str, usual: object) -> Sequence[str]:
        """Of paths the names alone."""
        if name == "changes":
            return [f"--set {field}={value}" for field, value in self.changes.items()]
        if name == "bundle" and self.bundle is not None:
            return (f"--bundle {self.bundle.name}",)
        return super()._said(name, usual)


def bench_predict(options: PredictBench, progress: Progress) -> Tree:
    """Measure, and return everything as a tree for JSON.

    All contenders wait in processes of their own and are asked in turn, round by round, so that what else the machine
    does meets them alike. Raises BenchmarkError where ours fails; a peer that fails stands in the tree with its reason.
    """
    with machine.on_cores(options.cores) as cores, TemporaryDirectory(prefix="ichnos-bench-") as folder:
        stopwatch = machine.Stopwatch(cores)
        work, size = _work(options, Path(folder), progress)
        tree = _one_exam(options, work, Path(folder), progress)
        if options.exams:
            tree["batch"] = _batch(options, work, cores, Path(folder), progress)
        return options.tree(cores, stopwatch, _told(options, work, size), tree)


def _told(options: PredictBench, work: Work, size: int) -> Tree:
    networks = [SliceRecipe.model_validate(each) for each in work.recipes]
    return {
        "slices": options.slices,
        "matrix": options.matrix,
        "bytes": size,
        "bundle": "given" if options.bundle else "untrained",
        "networks": [
            {"backbone": each.network.backbone, "channels": each.input.channels, "input_size": each.input.size}
            | {"views": each.views}
            for each in networks
        ],
        "classes": len(networks[0].classes),
    }


def _work(options: PredictBench, folder: Path, progress: Progress) -> tuple[Work, int]:
    recipe = untrained_recipe(options.changes)
    with progress.task("Making an exam and a bundle", 2) as task:
        size = write_exams(folder / "one", 1, slices=options.slices, matrix=options.matrix)
        task.advance()
        if options.bundle is None:
            bundle, checkpoint = write_untrained_bundle(recipe, folder)
        else:
            bundle, checkpoint = options.bundle.resolve(), None
        manifest = read_bundle(bundle).manifest
        task.advance()
    work = Work(
        exam=str(folder / "one" / "000"),
        bundle=str(bundle),
        out=str(folder / "out"),
        recipes=[each.model_dump(mode="json") for each in averaged_networks(manifest)],
        checkpoint=str(checkpoint) if checkpoint else None,
    )
    _write(work, folder)
    return work, size


def averaged_networks(manifest: Manifest) -> list[SliceRecipe]:
    """Of each network whose logits the bundle averages. Raises UsageError where the bundle does something else."""
    recipe = manifest.recipe
    if isinstance(recipe, SliceRecipe):
        return [recipe] * manifest.networks
    if isinstance(recipe, EnsembleRecipe) and recipe.combine == "mean" and not recipe.weights:
        members = [*recipe.members.values()]
        if all(isinstance(each, SliceRecipe) for each in members):
            return [each for each in members if isinstance(each, SliceRecipe)]
    raise UsageError(
        f"--bundle is {recipe.in_words}, and the peers run networks of slices and average them; give a bundle of one "
        "network, or of several whose logits are averaged alike"
    )


def _one_exam(options: PredictBench, work: Work, folder: Path, progress: Progress) -> Tree:
    command = [sys.executable, "-m", "ichnos", "predict", work.exam, "--bundle", work.bundle]
    command += ["--out", str(folder / "out" / "command"), "--force"]
    commands: list[Taken] = []
    with ExitStack() as open_ones:
        ours = [open_ones.enter_context(Contender(name, _own(name, folder), folder)) for name in OURS]
        peers, refused = begin_peers("predict", options.peers, folder, open_ones)
        answers: dict[str, list[Tree]] = {}
        with progress.task("Measuring one exam", options.rounds + 1) as task:
            for _ in range(options.rounds + 1):
                ask_in_turn(ours, peers, refused, answers)
                commands.append(run_command(command, folder))
                task.advance()
        taken = {each.name: each.close() for each in (*ours, *peers)}
    warm = {name: said[1:] for name, said in answers.items()}  # the first round warms everything up
    kept = [peer for peer in peers if peer.name not in refused]
    tree = _our_figures(options, warm, commands[1:], taken)
    tree["arithmetic"] = _arithmetic(options, work, warm)
    return tree | {"peers": {each.name: _peer_figures(each, warm, taken) for each in kept}, "peers_not_run": refused}


def _own(what: str, folder: Path) -> list[str]:
    return [sys.executable, "-m", "ichnos.workflows.bench.own", str(folder / "work.json"), what]


def _our_figures(
    options: PredictBench,
    answers: Mapping[str, Sequence[Tree]],
    commands: Sequence[Taken],
    taken: Mapping[str, Taken | None],
) -> Tree:
    seconds = {name: [each["seconds"] for each in answers[name]] for name in OURS}
    floor = [sum(pair) for pair in zip(seconds["network"], seconds["files"], strict=True)]
    return {
        "exam": {
            "seconds": spread(seconds["exam"]),
            "cpu_seconds": spread([each["cpu_seconds"] for each in answers["exam"]]),
            "slices_a_second": spread([options.slices / each for each in seconds["exam"]]),
            "to_floor": ratios(seconds["exam"], floor),
            "peak_mb": _peak(taken["exam"]),
        },
        "steps": parts_of(answers["steps"]),
        "floor": {"network": spread(seconds["network"]), "files": spread(seconds["files"])},
        "command": {
            "seconds": spread([each.seconds for each in commands]),
            "cpu_seconds": spread([each.cpu_seconds for each in commands]),
            "peak_mb": round(max(each.peak_mb for each in commands)),
        },
    }


def _arithmetic(options: PredictBench, work: Work, answers: Mapping[str, Sequence[Tree]]) -> Tree | None:
    """Seconds for the exam's multiplications at the machine's peak, and the exam against that. Counting needs torch."""
    if find_spec("torch") is None:
        return None
    from ichnos.models.cost import cost_of

    networks = [SliceRecipe.model_validate(each) for each in work.recipes]
    wanted = options.slices * sum(
        cost_of(each.network, each.input.channels, each.input.size, each.input.slices)[1] * each.views
        for each in networks
    )
    peak = [wanted * each["seconds"] / each["multiply_adds"] for each in answers["arithmetic"]]
    seconds = [each["seconds"] for each in answers["exam"]]
    return {"multiply_adds": wanted, "seconds": spread(peak), "exam_to_peak": ratios(seconds, peak)}


def _peer_figures(peer: Contender, answers: Mapping[str, Sequence[Tree]], taken: Mapping[str, Taken | None]) -> Tree:
    theirs, ours = answers[peer.name], answers["exam"]
    seconds = [each["seconds"] for each in theirs]
    alike = peer.about.get("same_weights") and "slices" in theirs[-1]
    return peer.about | {
        "seconds": spread(seconds),
        "to_ours": ratios(seconds, [each["seconds"] for each in ours]),
        "peak_mb": _peak(taken[peer.name]),
        "largest_difference": _difference(ours[-1], theirs[-1]) if alike else None,
    }


def _peak(taken: Taken | None) -> int | None:
    return None if taken is None else round(taken.peak_mb)


def _difference(ours: Tree, theirs: Tree) -> float:
    """The largest between the two in a subtype's probability on a slice: that both did the same work."""
    pairs = zip(ours["slices"], theirs["slices"], strict=True)
    return max(abs(one[c] - other[c]) for one, other in pairs for c in one.keys() & other.keys() - {"any"})


def _batch(options: PredictBench, work: Work, cores: int, folder: Path, progress: Progress) -> Tree:
    at_once = max(1, min(options.exams, _MOST_BYTES // exam_bytes(options.slices, options.matrix)))
    calls = -(-options.exams // at_once)
    at_once = -(-options.exams // calls)
    with progress.task(f"Reading {counted(at_once * calls, 'exam')}", calls + 1) as task:
        write_exams(folder / "many", at_once, slices=options.slices, matrix=options.matrix)
        _write(replace(work, exams=str(folder / "many")), folder)
        task.advance()
        with Contender("batch", _own("batch", folder), folder) as contender:
            said: list[Tree] = []
            for _ in range(calls):
                said.append(contender.once())
                task.advance()
    if sum(each["read"] for each in said) < at_once * calls:
        raise BenchmarkError("not every synthetic exam of the batch was read: this ichnos is broken, or its rules are")
    return _batch_figures(options, said, at_once, cores)


def _batch_figures(options: PredictBench, said: Sequence[Tree], at_once: int, cores: int) -> Tree:
    seconds, cpu = (sum(each[name] for each in said) for name in ("seconds", "cpu_seconds"))
    others = [each["other_work"] * each["seconds"] for each in said if each["other_work"] is not None]
    peaks = [peak for each in said for peak in each["peak_mb"]]
    after = sorted({n for n in (1, 10, at_once, len(peaks)) if n <= len(peaks)})
    return {
        "exams": len(peaks),
        "exams_a_call": at_once,
        "seconds": round(seconds, 2),
        "exams_a_minute": round(60 * len(peaks) / seconds, 1),
        "slices_a_second": round(options.slices * len(peaks) / seconds, 1),
        "cores_busy": round(cpu / (seconds * cores), 3),
        "other_work": round(sum(others) / seconds, 3) if others else None,
        "peak_mb_after": {str(n): round(peaks[n - 1], 1) for n in after},
    }


def _write(work: Work, folder: Path) -> None:
    (folder / "work.json").write_text(json.dumps(asdict(work)), encoding="utf-8")
