"""What a trained run costs: parameters and multiply-adds counted, reading time measured on this machine's CPU."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ichnos.errors import BundleError, UsageError
from ichnos.files import write_json
from ichnos.inference.bundle import read_bundle
from ichnos.inference.engine import Engine
from ichnos.models.classifier import SliceClassifier
from ichnos.models.cost import cost_of, multiply_adds_of_exam, parameters_of
from ichnos.models.exam_checkpoint import load_exam_checkpoint, load_exam_network
from ichnos.models.exam_network import SliceSizes
from ichnos.phantom import CohortSettings, make_exam
from ichnos.progress import SILENT, Progress
from ichnos.recipe import EXAM, EnsembleRecipe, Recipe, SliceRecipe, exam_networks, join
from ichnos.workflows.export import ExportOptions, export_runs
from ichnos.workflows.trained_model import best_of, digest_of

Tree = dict[str, Any]

KEPT = "cost.json"
"""Beside the runs of a recipe."""

SLICES = 36
"""Of the exam that is read, 512 × 512 each."""

ROUNDS = 7
"""In each of which every bundle reads the exam once: what else the machine does meets all of them alike. The lowest is
what the reading itself takes; the highest says how much the machine was at."""


def costs_of_runs(runs: Mapping[str, tuple[Path, Recipe]], progress: Progress) -> dict[str, Tree]:
    """By name, of each run and its recipe: parameters (of what reads), multiply_adds (one slice through every network
    of slices, in all its views), exam_multiply_adds (a slice's share of what networks of exams do for 36),
    bundle_bytes, and seconds that the exported graphs take for an exam of 36 slices on one core: the lowest of seven
    rounds, which all the runs take in turn, beside it seconds_highest, and timed_with, the names of these runs.

    Kept in cost.json beside each run: those are neither counted nor timed again. One from before was timed by itself,
    the median of three, and has no seconds_highest. A recipe of which no bundle can be made, or whose exported network
    does not agree with the trained one, has None for the last three, and `note` says why.
    """
    costs = {name: kept for name, (run, recipe) in runs.items() if (kept := _kept(run, recipe)) is not None}
    wanted = {name: pair for name, pair in runs.items() if name not in costs}
    bundles: dict[str, Path] = {}
    with progress.task("Exporting, to time reading", len(wanted)) as task:
        for name, (run, recipe) in wanted.items():
            costs[name] = _UNTIMED | _counted(run, recipe)
            try:
                bundles[name] = _exported(run, recipe)
            except (UsageError, BundleError) as error:
                costs[name]["note"] = str(error)
                write_json(run.parent / KEPT, costs[name])
            task.advance()
    for name, seconds in _read_in_turn(bundles, progress).items():
        times = {"seconds": round(min(seconds), 4), "seconds_highest": round(max(seconds), 4), "rounds": ROUNDS}
        costs[name] |= {"bundle_bytes": bundles[name].stat().st_size, **times, "timed_with": sorted(bundles)}
        write_json(runs[name][0].parent / KEPT, costs[name])
        bundles[name].unlink()
    return {name: costs[name] for name in runs}


def _kept(run: Path, recipe: Recipe) -> Tree | None:
    path = run.parent / KEPT
    tree = json.loads(path.read_bytes()) if path.exists() else {}
    if tree.get("recipe") != recipe.fingerprint():
        return None
    if "exam_multiply_adds" not in tree:  # one from before: its times are kept
        tree |= _counted(run, recipe)
        write_json(path, tree)
    return tree


_UNTIMED: Tree = {"slices": SLICES, "bundle_bytes": None, "seconds": None, "seconds_highest": None, "note": None}


def _counted(run: Path, recipe: Recipe) -> Tree:
    slices = sum(_of_network(stage) * stage.views for stage in _asked(run, recipe))
    exams = sum(_of_exam_network(run / path / EXAM) for path in exam_networks(recipe))
    return {
        "recipe": recipe.fingerprint(),
        "parameters": parameters_of_run(run, recipe),
        "multiply_adds": slices,
        "exam_multiply_adds": exams // SLICES,
    }


def _exported(run: Path, recipe: Recipe) -> Path:
    """A bundle beside the run until it is timed: a study that was stopped need not make it again."""
    bundle = run.parent / f"to-be-timed-{recipe.fingerprint()}.ichnos"
    if not bundle.exists():
        export_runs([run], bundle, SILENT, ExportOptions(), device="cpu")
    return bundle


def _read_in_turn(bundles: Mapping[str, Path], progress: Progress) -> dict[str, list[float]]:
    """The seconds of each round. One bundle is open at a time: a field of many would not fit into memory."""
    if not bundles:
        return {}
    hu = make_exam(CohortSettings(exams=1, seed=0, slices=(SLICES, SLICES)), 0).hu
    taken: dict[str, list[float]] = {name: [] for name in bundles}
    with progress.task("Timing reading, all in turn", ROUNDS * len(bundles)) as task:
        for _ in range(ROUNDS):
            for name, bundle in bundles.items():
                engine = Engine(read_bundle(bundle), threads=1)
                engine.run(hu[:2])  # the first call makes room for what the others use again
                began = time.perf_counter()
                engine.run(hu)
                taken[name].append(time.perf_counter() - began)
                task.advance()
    return taken


def parameters_of_run(run: Path, recipe: Recipe) -> int:
    """Of everything that reads: the networks of slices, and networks of exams, whose sizes their slice stages decide
    (boosted trees have none)."""
    return sum(map(_reading_parameters, _asked(run, recipe))) + sum(
        parameters_of(load_exam_network(best_of(run / path / EXAM))[0]) for path in exam_networks(recipe)
    )


def _asked(run: Path, recipe: Recipe) -> list[SliceRecipe]:
    """Every network of slices that reads. Of an ensemble's members whose slice networks are the same, one is asked."""
    if not isinstance(recipe, EnsembleRecipe):
        return [*recipe.stages.values()]
    asked: dict[str, list[SliceRecipe]] = {}
    for path, member in recipe.parts.items():
        stages = {join(path, stage): each for stage, each in member.stages.items()}
        asked.setdefault(digest_of([run / stage for stage in stages]), [*stages.values()])
    return [stage for stages in asked.values() for stage in stages]


def _reading_parameters(stage: SliceRecipe) -> int:
    """Without the auxiliary head of masks, which training alone has."""
    return parameters_of(SliceClassifier.seeded(stage.derive(segmentation=None), 0))


def _of_network(stage: SliceRecipe) -> int:
    road = stage.input
    return cost_of(stage.network, road.channels, road.size, road.slices)[1]


def _of_exam_network(stage: Path) -> int:
    trained = load_exam_checkpoint(best_of(stage))
    return multiply_adds_of_exam(trained.recipe, SliceSizes(**trained.metadata["sizes"]), SLICES)
