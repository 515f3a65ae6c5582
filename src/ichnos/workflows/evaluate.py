"""From a trained run to its predictions and its scorecard on patients that it has not seen."""

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ichnos.counting import counted
from ichnos.data.splits import Part
from ichnos.errors import FittedTogetherError, UsageError
from ichnos.evaluation import PatientResamples, evaluate
from ichnos.evaluation.level_measures import Measuring
from ichnos.evaluation.levels import Judged, Level, judge
from ichnos.evaluation.readout import fit_readout
from ichnos.files import replacing, write_json
from ichnos.findings import NOTICE
from ichnos.models.checkpoint import read_header
from ichnos.models.initial_weights import origins
from ichnos.predictions import Predictions
from ichnos.progress import Progress
from ichnos.readout import Readout
from ichnos.recipe import AnomalyRecipe, ExamRecipe, Population
from ichnos.reporting.evaluation import EvaluationReport, write_evaluation
from ichnos.reporting.style import Picture
from ichnos.reporting.unfitted import LACKING, Unfitted
from ichnos.subtypes import Subtype
from ichnos.workflows.cost import parameters_of_run
from ichnos.workflows.errors import error_pictures
from ichnos.workflows.measured import (
    BOOTSTRAP_SEED,
    SCORECARD,
    SLICES,
    EvaluationOptions,
    about_the_set,
    demographics_of,
    levels_of,
    measure_levels,
    see_that_no_report_is_there,
    see_that_options_are_of,
    thresholds_of,
    write_tables,
)
from ichnos.workflows.provenance import joined, stages_of_run, versions_of, versions_of_run
from ichnos.workflows.run_maps import RunMaps
from ichnos.workflows.seen import unseen
from ichnos.workflows.train import OpenData, open_data
from ichnos.workflows.trained import open_run, population_text
from ichnos.workflows.trained_model import Trained, best_of
from ichnos.workflows.trained_together import exams_within

Tree = dict[str, Any]


@dataclass(frozen=True, eq=False)
class _Opened:
    """A run, and patients that it has not seen."""

    run: Path
    model: Trained
    data: OpenData
    external: bool
    """Whether the set is another than the run's."""
    device: str

    @property
    def positives_only(self) -> bool:
        """Whether it knows slices with hemorrhage alone: single slices are judged, no exams."""
        return self.model.recipe.population.slices == "positives"

    @property
    def reported(self) -> tuple[Subtype, ...]:
        """The columns of what is judged."""
        return Readout.uncalibrated(self.model.recipe.classes).reported

    @property
    def measured(self) -> tuple[Subtype, ...]:
        """Those of them that the set labels; among positives `any` tells nothing apart."""
        labelled = [c for c in self.reported if c in self.data.prepared.header.labelled]
        return tuple(c for c in labelled if c in self.model.recipe.classes or not self.positives_only)

    @property
    def levels(self) -> tuple[Level, ...]:
        """At which its word is judged."""
        return (Level.SLICE,) if self.positives_only else levels_of(self.data.prepared)


@dataclass(frozen=True, eq=False)
class _Said:
    """What it says of the test part."""

    predictions: Predictions
    """Raw, of the run's own classes."""
    readout: Readout
    points: str
    """Where its operating points come from, in words."""
    unfitted: Unfitted
    """What of its readout could not be fitted."""
    judged: dict[Level, Judged]


def evaluate_run(
    run: Path,
    data: Path,
    out: Path,
    progress: Progress,
    options: EvaluationOptions | None = None,
    *,
    fold: int | None = None,
    device: str = "auto",
) -> Tree:
    """Measure the best checkpoint of `run` on the test part of `data`; write its scorecard, report and predictions.

    On its own set the readout (calibration, thresholds, exam aggregation) is fitted on the run's validation patients.
    fold: None takes the run's own. Another set than the run's is an external one, and the scorecard says so. Raises
    WeightsError where the run has no checkpoint or gives no probabilities, UsageError where the part holds patients
    that the run learnt from or the set has no labels for it, OutputError where `out` holds a scorecard already.
    """
    options = options or EvaluationOptions()
    see_that_no_report_is_there(out)
    opened = _open(run, data, options, fold, device)
    said = _ask(opened, options, progress)
    asked = Measuring(
        opened.reported,
        opened.measured,
        options.prevalence,
        BOOTSTRAP_SEED,
        options.resamples,
        options.thresholds,
    )
    maps = None if opened.positives_only else RunMaps(opened.model, opened.data.prepared, device=device)
    scorecard = _scorecard(opened, said, asked, options, progress) | _localised(opened, maps, options, progress)
    scorecard["command"] = options.command(run, data, out, fold)
    scorecard["model"] |= {"map_cells": maps.side} if maps else {}
    write_tables(out, said.predictions, said.judged[Level.EXAM], opened.reported)
    _write_calibrated(opened, said, out)
    errors = _errors(opened, said, maps, progress)
    write_evaluation(EvaluationReport(scorecard, said.judged, opened.reported, errors), out, progress)
    write_json(out / SCORECARD, scorecard)
    return scorecard


def _open(run: Path, data: Path, options: EvaluationOptions, fold: int | None, device: str) -> _Opened:
    """Everything that can be refused before a network runs is refused here."""
    if options.mapping:
        raise UsageError("--map is for bundles: a run is measured on the classes that it was trained on")
    given = open_data(data, fold)
    if fold is not None and not 0 <= fold < given.splits.folds:
        raise UsageError(f"no fold {fold}: this set has folds 0 to {given.splits.folds - 1}")
    model = open_run(run)
    if model.recipe.classes == (Subtype.ANY,):
        raise UsageError(
            f"{model.recipe.name} names `any` alone, and a model that is measured names at least one subtype; train it "
            "as the gate of a cascade (`ichnos train cascade`) and measure that"
        )
    unknown, external = unseen(checkpoints_of(model), given)
    opened = _Opened(run, model, unknown, external, device)
    _see_that_labels_suffice(opened)
    options.subgroups.see_that_it_can_be(given.prepared, judges_exams=not opened.positives_only)
    see_that_options_are_of(opened.measured, options)
    return opened


def _see_that_labels_suffice(opened: _Opened) -> None:
    header = opened.data.prepared.header
    if not header.labelled:
        raise UsageError("this set has no labels, so nothing can be measured on it; `ichnos submit` predicts it")
    if opened.positives_only and not header.teaches:
        raise UsageError(
            "this run knows slices with hemorrhage only, and this set's labels do not say which slices those are; give "
            "a set with labelled slices"
        )


def _ask(opened: _Opened, options: EvaluationOptions, progress: Progress) -> _Said:
    """Labels are the set's own: where it says of a slice that it bleeds and not how, `any` is positive."""
    predictions = opened.model.predict(opened.data, Part.TEST, progress, device=opened.device)
    rows = opened.data.rows(opened.model.recipe.population, Part.TEST)
    labels = opened.data.prepared.labels_of(opened.reported)[rows]
    readout, points, unfitted = _readout(opened, options, progress)
    return _Said(predictions, readout, points, unfitted, judge(predictions, labels, readout))


def _can_be_calibrated(opened: _Opened) -> bool:
    """Whether `ichnos adapt` fits calibration and thresholds of this run on this other set."""
    whole = any(isinstance(each, ExamRecipe | AnomalyRecipe) for each in opened.model.recipe.composites.values())
    return opened.data.prepared.header.teaches and not whole and not _is_of_the_same_source(opened)


def _is_of_the_same_source(opened: _Opened) -> bool:
    """Whether another set of the same source has taught the run, or what it began from."""
    known = itertools.chain.from_iterable(origins(read_header(c)["metadata"]) for c in checkpoints_of(opened.model))
    return opened.external and opened.data.prepared.header.source in {each.get("source") for each in known}


def _readout(opened: _Opened, options: EvaluationOptions, progress: Progress) -> tuple[Readout, str, Unfitted]:
    """Fitted on the run's own validation patients where they are at hand; in words where it comes from; its gaps."""
    measured = frozenset(c.value for c in opened.measured)
    nothing = Unfitted((), measured)
    classes = opened.model.recipe.classes
    if opened.positives_only:
        return Readout.uncalibrated(classes), "0.5: single slices with hemorrhage need no others", nothing
    if opened.external:
        return (
            Readout.uncalibrated(classes),
            (
                "0.5: the run's validation patients are not in this set; export a bundle, which carries its own points"
                f"{', or `ichnos adapt RUN --method calibrate`' if _can_be_calibrated(opened) else ''}"
            ),
            nothing,
        )
    try:
        validation = opened.model.predict(opened.data, Part.VALIDATION, progress, device=opened.device)
    except FittedTogetherError:
        return (
            Readout.uncalibrated(classes),
            (
                "0.5: the run was fitted on the validation patients of several sets together, of whom this one has a "
                "part; export a bundle with every set (--data repeats), which carries its own points"
            ),
            nothing,
        )
    patients = len(np.unique(validation.patient))
    fitted = fit_readout(validation, options.fitting)
    unfitted = Unfitted((fitted.report["notes"],), measured)
    points = f"fixed before: chosen on the run's {counted(patients, 'validation patient')}"
    points += f"; 0.5 {LACKING}: {unfitted.at_half}" if unfitted.at_half else ""
    return fitted.readout, points, unfitted


def _write_calibrated(opened: _Opened, said: _Said, out: Path) -> None:
    """SLICES: what the readout made of them, by which they are called; of the run's own classes among positives."""
    judged = said.judged[Level.SLICE]
    columns = {"classes": opened.reported, "probabilities": judged.probabilities, "labels": judged.labels}
    table = replace(said.predictions, **columns)
    if opened.positives_only:
        table = table.restrict(opened.model.recipe.classes)
    with replacing(out / SLICES) as temporary:
        table.write_parquet(temporary)


def _scorecard(opened: _Opened, said: _Said, asked: Measuring, options: EvaluationOptions, progress: Progress) -> Tree:
    prepared = opened.data.prepared
    card: Tree = {
        "form": "ichnos-evaluation",
        "notice": NOTICE,
        "run": opened.run.name,
        "checkpoint": opened.model.digest(),
        "model": _about(opened, said),
        "part": Part.TEST.value,
        "fold": opened.data.fold,
        "external": opened.external,
        **about_the_set(prepared, opened.measured, options),
        "demographics": demographics_of(prepared, opened.data.rows(opened.model.recipe.population, Part.TEST)),
        **_parts(opened),
        "doubts": [*_doubts(opened), *said.unfitted.sentences],
        "software": {
            "measured": versions_of("ichnos", "torch", "numpy", "scikit-learn"),
            "trained": versions_of_run(opened.model.models[0].runs[0]),
        },
        "levels": measure_levels(said.judged, opened.levels, said.readout, asked, progress),
    }
    if opened.positives_only:
        del card["levels"][Level.SLICE]["classes"][Subtype.ANY]  # labelled, but on every slice: nothing to measure
    if Level.SLICE in opened.levels:
        card |= _of_the_networks_classes(said.predictions, opened.measured, options)
    if not opened.positives_only:
        thresholds = thresholds_of(said.readout, Level.EXAM)
        card |= options.subgroups.measured(prepared, said.judged[Level.EXAM], thresholds, asked)
    return card


def _parts(opened: _Opened) -> Tree:
    """How many patients the run's own split has in each part; nothing of another set, which it does not part."""
    if opened.external:
        return {}
    patients = opened.data.prepared.index["patient"]
    rows = {part: opened.data.rows(Population(slices="all"), part) for part in Part}
    return {"parts": {part.value: patients.gather(each).n_unique() for part, each in rows.items()}}


def _of_the_networks_classes(
    predictions: Predictions, measured: tuple[Subtype, ...], options: EvaluationOptions
) -> Tree:
    """Raw slices, as a study measures them, of the network's outputs that the set labels; nothing where it has none."""
    known = tuple(c for c in predictions.classes if c in measured)
    if not known:
        return {}
    table = predictions.restrict(known)
    resamples = PatientResamples.draw(table.patient, BOOTSTRAP_SEED, options.resamples)
    return {"test": evaluate(table.probabilities, table.labels, known, resamples).to_json()}


def _localised(opened: _Opened, maps: RunMaps | None, options: EvaluationOptions, progress: Progress) -> Tree:
    """Class maps against masks, where there are any of both."""
    if maps is None or not maps.side:
        return {}
    rows = opened.data.rows(opened.model.recipe.population, Part.TEST)
    tree = maps.against_masks(rows, progress).tree(seed=BOOTSTRAP_SEED, resamples=options.resamples)
    return {"localisation": tree} if tree else {}


def _errors(opened: _Opened, said: _Said, maps: RunMaps | None, progress: Progress) -> tuple[Picture, ...] | None:
    """The surest errors in exams, with maps where the network has some; None where exams are not judged."""
    if opened.positives_only:
        return None
    rows = opened.data.rows(opened.model.recipe.population, Part.TEST)
    judged = said.judged[Level.SLICE], said.judged[Level.EXAM]
    heat = maps.heat if maps is not None and maps.side else None
    return error_pictures(
        opened.data.prepared, rows, *judged, opened.reported, opened.measured, heat, progress=progress
    )


def _about(opened: _Opened, said: _Said) -> Tree:
    """What a scorecard says of the model, as of a bundle."""
    model = opened.model
    runs = {path: each.runs[0] for path, each in zip(model.recipe.stages, model.models, strict=True)}
    checkpoints = {path: read_header(best_of(run))["metadata"] for path, run in runs.items()}
    exams = {path: each.metadata for path, each in exams_within(model).items()}
    return {
        "kind": "run",
        "title": model.recipe.title,
        "digest": model.digest(),
        "recipe": model.recipe.name,
        "trained_on": _sources(next(iter(checkpoints.values()))),
        "same_source": _is_of_the_same_source(opened),
        "adapted": next((_adapted(each, opened) for each in checkpoints.values() if "adapted" in each), None),
        "population": population_text(model.recipe),
        "demonstration": None,
        "calibrated": said.readout.calibrated,
        "high_sensitivity": said.readout.high_sensitivity if said.readout.calibrated else None,
        "uncalibrated": said.unfitted.uncalibrated,
        "stages": stages_of_run(model.recipe, checkpoints, exams),
        "parameters": parameters_of_run(opened.run, model.recipe),
        "joined": joined(model.recipe),
        "operating_points": said.points,
    }


def _adapted(metadata: Tree, opened: _Opened) -> Tree:
    """How, to which source's set, whether that is the one measured on, and whether the weights had learnt from it."""
    own = metadata["origin"]
    before = {each.get("set") for each in origins(metadata | {"origin": None})}
    return metadata["adapted"] | {
        "to": own.get("source"),
        "here": not opened.external,
        "known": not before.isdisjoint(each["set"] for each in own.get("sets", [own])),
    }


def _sources(metadata: Tree) -> str | None:
    """Of what a checkpoint's weights were trained with: where they were adapted, not what they were adapted to."""
    if "adapted" not in metadata:
        return metadata["origin"].get("source")
    told = [each.get("source") for each in origins(metadata | {"origin": None})]
    return "+".join(dict.fromkeys(filter(None, told))) or None


def _doubts(opened: _Opened) -> list[str]:
    doubts: list[str] = []
    source = opened.data.prepared.header.source
    if _is_of_the_same_source(opened):
        doubts.append(
            f"The run was trained on another set of the same source ({source}): that no patient is in both must be "
            "known from elsewhere."
        )
    if source == "phantom":
        doubts.append("These slices are synthetic: the numbers say nothing of patients.")
    if opened.positives_only:
        doubts.append(
            "Trained and measured on slices with hemorrhage alone: nothing is said of finding them, of exams or of "
            "patients, and specificity is among slices with another hemorrhage."
        )
    return doubts


def checkpoints_of(model: Trained) -> list[Path]:
    """Of every part that has learnt from patients."""
    heads = [best_of(each.run) for each in exams_within(model).values()]
    return [best_of(each.runs[0]) for each in model.models] + heads
