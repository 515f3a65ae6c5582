"""From a trained run to its predictions and its scorecard on patients that it has not seen."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ichnos.data.splits import Part
from ichnos.errors import UsageError
from ichnos.evaluation import PatientResamples, evaluate
from ichnos.evaluation.level_measures import Measuring
from ichnos.evaluation.levels import Level, judge
from ichnos.evaluation.readout import fit_readout, reported_labels
from ichnos.files import write_json
from ichnos.models.checkpoint import load_checkpoint, read_tensors
from ichnos.models.initial_weights import origins
from ichnos.progress import Progress
from ichnos.readout import Readout
from ichnos.reporting.evaluation import EvaluationReport, write_evaluation
from ichnos.reporting.style import Picture
from ichnos.workflows.errors import error_pictures
from ichnos.workflows.measured import (
    BOOTSTRAP_SEED,
    SCORECARD,
    EvaluationOptions,
    about_the_set,
    levels_of,
    measure_levels,
    see_that_it_is_free,
    see_that_subgroups_can_be,
    subgroups_of,
    write_tables,
)
from ichnos.workflows.train import OpenData, open_data
from ichnos.workflows.trained import open_run, population_text
from ichnos.workflows.trained_exam import TrainedExam
from ichnos.workflows.trained_model import Trained, best_of


def evaluate_run(
    run: Path,
    data: Path,
    out: Path,
    progress: Progress,
    options: EvaluationOptions | None = None,
    *,
    fold: int | None = None,
    device: str = "auto",
) -> dict[str, Any]:
    """Measure the best checkpoint of `run` on the test part of `data`; write its scorecard, report and predictions.

    On its own set the readout (calibration, thresholds, exam aggregation) is fitted on the run's validation patients.
    fold: None takes the run's own. Another set than the run's is an external one, and the scorecard says so. Raises
    WeightsError where the run has no checkpoint, UsageError where the part holds patients that the run learnt from or
    the set has no labels for it, OutputError where `out` holds a scorecard already.
    """
    options = options or EvaluationOptions()
    see_that_it_is_free(out)
    if options.mapping:
        raise UsageError("--map is for bundles: a run is measured on the classes that it was trained on")
    opened = open_data(data, fold)
    see_that_subgroups_can_be(opened.prepared, options)
    model = open_run(run)
    opened, external = unseen(checkpoints_of(model), opened)
    positives_only = model.recipe.population.slices == "positives"
    _see_that_labels_suffice(opened, positives_only=positives_only)
    predictions = model.predict(opened, Part.TEST, progress, device=device)
    readout, points = _readout(model, opened, progress, device, external=external, positives_only=positives_only)
    judged = judge(predictions, reported_labels(predictions), readout)
    levels = (Level.SLICE,) if positives_only else levels_of(opened.prepared)
    labelled = tuple(c for c in readout.reported if c in opened.prepared.header.labelled)
    labelled = tuple(c for c in labelled if c in predictions.classes) if positives_only else labelled
    asked = Measuring(readout.reported, labelled, options.prevalence, BOOTSTRAP_SEED, options.resamples)
    subgroups = None if positives_only else subgroups_of(opened.prepared, judged[Level.EXAM], readout, options, asked)
    scorecard: dict[str, Any] = {
        "form": "ichnos-evaluation",
        "notice": "Research use only. Not a medical device.",
        "run": run.name,
        "checkpoint": model.digest(),
        "model": _about(model, points, calibrated=readout.calibrated),
        "part": Part.TEST.value,
        "fold": opened.fold,
        "external": external,
        **about_the_set(opened.prepared, labelled, options),
        "doubts": _doubts(opened, positives_only=positives_only),
        "levels": measure_levels(judged, levels, readout, asked),
    }
    if Level.SLICE in levels:
        resamples = PatientResamples.draw(predictions.patient, BOOTSTRAP_SEED, options.resamples)
        raw = evaluate(predictions.probabilities, predictions.labels, predictions.classes, resamples)
        scorecard |= {"test": raw.to_json()}
    if subgroups:
        scorecard |= {"subgroups": subgroups}
    errors: tuple[Picture, ...] = ()
    if not positives_only:
        rows = opened.rows(model.recipe.population, Part.TEST)
        whole = (judged[Level.SLICE], judged[Level.EXAM], readout.reported, labelled)
        errors = error_pictures(opened.prepared, rows, *whole, heat=None)
    write_tables(out, predictions, judged[Level.EXAM], readout.reported)
    write_evaluation(EvaluationReport(scorecard, judged, readout.reported, errors), out)
    write_json(out / SCORECARD, scorecard)
    return scorecard


def _see_that_labels_suffice(opened: OpenData, *, positives_only: bool) -> None:
    header = opened.prepared.header
    if not header.labelled:
        raise UsageError("this set has no labels, so nothing can be measured on it; `ichnos submit` predicts it")
    if positives_only and not header.teaches:
        raise UsageError(
            "this run knows slices with hemorrhage only, and this set's labels do not say which slices those are; give "
            "a set with labelled slices"
        )


def _readout(
    model: Trained,
    data: OpenData,
    progress: Progress,
    device: str,
    *,
    external: bool,
    positives_only: bool,
) -> tuple[Readout, str]:
    """Fitted on the run's own validation patients where they are at hand; and in words where it comes from."""
    if positives_only:
        return Readout.uncalibrated(model.recipe.classes), "0.5: single slices with hemorrhage need no others"
    if external:
        return Readout.uncalibrated(model.recipe.classes), (
            "0.5: the run's validation patients are not in this set; export a bundle, which carries its own points"
        )
    validation = model.predict(data, Part.VALIDATION, progress, device=device)
    patients = len(np.unique(validation.patient))
    return fit_readout(validation).readout, f"fixed before: chosen on the run's {patients} validation patients"


def _about(model: Trained, points: str, *, calibrated: bool) -> dict[str, Any]:
    """What a scorecard says of the model, as of a bundle."""
    return {
        "kind": "run",
        "title": model.recipe.title,
        "digest": model.digest(),
        "recipe": model.recipe.name,
        "trained_on": load_checkpoint(best_of(model.models[0].runs[0])).metadata["origin"].get("source"),
        "population": population_text(model.recipe),
        "demonstration": None,
        "calibrated": calibrated,
        "operating_points": points,
    }


def _doubts(data: OpenData, *, positives_only: bool) -> list[str]:
    doubts: list[str] = []
    if data.prepared.header.source == "phantom":
        doubts.append("These slices are synthetic: the numbers say nothing of patients.")
    if positives_only:
        doubts.append(
            "Trained and measured on slices with hemorrhage alone: nothing is said of finding them, of exams or of "
            "patients, and specificity is among slices with another hemorrhage."
        )
    return doubts


def checkpoints_of(model: Trained) -> list[Path]:
    """Of every part that has learnt from patients."""
    heads = [best_of(model.run)] if isinstance(model, TrainedExam) else []
    return [best_of(each.runs[0]) for each in model.models] + heads


def unseen(checkpoints: list[Path], opened: OpenData) -> tuple[OpenData, bool]:
    """The data with a fold whose test part the run has not learnt from, and whether the set is another one."""
    metadata = [read_tensors(checkpoint)[1]["metadata"] for checkpoint in checkpoints]
    origin, *others = (each["origin"] for each in metadata)
    if any(other != origin for other in others):
        raise UsageError(
            "the stages of this run were trained on different sets, splits or folds, so no patients are left that none "
            "of them has seen for sure; train it anew with `ichnos train`"
        )
    known = [each for told in metadata for each in origins(told)]
    mine = [each for each in known if each.get("set") == opened.origin["set"]]
    if not mine:
        return opened, True
    if any(each.get("everyone") for each in mine):
        raise UsageError(
            "this run was trained on every patient of this set, so none is left to measure it on; measure it on "
            "another set, or its procedure with `ichnos study folds`"
        )
    if any(each.get("split") for each in mine):
        raise UsageError(
            "this run's split was drawn for several sets together, so this set alone has no patients that it is known "
            "not to have seen; its own study has measured it"
        )
    if opened.fold is None:
        opened = replace(opened, fold=mine[0]["fold"])
    for each in mine:
        differing = [key for key in ("split_seed", "folds", "fold") if opened.origin[key] != each[key]]
        if differing:
            said = ", ".join(f"{key} {each[key]} then, {opened.origin[key]} now" for key in differing)
            raise UsageError(
                f"this run was trained on another split of this set ({said}), so it learnt from patients that would be "
                "measured; leave --fold out to measure it on its own test patients"
            )
    return opened, False
