"""From trained runs to one bundle: network, calibration, exam aggregation, thresholds and model card in one file."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ichnos.counting import counted
from ichnos.data.splits import Part
from ichnos.errors import BundleError, InputError, OutputError, UsageError
from ichnos.evaluation.combination import Ranks
from ichnos.evaluation.readout import AS_USUAL, FittedReadout, Fitting, fit_readout
from ichnos.inference.bundle import Bundle, read_bundle, write_bundle
from ichnos.inference.engine import Engine
from ichnos.inference.manifest import ONE_LINE, DataOrigin, Manifest, Numbers, version_of
from ichnos.inputs import to_matrix
from ichnos.models.checkpoint import read_header
from ichnos.models.export import exported
from ichnos.models.initial_weights import origins
from ichnos.models.sixteen_bits import in_sixteen_bits
from ichnos.networks import Weights
from ichnos.phantom import CohortSettings, make_exam
from ichnos.predictions import OUT_OF_FOLD, OUT_OF_FOLD_CALIBRATED, Predictions
from ichnos.progress import Progress
from ichnos.readout import Bound, Readout, sigmoid
from ichnos.recipe import Recipe, SliceRecipe
from ichnos.reporting.model_card import model_card
from ichnos.subtypes import Subtype
from ichnos.workflows.seen import has_seen
from ichnos.workflows.train import OpenData, Sets, open_data
from ichnos.workflows.trained import open_runs, population_text
from ichnos.workflows.trained_exam import TrainedExam
from ichnos.workflows.trained_model import Trained, best_of
from ichnos.workflows.trained_together import TrainedEnsemble, exams_within
from ichnos.workflows.trained_trees import TrainedTrees

AGREEMENT = 1e-4
"""In probability: a bundle whose network differs more from the trained one is not written."""

_COMPARED = 24
"""Slices on which the two are compared at export."""

_READ_EXAMS = (TrainedExam, TrainedTrees, TrainedEnsemble)
"""What may have an exam.onnx."""

_MADE_WITH = ("ichnos", "torch", "onnx", "onnxscript", "onnxruntime", "numpy")

_ORIGINS: Mapping[str, tuple[str, str]] = {
    "ct-ich": (
        "CC BY 4.0 (version 1.0)",
        (
            "Hssayeni, M. D. et al., Computed Tomography Images for Intracranial Hemorrhage Detection and "
            "Segmentation, version 1.0, PhysioNet; Data 2020, 5(1), 14"
        ),
    ),
    "rsna": (
        "the terms of the RSNA 2019 competition on Kaggle: non-commercial and academic research",
        (
            "Flanders, A. E. et al., Construction of a Machine Learning Dataset through Collaboration: The RSNA 2019 "
            "Brain CT Hemorrhage Challenge, Radiology: Artificial Intelligence 2020"
        ),
    ),
    "cq500": (
        "CC BY-NC-SA 4.0",
        (
            "Chilamkurthy, S. et al., Deep learning algorithms for detection of critical findings in head CT scans, "
            "Lancet 2018, 392, 2388-2396"
        ),
    ),
    "phantom": ("Apache-2.0", "synthetic head CT made by ichnos; no patient's image is in it"),
}
"""For each source its licence and whom to name."""

NOT_STATED = "not stated"
"""Of data whose licence nobody told us, and of a bundle for which none was given."""


@dataclass(frozen=True)
class ExportOptions:
    """What can be chosen about a bundle."""

    data: Sets | None = None
    """The runs' prepared set; its validation part calibrates. Of several that they were trained on: all, or one."""
    fold: int | None = None
    calibration: Path | None = None
    """Predictions of unseen patients (Predictions.write_parquet) that calibrate instead of the validation part."""
    scorecard: Path | None = None
    title: str | None = None
    licence: str | None = None
    """Of the bundle; None: that of the data, where `data` is given and its source states one."""
    fitting: Fitting = AS_USUAL
    demonstration: str | None = None
    """Why the bundle is no more than a demonstration: every reading with it says so."""
    weights: Weights = Weights.FLOAT32


def export_runs(
    runs: Sequence[Path],
    out: Path,
    progress: Progress,
    options: ExportOptions,
    *,
    force: bool = False,
    device: str = "auto",
) -> dict[str, Any]:
    """Make the bundle `out` of the best checkpoints of `runs`. Returns a summary, JSON-able.

    The test part is never touched. Raises OutputError where `out` exists (unless force), WeightsError where a
    checkpoint is missing or the runs do not go together, InputError where what calibrates does not fit them.
    """
    _see_that_it_is_free(out, force=force)
    model = _opened(runs)
    for what, line in (("--title", options.title or model.recipe.title), ("--demonstration", options.demonstration)):
        if line is not None and not re.fullmatch(ONE_LINE, line):
            raise UsageError(f"{what} wants one line of 1 to 120 characters, got {counted(len(line), 'character')}")
    card = _scorecard(runs, model, options)
    data = open_data(options.data, options.fold) if options.data else None
    fitted, origin = _fit(model, data, options, progress, device)
    with progress.task("Exporting the network", 1) as task:
        graph = model.graph()
        network = exported(graph)
        exam_network = model.exam_graph() if isinstance(model, _READ_EXAMS) else None
        if options.weights is Weights.INT16:
            network, exam_network = in_sixteen_bits(network), exam_network and in_sixteen_bits(exam_network)
        task.advance()
    manifest = _manifest(model, graph.map_side, options, data, fitted, origin, card)
    difference = _agreed(model, Bundle(manifest, "", network, "", exam_network), data)
    manifest = manifest.model_copy(update={"agreement": difference})
    card_text = model_card(manifest.model_dump(mode="json"), manifest.map_cells)
    write_bundle(out, manifest, network, card_text, exam_network)
    bundle = read_bundle(out)
    return {
        "bundle": str(out),
        "digest": bundle.digest,
        "bytes": out.stat().st_size,
        "networks": manifest.networks,
        "agreement": difference,
        "readout": bundle.manifest.readout.model_dump(mode="json"),
        "notes": list(bundle.manifest.fitted_on.report["notes"]) if bundle.manifest.fitted_on else [],
    }


def _see_that_it_is_free(out: Path, *, force: bool) -> None:
    if out.is_dir():
        raise OutputError(f"{out} is a folder; give --out the name of a file")
    if out.exists() and not force:
        raise OutputError(f"{out} exists; give --out another name, or --force to replace it")


def _opened(runs: Sequence[Path]) -> Trained:
    if not runs:
        raise UsageError("give at least one run")
    model = open_runs(runs)
    if model.recipe.classes == (Subtype.ANY,):
        raise UsageError(
            f"{model.recipe.name} names `any` alone, and a bundle names at least one subtype; give a run of positives "
            "beside it, and they become a cascade: `ichnos export GATE_RUN SUBTYPE_RUN --out FILE`"
        )
    return model


def _fit(
    model: Trained,
    data: OpenData | None,
    options: ExportOptions,
    progress: Progress,
    device: str,
) -> tuple[FittedReadout | None, str]:
    """The readout, and on whom it was fitted, in words."""
    if options.calibration is not None:
        predictions = Predictions.read_parquet(options.calibration)
        if predictions.classes != model.recipe.classes:
            raise InputError(
                f"{options.calibration.name} is of the classes {', '.join(predictions.classes)}, the runs are of "
                f"{', '.join(model.recipe.classes)}"
            )
        _check_part(predictions, options.calibration.name)
        return fit_readout(
            predictions, options.fitting
        ), f"{options.calibration.name}, {predictions.part}, as given at export"
    if data is None:
        progress.message("no --data: the bundle is not calibrated, and every reading with it will say so")
        return None, ""
    for stage in model.models:
        for run in stage.runs:
            _check_unseen(run, stage.recipe, data, progress)
    for exams in exams_within(model).values():
        exams.check_unseen(data)
    predictions = model.predict(data, Part.VALIDATION, progress, device=device)
    split = "the split" if data.fold is None else f"fold {data.fold}"
    return fit_readout(
        predictions, options.fitting
    ), f"the validation patients of {split} of {data.prepared.header.source}"


def _check_part(predictions: Predictions, name: str) -> None:
    """Raise InputError unless they are of slices, of patients on which nothing is measured, or out of fold."""
    if (predictions.rows_of, predictions.labels_of) != ("slice", "slice"):
        raise InputError(
            f"{name} holds {'exams' if predictions.rows_of == 'exam' else 'labels of whole exams'}: calibration needs "
            "single slices and their own labels; give an out_of_fold.parquet of `ichnos study folds`"
        )
    if predictions.part in (Part.VALIDATION, OUT_OF_FOLD):
        return
    wanted = "give an out_of_fold.parquet of `ichnos study folds`, or --data, whose validation patients calibrate"
    if predictions.part == OUT_OF_FOLD_CALIBRATED:
        raise InputError(f"{name} is calibrated already; give the out_of_fold.parquet beside it")
    if predictions.part is None:
        raise InputError(f"{name} does not say of which patients its predictions are; {wanted}")
    raise InputError(
        f"{name} holds predictions of {predictions.part} patients: calibration and thresholds fitted on them would "
        f"flatter the bundle; {wanted}"
    )


def _check_unseen(run: Path, recipe: SliceRecipe, data: OpenData, progress: Progress) -> None:
    """The set's validation part must be what the run was validated on, else it may have learnt from it."""
    metadata = read_header(best_of(run))["metadata"]
    if has_seen(origins(metadata | {"origin": None}), data.origin):
        raise InputError(
            f"what {run.name} began from has learnt from patients of this set's validation part, or may have (another "
            "set of the same public source has the same patients): thresholds that are fitted on them would flatter "
            "the bundle; give --data another set, or leave it out"
        )
    theirs = metadata.get("data", {}).get("validation")
    if data.origin in metadata.get("origin", {}).get("sets", ()):
        return  # one of several sets, with the split that it had among them
    if theirs != data.slices(recipe, Part.VALIDATION, progress).fingerprint():
        raise InputError(
            f"{run.name} was validated on other slices than this set's validation part, so it may have learnt from "
            "them; give --data the set, and --fold the fold, that it was trained with"
        )


def _manifest(
    model: Trained,
    map_side: int,
    options: ExportOptions,
    data: OpenData | None,
    fitted: FittedReadout | None,
    origin: str,
    card: tuple[dict[str, Any], Literal["this model", "the procedure"]] | None,
) -> Manifest:
    recipe = model.recipe
    origin_of_data = _origin(model, data) if data else None
    form = version_of(recipe, fitted.readout.bound if fitted else Bound.RAISE_ANY, options.weights)
    return Manifest(
        version=form,
        title=options.title or recipe.title,
        made_with={name: version(name) for name in _MADE_WITH},
        recipe=recipe,
        networks=len(model.models[0].runs),
        map_side=map_side if form >= 4 else None,
        weights=options.weights,
        readout=fitted.readout if fitted else Readout.uncalibrated(recipe.classes),
        population=population_text(recipe),
        data=origin_of_data,
        fitted_on=Numbers(
            origin=origin,
            patients=fitted.patients,
            exams=fitted.exams,
            slices=fitted.slices,
            positives=fitted.positives,
            report=fitted.report,
        )
        if fitted
        else None,
        scorecard=card[0] if card else None,
        scorecard_is_of=card[1] if card else None,
        licence=options.licence or (origin_of_data.licence if origin_of_data else NOT_STATED),
        demonstration=options.demonstration,
        digests={},
    )


def _origin(model: Trained, data: OpenData) -> DataOrigin:
    """Of the data that calibrated, and of all others that the runs, or what they began from, were trained with."""
    sets = {each.header.fingerprint: each.header.source for each in data.prepared.sets}
    for run in (run for each in model.models for run in each.runs):
        for origin in origins(read_header(best_of(run))["metadata"]):
            sets |= {origin["set"]: origin["source"]} if origin.get("set") not in (None, *sets) else {}
    stated = [_ORIGINS.get(source, (NOT_STATED, "whoever made the data")) for source in sets.values()]
    licences, attributions = ("; ".join(dict.fromkeys(texts)) for texts in zip(*stated, strict=True))
    return DataOrigin(
        source="+".join(dict.fromkeys(sets.values())),
        fingerprint="+".join(sets),
        licence=licences,
        attribution=attributions,
    )


def _scorecard(
    runs: Sequence[Path], model: Trained, options: ExportOptions
) -> tuple[dict[str, Any], Literal["this model", "the procedure"]] | None:
    """What `ichnos evaluate` measured, of this very checkpoint or of others like it."""
    path = options.scorecard or runs[0] / "scorecard.json"
    if options.scorecard is None and (len(runs) > 1 or not path.exists()):
        return None
    try:
        tree = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"the scorecard {path} is absent or damaged ({error})") from error
    if not isinstance(tree, dict):
        raise InputError(f"{path} is no scorecard: `ichnos evaluate` writes one")
    return tree, "this model" if tree.get("checkpoint") == model.digest() else "the procedure"


def _agreed(model: Trained, bundle: Bundle, data: OpenData | None) -> float:
    """By how much the two differ. Raises BundleError where that is more than AGREEMENT."""
    difference = _disagreement(model, bundle, data)
    if not difference <= AGREEMENT:
        raise BundleError(
            f"the exported network differs from the trained one by {difference:.2g} in probability, at most "
            f"{AGREEMENT:g} is allowed; no bundle was written{_why_they_differ(model, bundle.manifest.weights)}"
        )
    return difference


def _disagreement(model: Trained, bundle: Bundle, data: OpenData | None) -> float:
    """The largest difference in probability between torch behind numpy's road and ONNX Runtime from raw HU."""
    hu = _samples(model.recipe, data)
    engine = Engine(bundle)
    from_graph = sigmoid(engine.run(hu).logits.astype(np.float64))
    return float(np.abs(sigmoid(model.logits(hu)) - from_graph).max())


def _why_they_differ(model: Trained, weights: Weights) -> str:
    """Rounded weights, or what of an ensemble of ranks makes rounding decide."""
    if weights is Weights.INT16:
        return ". Weights in 16 bits are part of that: leave out --weights"
    if not isinstance(model, TrainedEnsemble) or not isinstance(model.combination, Ranks):
        return ""
    undecided = model.combination.undecided(tuple(model.recipe.members), model.recipe.classes)
    if not undecided:
        return ""
    return (
        f". For {', '.join(undecided)} the logits of validation slices lie so close together that rounding decides "
        "their ranks: train these members for longer, leave them out, or join members by their mean "
        "(`--set combine=mean`)"
    )


def _samples(recipe: Recipe, data: OpenData | None) -> NDArray[np.int16]:
    """Slices of the validation part where there is one, else of a phantom. (n, 512, 512)."""
    rows = data.rows(recipe.population, Part.VALIDATION) if data else []
    if data is None or not len(rows):
        slices = list(make_exam(CohortSettings(exams=1, seed=0, slices=(20, 20)), 0).hu[::4])
    else:
        spread = np.linspace(0, len(rows) - 1, min(_COMPARED, len(rows))).astype(np.intp)
        slices = [data.prepared.hu(int(row)) for row in rows[spread]]
    return np.stack([to_matrix(hu) for hu in slices])
