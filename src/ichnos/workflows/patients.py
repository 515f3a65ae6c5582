"""How a recipe grows with data: trained on shares of the training patients, measured on the same test patients."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import ValidationError

from ichnos.counting import counted
from ichnos.data.splits import Part
from ichnos.errors import OutputError, UsageError
from ichnos.evaluation.levels import Judged, Level, judge
from ichnos.evaluation.multiplicity import holm
from ichnos.evaluation.patient_curve import LevelCurve, measure_curve
from ichnos.evaluation.readout import fit_readout, reported_labels
from ichnos.files import replacing, write_json, write_parquet
from ichnos.findings import NOTICE
from ichnos.models.checkpoint import load_checkpoint
from ichnos.predictions import Predictions
from ichnos.progress import Progress
from ichnos.readout import Readout
from ichnos.recipe import Recipe
from ichnos.reporting.patients import write_patients
from ichnos.subtypes import Subtype
from ichnos.training.loop import TrainingSummary
from ichnos.workflows.cost import parameters_of_run
from ichnos.workflows.folds import VERSIONS, each_stage
from ichnos.workflows.measured import BOOTSTRAP_SEED, PREDICTIONS, SCORECARD
from ichnos.workflows.seen import check_first_weights
from ichnos.workflows.shares import Draw, PatientsOptions, Point, draw_points, equal_words, held_equal, of_repeat
from ichnos.workflows.study import skipped_reasons
from ichnos.workflows.train import OpenData, Sets, check_epochs, open_data, train_stages
from ichnos.workflows.trained import open_run
from ichnos.workflows.trained_model import best_of

Tree = dict[str, Any]

CLAIM = "study.json"
"""What the folder of such a study is known by: of which recipe, data and draws its runs are."""

ORDER = "training_patients.parquet"
"""Who is in which point: a row a repeat and training patient, with their place; a point has the first so many."""

SAID = "readout.json"
"""Beside a run's PREDICTIONS: what judged them, and of which weights they are."""


@dataclass(frozen=True, eq=False)
class _Run:
    """One run of a point, trained, and what it says of the test part."""

    folder: Path
    draw: Draw
    exams: int
    slices: int
    summaries: dict[str, TrainingSummary]
    readout: Readout
    judged: dict[Level, Judged]


def study_patients(
    recipe: Recipe,
    data: Sets,
    out: Path,
    progress: Progress,
    options: PatientsOptions | None = None,
    *,
    device: str = "auto",
) -> Tree:
    """Train `recipe` on each share of the training patients and measure all on the same test patients.

    Validation and test part stay whole: validation patients choose the epoch, calibrate and fit the readout of every
    run alike. Writes into `out`: a run a share and repeat, with its test predictions; who is in which; scorecard.json,
    report.md, report.html and figures/. Goes on where it stopped; more shares and repeats are added to what is there.
    Returns the scorecard. Raises UsageError where a share cannot be, OutputError where `out` holds something else.
    """
    options = options or PatientsOptions()
    opened = open_data(data, options.fold)
    if not opened.prepared.header.teaches:
        raise UsageError("this set has no labels of single slices: nothing can be learnt from it")
    if options.fold is not None and not 0 <= options.fold < opened.splits.folds:
        raise UsageError(f"no fold {options.fold}: this set has folds 0 to {opened.splits.folds - 1}")
    check_first_weights(recipe, opened.origin, at_all=True)
    check_epochs(recipe, opened)
    points = draw_points(opened, recipe, options.shares, options.repeats, options.seed)
    recipe = held_equal(recipe, opened, options.equal)
    _claim(out, recipe, opened, options)
    _write_order(out, points[-1].draws)
    runs: list[list[_Run]] = []
    total = sum(point.patients * len(point.draws) for point in points)
    with progress.task("Training patients, all runs", total) as task:
        for point in points:
            runs.append([])
            for draw in point.draws:
                progress.message(_announced(point, draw, len(point.draws)))
                runs[-1].append(_run(of_repeat(recipe, draw.repeat), opened, out, draw, progress, device))
                task.advance(point.patients)
    card = _scorecard(recipe, opened, points, runs, options, progress) | {"command": options.command(data, out)}
    write_json(out / SCORECARD, card)
    write_patients(card, recipe, out, progress)
    return card


def _announced(point: Point, draw: Draw, repeats: int) -> str:
    which = f", run {draw.repeat + 1} of {repeats}" if repeats > 1 else ""
    return f"{point.share:g} of the training patients: {counted(point.patients, 'patient')}{which}"


def _claim(out: Path, recipe: Recipe, data: OpenData, options: PatientsOptions) -> None:
    """See that the folder is free or this study's, and mark it. Raises OutputError where it is something else's."""
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file; give --out a folder")
    wanted: Tree = {
        "form": "ichnos-patients",
        "recipe": recipe.model_dump(mode="json"),
        "set": data.prepared.header.fingerprint,
        "split_seed": data.splits.seed,
        "folds": data.splits.folds,
        "fold": data.fold,
        "seed": options.seed,
    }
    if not (out / CLAIM).exists():
        if out.exists() and any(out.iterdir()):
            raise OutputError(f"{out} holds other files already; give --out a new or empty folder")
        write_json(out / CLAIM, wanted)
        return
    try:
        found = json.loads((out / CLAIM).read_bytes())
    except ValueError as error:
        raise OutputError(f"{out / CLAIM} is damaged ({error}); give --out a new folder, or remove this one") from error
    found = found | {"recipe": _as_now(found.get("recipe"), recipe)} if isinstance(found, dict) else {}
    if differing := [name for name, value in wanted.items() if found.get(name) != value]:
        raise OutputError(
            f"{out} holds another study: other {', '.join(name.replace('_', ' ') for name in differing)}; give --out a "
            "new folder, or remove this one"
        )


def _as_now(tree: Any, recipe: Recipe) -> Any:
    """A recipe that was written before a field was added is the same recipe with that field's default."""
    try:
        return type(recipe).model_validate(tree).model_dump(mode="json")
    except ValidationError:
        return tree


def _write_order(out: Path, draws: Sequence[Draw]) -> None:
    told = [(draw.repeat, place, patient) for draw in draws for place, patient in enumerate(draw.order)]
    write_parquet(out / ORDER, pl.DataFrame(told, schema=["repeat", "place", "patient"], orient="row"))


def _run(recipe: Recipe, data: OpenData, out: Path, draw: Draw, progress: Progress, device: str) -> _Run:
    """Train what is not trained yet, and ask what was not asked yet."""
    folder = out / f"patients-{draw.count}" / f"run-{draw.repeat}"
    data = replace(data, patients=draw.patients)
    summaries = train_stages(recipe, data, folder, progress, device=device)
    readout, test = _said(folder, data, progress, device)
    learnt = data.prepared.exams[data.rows(recipe.population, Part.TRAIN)]
    judged = judge(test, reported_labels(test), readout)
    return _Run(folder, draw, len(np.unique(learnt)), len(learnt), summaries, readout, judged)


def _said(folder: Path, data: OpenData, progress: Progress, device: str) -> tuple[Readout, Predictions]:
    """The readout that the validation patients gave, and the test slices as the run's networks give them; kept."""
    model = open_run(folder)
    digest = model.digest()
    if (folder / SAID).exists() and (folder / PREDICTIONS).exists():
        kept = json.loads((folder / SAID).read_bytes())
        if kept["of"] == digest:
            return Readout.model_validate(kept["readout"]), Predictions.read_parquet(folder / PREDICTIONS)
    validation, test = (model.predict(data, part, progress, device=device) for part in (Part.VALIDATION, Part.TEST))
    readout = fit_readout(validation).readout
    with replacing(folder / PREDICTIONS) as temporary:
        test.write_parquet(temporary)
    write_json(folder / SAID, {"of": digest, "readout": readout.model_dump(mode="json")})
    return readout, test


def _scorecard(
    recipe: Recipe,
    data: OpenData,
    points: Sequence[Point],
    runs: Sequence[Sequence[_Run]],
    options: PatientsOptions,
    progress: Progress,
) -> Tree:
    first = runs[0][0]
    levels = _levels(recipe, runs, options.resamples, progress)
    tests = _correct(levels)
    stages = {s: load_checkpoint(best_of(first.folder / s)).metadata["first_weights"] for s in recipe.stages}
    return {
        "form": "ichnos-patients",
        "notice": NOTICE,
        "recipe": recipe.model_dump(mode="json"),
        "changes": dict(options.changes),
        "source": data.prepared.header.source,
        "set": data.prepared.header.fingerprint,
        "split_seed": data.splits.seed,
        "folds": data.splits.folds,
        "fold": data.fold,
        "seed": options.seed,
        "repeats": options.repeats,
        "equal": options.equal.value,
        "held_equal": equal_words(recipe, options.equal),
        "counts": _counts(recipe, data),
        "skipped": [asdict(reason) for reason in skipped_reasons(data.prepared)],
        "first_weights": each_stage(stages),
        "parameters": parameters_of_run(first.folder, recipe),
        "bootstrap_seed": BOOTSTRAP_SEED,
        "resamples": options.resamples,
        "tests": tests,
        "points": [_point_json(point, each) for point, each in zip(points, runs, strict=True)],
        "levels": levels,
        "versions": {name: version(name) for name in VERSIONS},
    }


def _counts(recipe: Recipe, data: OpenData) -> Tree:
    """Of the set, and of each part what has slices of the recipe's population."""
    index = data.prepared.index
    counts: Tree = {name: index[column].n_unique() for name, column in (("patients", "patient"), ("exams", "exam"))}
    for part in Part:
        chosen = index[data.rows(recipe.population, part)]
        counts[part.value] = {
            "patients": chosen["patient"].n_unique(),
            "exams": chosen["exam"].n_unique(),
            "slices": len(chosen),
        }
    return counts | {"slices": counts[Part.TEST.value]["slices"]}


def _levels(recipe: Recipe, runs: Sequence[Sequence[_Run]], resamples: int, progress: Progress) -> Tree:
    """By level: slices alone of a recipe of positives, and no patients where each has one exam."""
    first = runs[0][0]
    reported = first.readout.reported
    positives_only = recipe.population.slices == "positives"
    named = tuple(c for c in reported if c is not Subtype.ANY or not positives_only)
    levels = [Level.SLICE] if positives_only else list(Level)
    if len(first.judged[Level.PATIENT]) == len(first.judged[Level.EXAM]):
        levels = [level for level in levels if level is not Level.PATIENT]
    found: dict[str, LevelCurve] = {}
    with progress.task("Measuring, by resamples of patients", len(levels) * len(runs)) as task:
        for level in levels:
            judged = [[run.judged[level] for run in each] for each in runs]
            found[level.value] = measure_curve(
                judged, reported, named, seed=BOOTSTRAP_SEED, resamples=resamples, advance=task.advance
            )
    return {level: curve.to_json() for level, curve in found.items()}


def _correct(levels: Tree) -> int:
    """Lay Holm's p beside each gain's own: levels, points and classes are one family. Returns how many there are."""
    gains = [
        auc["gain_of_the_largest"]
        for level in levels.values()
        for point in level["points"]
        for auc in point.values()
        if auc["gain_of_the_largest"] is not None
    ]
    for gain, p in zip(gains, holm([gain["bootstrap_p"] for gain in gains]), strict=True):
        gain["holm_p"] = p
    return sum(gain["bootstrap_p"] is not None for gain in gains)


def _point_json(point: Point, runs: Sequence[_Run]) -> Tree:
    return {"share": point.share, "patients": point.patients, "runs": [_run_json(run) for run in runs]}


def _run_json(run: _Run) -> Tree:
    summaries = run.summaries
    steps = {name: summary.journal[-1]["step"] for name, summary in summaries.items()}
    return {
        "repeat": run.draw.repeat,
        "folder": "/".join(run.folder.parts[-2:]),
        "exams": run.exams,
        "slices": run.slices,
        "positive_patients": {c.value: count for c, count in run.draw.positives.items()},
        "epochs": each_stage({name: summary.epochs for name, summary in summaries.items()}),
        "best_epoch": each_stage({name: summary.best_epoch for name, summary in summaries.items()}),
        "steps": each_stage(steps),
        "validation_loss": each_stage({name: summary.best_validation_loss for name, summary in summaries.items()}),
        "aggregator": run.readout.aggregator.text,
        "seconds": round(sum(summary.seconds for summary in summaries.values()), 1),
        "trained": _environment(next(iter(summaries.values())).run),
    }


def _environment(run: Path) -> Tree:
    """On what it was trained and when, as the run has it."""
    told = json.loads((run / "environment.json").read_bytes())
    machine = told["machine"]
    return {
        "device": told["device"],
        "precision": told["precision"],
        "processor": machine["processor"],
        "system": f"{machine['system']} {machine['architecture']}",
        "threads": told["threads"],
        "started": told["started"][:10],
        "versions": told["versions"],
    }
