"""What a trained run costs: parameters and multiply-adds counted, reading time measured on this machine's CPU."""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from ichnos.errors import UsageError
from ichnos.files import write_json
from ichnos.inference.bundle import read_bundle
from ichnos.inference.engine import Engine
from ichnos.models.classifier import SliceClassifier
from ichnos.models.cost import cost_of, parameters_of
from ichnos.models.exam_checkpoint import load_exam_network
from ichnos.phantom import CohortSettings, make_exam
from ichnos.progress import SILENT, Progress
from ichnos.recipe import EXAM, EnsembleRecipe, Recipe, SliceRecipe, exam_networks, join
from ichnos.workflows.export import ExportOptions, export_runs
from ichnos.workflows.trained_model import best_of, digest_of

SLICES = 36
"""Of the exam that is read, 512 × 512 each."""

_RUNS = 3


def cost_of_run(run: Path, recipe: Recipe, progress: Progress) -> dict[str, Any]:
    """parameters (of what reads), multiply_adds (one slice through every network of slices, in all its views),
    bundle_bytes, and seconds that the exported graphs take for an exam of 36 slices on one core (the median of three).
    Kept in cost.json beside the run.

    A recipe of which no bundle can be made has None for the last two, and `note` says why.
    """
    kept = run.parent / "cost.json"
    if kept.exists():
        tree = json.loads(kept.read_bytes())
        if tree.get("recipe") == recipe.fingerprint():
            return tree
    stages = _asked(run, recipe)
    tree: dict[str, Any] = {
        "recipe": recipe.fingerprint(),
        "parameters": parameters_of_run(run, recipe),
        "multiply_adds": sum(_of_network(stage) * _views(stage) for stage in stages),
        "slices": SLICES,
        "bundle_bytes": None,
        "seconds": None,
        "note": None,
    }
    try:
        tree |= _read_by(run, progress)
    except UsageError as error:
        tree["note"] = str(error)
    write_json(kept, tree)
    return tree


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


def _views(stage: SliceRecipe) -> int:
    return 1 if stage.test_time is None else stage.test_time.views


def _read_by(run: Path, progress: Progress) -> dict[str, Any]:
    """The bundle's size and how long it reads."""
    with tempfile.TemporaryDirectory() as folder, progress.task("Exporting, to time its reading", 1) as task:
        bundle = Path(folder) / "run.ichnos"
        export_runs([run], bundle, SILENT, ExportOptions(), device="cpu")
        size = bundle.stat().st_size
        engine = Engine(read_bundle(bundle), threads=1)
        hu = make_exam(CohortSettings(exams=1, seed=0, slices=(SLICES, SLICES)), 0).hu
        engine.run(hu[:2])
        taken: list[float] = []
        for _ in range(_RUNS):
            began = time.perf_counter()
            engine.run(hu)
            taken.append(time.perf_counter() - began)
        task.advance()
    return {"bundle_bytes": size, "seconds": round(float(np.median(taken)), 4)}
