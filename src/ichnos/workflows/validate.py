"""External validation: a bundle measured on a prepared set that it was not made of, by the reader's own engine."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichnos.data.set import PreparedSet
from ichnos.errors import UsageError
from ichnos.evaluation.intervals import Estimate
from ichnos.evaluation.level_measures import Measuring
from ichnos.evaluation.levels import Judged, Level, judge
from ichnos.files import write_json
from ichnos.findings import NOTICE
from ichnos.inference.bundle import Bundle, read_bundle
from ichnos.inference.engine import Engine
from ichnos.inference.exam import refuse_positives_only
from ichnos.predictions import Predictions
from ichnos.progress import Progress
from ichnos.readout import sigmoid
from ichnos.reporting.evaluation import EvaluationReport, write_evaluation
from ichnos.reporting.exam.heat import placed
from ichnos.reporting.style import Picture
from ichnos.subtypes import Subtype
from ichnos.workflows.errors import error_pictures
from ichnos.workflows.localise import MapsAgainstMasks
from ichnos.workflows.measured import (
    BOOTSTRAP_SEED,
    SCORECARD,
    ClassMapping,
    EvaluationOptions,
    about_the_set,
    demographics_of,
    labels_for,
    levels_of,
    measure_levels,
    see_that_no_report_is_there,
    see_that_options_are_of,
    thresholds_of,
    write_tables,
)
from ichnos.workflows.provenance import joined, stages_of_bundle, versions_of

EXTERNAL = "external"
"""The part of predictions of a set that the model was not made of."""

Tree = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Validated:
    """A bundle's word on every slice of a set, and what is so."""

    bundle: Bundle
    engine: Engine
    prepared: PreparedSet
    labelled: tuple[Subtype, ...]
    judged: dict[Level, Judged]
    predictions: Predictions
    """Calibrated, of the reported classes, a row a slice of the set's index."""
    localised: MapsAgainstMasks


def evaluate_bundle(
    bundle: Path, data: Path, out: Path, progress: Progress, options: EvaluationOptions | None = None
) -> Tree:
    """Measure `bundle` on all of the set `data`; write its scorecard, report and predictions.

    Every slice goes the reader's way: ONNX Runtime, smoothing, calibration, aggregation and thresholds of the bundle.
    Raises BundleError where the bundle cannot be opened or was trained on positives only, UsageError where the set is
    the one that it was made of or labels none of its classes, OutputError where `out` holds a scorecard already.
    """
    options = options or EvaluationOptions()
    see_that_no_report_is_there(out)
    opened, prepared = read_bundle(bundle), PreparedSet(data)
    options.subgroups.see_that_it_can_be(prepared)
    validated = validate(opened, prepared, progress, options)
    scorecard = _scorecard(validated, options, progress) | {"command": options.command(bundle, data, out)}
    reported = opened.manifest.readout.reported
    write_tables(out, validated.predictions, validated.judged[Level.EXAM], reported)
    report = EvaluationReport(scorecard, validated.judged, reported, _errors(validated, options.mapping, progress))
    write_evaluation(report, out, progress)
    write_json(out / SCORECARD, scorecard)
    return scorecard


def _scorecard(validated: Validated, options: EvaluationOptions, progress: Progress) -> Tree:
    opened, readout = validated.bundle, validated.bundle.manifest.readout
    asked = Measuring(
        readout.reported,
        validated.labelled,
        options.prevalence,
        BOOTSTRAP_SEED,
        options.resamples,
        options.thresholds,
    )
    exams, thresholds = validated.judged[Level.EXAM], thresholds_of(readout, Level.EXAM)
    subgroups = options.subgroups.measured(validated.prepared, exams, thresholds, asked)
    scorecard: Tree = {
        "form": "ichnos-evaluation",
        "notice": NOTICE,
        "model": about_the_bundle(opened),
        "part": EXTERNAL,
        "external": True,
        **about_the_set(validated.prepared, validated.labelled, options),
        "demographics": demographics_of(validated.prepared, np.arange(validated.prepared.header.slices)),
        "doubts": doubts_of(opened, validated.prepared),
        "software": {
            "measured": versions_of("ichnos", "onnxruntime", "numpy", "scikit-learn"),
            "exported": dict(opened.manifest.made_with),
        },
        "levels": measure_levels(validated.judged, levels_of(validated.prepared), readout, asked, progress),
    }
    if options.mapping and Level.SLICE in scorecard["levels"]:
        none = Estimate(None, None, "not Kaggle's: classes are mapped").to_json()
        scorecard["levels"][Level.SLICE]["kaggle_loss"] = {"before": none, "after": none}
    scorecard |= subgroups
    localised = validated.localised.tree(seed=BOOTSTRAP_SEED, resamples=options.resamples)
    return scorecard | ({"localisation": localised} if localised else {})


def validate(bundle: Bundle, prepared: PreparedSet, progress: Progress, options: EvaluationOptions) -> Validated:
    """Run the bundle on every slice of the set. Raises as evaluate_bundle does."""
    refuse_positives_only(bundle)
    _refuse_its_own_set(bundle, prepared)
    readout = bundle.manifest.readout
    labels, labelled = labels_for(prepared, readout.reported, options.mapping)
    see_that_options_are_of(labelled, options)
    engine, localised = Engine(bundle), MapsAgainstMasks(prepared, readout.classes, options.mapping)
    outputs = outputs_of(engine, prepared, readout.classes, progress, watch=localised)
    judged = judge(outputs, labels, readout)
    said = Predictions(
        readout.reported,
        outputs.patient,
        outputs.exam,
        outputs.slice_name,
        outputs.offset,
        judged[Level.SLICE].probabilities,
        labels,
        EXTERNAL,
        prepared.header.labels_of,
    )
    return Validated(bundle, engine, prepared, labelled, judged, said, localised)


def outputs_of(
    engine: Engine,
    prepared: PreparedSet,
    classes: tuple[Subtype, ...],
    progress: Progress,
    watch: Callable[[NDArray[np.intp], NDArray[np.float32]], None] | None = None,
) -> Predictions:
    """Raw σ(logit) of every slice of a set, an exam at a time; labels are left empty.

    watch: is given each exam's rows of the index and its maps (rows, outputs, h, w), where the bundle makes maps.
    """
    index = prepared.index
    offsets = index["offset"].to_numpy().astype(np.float64)
    _, unit = np.unique(prepared.exams, return_inverse=True)
    logits = np.empty((len(index), len(classes)))
    with progress.task("Reading slices with the bundle", len(index)) as task:
        for rows in np.split(np.lexsort((offsets, unit)), np.cumsum(np.bincount(unit))[:-1]):
            said = engine.run(slices_of(prepared, rows), offsets[rows])
            logits[rows] = said.logits
            if watch is not None and said.maps is not None:
                watch(rows, said.maps)
            task.advance(len(rows))
    return Predictions(
        classes,
        index["patient"].to_numpy().astype(np.str_),
        prepared.exams,
        index["name"].to_numpy().astype(np.str_),
        offsets,
        sigmoid(logits),
        np.zeros(logits.shape, np.bool_),
        EXTERNAL,
        prepared.header.labels_of,
    )


def slices_of(prepared: PreparedSet, rows: NDArray[np.intp]) -> list[NDArray[np.int16]]:
    """HU of some rows of the index."""
    return [prepared.hu(int(row)) for row in rows]


def _errors(validated: Validated, mapping: ClassMapping, progress: Progress) -> tuple[Picture, ...]:
    """The surest errors, with maps that are made again: those of all slices would fill a memory."""
    prepared, classes = validated.prepared, validated.bundle.manifest.readout.classes
    offsets = prepared.index["offset"].to_numpy().astype(np.float64)

    def heat(rows: NDArray[np.intp], place: int, c: Subtype) -> NDArray[np.float32] | None:
        hu = slices_of(prepared, rows)
        maps = validated.engine.run(hu, offsets[rows]).maps
        if maps is None:
            return None
        shown = maps[place, classes.index(c)] if c in classes else maps[place].max(axis=0)
        return placed(shown, hu[place].shape)

    slices, exams = validated.judged[Level.SLICE], validated.judged[Level.EXAM]
    rows = np.arange(len(slices))
    return error_pictures(
        prepared, rows, slices, exams, validated.predictions.classes, validated.labelled, heat, mapping, progress
    )


def about_the_bundle(bundle: Bundle) -> Tree:
    """What a scorecard says of the model: which it is, and where its operating points come from."""
    manifest = bundle.manifest
    fitted = manifest.fitted_on
    return {
        "kind": "bundle",
        "title": manifest.title,
        "digest": bundle.digest,
        "recipe": manifest.recipe.name,
        "trained_on": manifest.data.source if manifest.data else None,
        "population": manifest.population,
        "demonstration": manifest.demonstration,
        "calibrated": manifest.readout.calibrated,
        "high_sensitivity": manifest.readout.high_sensitivity if fitted else None,
        "map_cells": manifest.map_cells,
        "stages": stages_of_bundle(manifest),
        "joined": joined(manifest.recipe, manifest.networks),
        "operating_points": "fixed before: chosen on "
        + (f"{fitted.origin} ({fitted.patients} patients)" if fitted else "nobody; they are 0.5"),
    }


def doubts_of(bundle: Bundle, prepared: PreparedSet) -> list[str]:
    """What a reader of the numbers must know first."""
    manifest, header = bundle.manifest, prepared.header
    doubts = [f"The bundle is a demonstration: {manifest.demonstration}."] if manifest.demonstration else []
    if manifest.data is None:
        doubts.append(
            "The bundle does not say which set it was made of, so nobody can tell whether it has seen these patients."
        )
    elif header.source in manifest.data.source.split("+"):
        doubts.append(
            f"The bundle was made of another set of the same source ({header.source}): that no patient is in both must "
            "be known from elsewhere."
        )
    if header.source == "phantom":
        doubts.append("These slices are synthetic: the numbers say nothing of patients.")
    if header.labels_of == "exam":
        doubts.append("Labels are of whole exams: single slices cannot be judged.")
    return doubts


def _refuse_its_own_set(bundle: Bundle, prepared: PreparedSet) -> None:
    data = bundle.manifest.data
    if data is not None and prepared.header.fingerprint in data.fingerprint.split("+"):
        raise UsageError(
            "this bundle was made of this very set, so it has learnt from the patients that would be measured; give "
            "another set, or measure its run on the test patients that were held back (`ichnos evaluate RUN`), or the "
            "procedure by folds (`ichnos study folds`): what was measured then is shown by `ichnos bundle show`"
        )
