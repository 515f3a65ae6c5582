"""From a run and the set of another hospital to a run that is adapted to it: by its pictures, or by few labels."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from ichnos.counting import counted
from ichnos.data.drawing import draw_patients
from ichnos.data.splits import Part
from ichnos.errors import OutputError, UsageError
from ichnos.files import LOCK, explained, locked, write_json
from ichnos.models.checkpoint import load_classifier, save_checkpoint
from ichnos.models.classifier import SliceClassifier
from ichnos.models.initial_weights import InitialWeights, origins, weights_digest
from ichnos.progress import Progress
from ichnos.recipe import SLICES, AnomalyRecipe, AnyKind, EnsembleRecipe, ExamRecipe, Population, SliceRecipe, join
from ichnos.training.batchnorm import measure_batchnorm
from ichnos.training.devices import choose
from ichnos.training.folder import RunFolder, describe
from ichnos.training.prediction import BATCH_SIZE
from ichnos.workflows.evaluate import checkpoints_of
from ichnos.workflows.seen import has_seen, learnt_from
from ichnos.workflows.train import OpenData, join_stages, open_data, train_stages
from ichnos.workflows.trained import open_run
from ichnos.workflows.trained_model import best_of

FINE_TUNING: Mapping[str, Any] = {
    "epochs": 10,
    "patience": 3,
    "stop_after": None,
    "steps_per_epoch": None,
    "milestones": (),
    "schedule": "constant",
    "restarts": 0,
    "averaging": None,
    "reestimate_batchnorm": False,
}
"""Of `fit`, where few labels teach a network that knows its task: short, and without a schedule's warm-up."""

GENTLER = 0.1
"""Of the recipe's learning rate: enough to move, too little to forget."""


_UNFINISHED = ".unfinished"
"""The folder, within a run's, of weights that are kept and not all there yet."""


class Method(StrEnum):
    """How a run is adapted."""

    CALIBRATE = "calibrate"
    """No weight changes: calibration and thresholds alone become those of the new set's validation patients."""
    BATCHNORM = "batchnorm"
    """BatchNorm's statistics measured on the new set's training slices, by no label. A stacking of several networks is
    fitted anew on the validation part's labels, and drawing some of the patients goes by labels too."""
    FINE_TUNE = "fine-tune"
    """A few epochs at a low rate on some patients of the training part; the validation part chooses the epoch."""


@dataclass(frozen=True)
class AdaptOptions:
    """What can be chosen about an adaptation."""

    method: Method
    patients: int | None = None
    """So many of the training part; None: all."""
    seed: int = 0
    """Of drawing them."""
    changes: Mapping[str, str] = field(default_factory=dict[str, str])
    """Fields of every stage's recipe, of fine-tuning."""

    def __post_init__(self) -> None:
        if self.method is not Method.FINE_TUNE and self.changes:
            raise UsageError(
                "--set is for --method fine-tune: BatchNorm's statistics are measured, not trained; nor is calibration"
            )
        if self.method is Method.CALIBRATE and self.patients is not None:
            raise UsageError("--patients are of the training part, of which --method calibrate uses nobody")


def adapt_run(
    run: Path, data: Path, out: Path, options: AdaptOptions, progress: Progress, *, device: str = "auto"
) -> dict[str, Any]:
    """Adapt every network of `run` to the set `data`; `out` becomes a run like any other. Returns a summary, JSON-able.

    Raises WeightsError where `run` is none, UsageError where the set or the run does not allow the method, OutputError
    where `out` holds something already (fine-tuning goes on where it stopped).
    """
    return adapt_on(run, open_data(data), out, options, progress, device=device)


def adapt_on(
    run: Path, data: OpenData, out: Path, options: AdaptOptions, progress: Progress, *, device: str = "auto"
) -> dict[str, Any]:
    """The same on data that is open already."""
    model = open_run(run)
    recipe = model.recipe
    check_adaptable(run, recipe, data, options.method)
    if data.prepared.header.teaches:
        data = _with_patients(data, recipe.population, options)
    elif options.patients is not None:
        raise UsageError("this set has no labels of single slices and is taken whole: leave --patients out")
    else:
        data = replace(data, everyone=True)
    if any(has_seen(learnt_from(path, data.origin), data.origin) for path in checkpoints_of(model)):
        raise UsageError(
            f"{run.name} has learnt from patients of this set's validation or test part, or may have (another set of "
            "the same public source has the same patients), so nothing could be chosen by them or measured on them "
            "afterwards; give the set of another hospital"
        )
    match options.method:
        case Method.CALIBRATE | Method.BATCHNORM:
            _keep_weights(run, recipe, data, out, options.method, progress, device)
        case Method.FINE_TUNE:
            train_stages(_fine_tuning(run, recipe, options), data, out, progress, device=device)
    used = 0 if options.method is Method.CALIBRATE else data.patients_in_training
    return {"run": str(out), "from": run.name, "method": options.method.value, "patients": used}


def check_adaptable(run: Path, recipe: AnyKind, data: OpenData, method: Method) -> None:
    """Raises UsageError where a run of this recipe cannot be adapted so to this data: before anything is written."""
    composites = recipe.composites.values()
    for path, each in recipe.composites.items():
        if isinstance(each, ExamRecipe):
            name = join(run.name, path)
            raise UsageError(
                f"{name} is of {each.in_words}, whose head goes by what its own slice stage says; adapt that stage, "
                f"{name}/{SLICES}, which is a run too"
            )
    if method is Method.CALIBRATE and not data.prepared.header.teaches:
        raise UsageError("calibration and thresholds want labels of single slices, which this set does not have")
    if method is Method.FINE_TUNE:
        return
    if any(isinstance(each, AnomalyRecipe) for each in composites):
        raise UsageError(
            f"{run.name} has {AnomalyRecipe.in_words}, whose density is of its network's features as they are, and "
            "which slices a new one may be fitted on is what labels say; adapt it with --method fine-tune"
        )
    if not any(stage.population.slices == "all" for stage in recipe.stages.values()):
        raise UsageError(
            f"{recipe.name} is of slices with hemorrhage alone, and which those are is what labels say; adapt it with "
            "--method fine-tune"
        )
    fitted = any(isinstance(each, EnsembleRecipe) and each.combine != "mean" for each in composites)
    if fitted and not data.prepared.header.teaches:
        raise UsageError(
            f"{recipe.name} joins its networks by what is fitted on validation patients, and this set, without labels "
            f"of single slices, has none; adapt its members one by one, {run.name}/members/NAME, which are runs too"
        )


def _with_patients(data: OpenData, population: Population, options: AdaptOptions) -> OpenData:
    if options.patients is None:
        return data
    rows = data.rows(population, Part.TRAIN)
    names = data.prepared.index["patient"].to_numpy()[rows].astype(np.str_)
    return replace(data, patients=draw_patients(names, data.prepared.labels[rows], options.patients, options.seed))


def _fine_tuning(run: Path, recipe: AnyKind, options: AdaptOptions) -> AnyKind:
    """Each stage begins from its own checkpoint. Lesions are drawn only where --set asks for them."""
    changes: dict[str, Any] = {}
    for stage, each in recipe.stages.items():
        fit = {"learning_rate": each.fit.learning_rate * GENTLER, **FINE_TUNING}
        told = {"network.init": str(best_of(run / stage)), "synthetic": None}
        told |= {f"fit.{name}": value for name, value in fit.items()}
        changes |= {_field(stage, name): value for name, value in told.items()}
    changed = recipe.derive(**changes)
    return changed.override({_field(s, name): text for s in recipe.stages for name, text in options.changes.items()})


def _field(stage: str, name: str) -> str:
    return ".".join(filter(None, (stage.replace("/", "."), name)))


def _keep_weights(
    run: Path, recipe: AnyKind, data: OpenData, out: Path, method: Method, progress: Progress, device: str
) -> None:
    """A stage of positives alone keeps its statistics too: which slices those are, labels say.

    Its files come into `out` together at the end: what a stopped call began there, the next one begins anew.
    """
    unfinished = out / _UNFINISHED
    if out.exists() and not (out.is_dir() and all(path.name in (_UNFINISHED, LOCK) for path in out.iterdir())):
        raise OutputError(f"{out} is a file or holds something already; give --out a new folder")
    with explained(out):
        out.mkdir(parents=True, exist_ok=True)
    with locked(out):
        shutil.rmtree(unfinished, ignore_errors=True)
        for name, stage in recipe.stages.items():
            _keep_stage(run / name, stage, data, RunFolder(unfinished / name), method, progress, device)
        join_stages(recipe, data, unfinished, progress, device=device)
        with explained(out):
            for path in sorted(unfinished.iterdir()):
                if path.name != LOCK:
                    path.replace(out / path.name)
            shutil.rmtree(unfinished)


def _keep_stage(
    run: Path,
    recipe: SliceRecipe,
    data: OpenData,
    out: RunFolder,
    method: Method,
    progress: Progress,
    device: str,
) -> None:
    classifier, _, metadata = load_classifier(best_of(run))
    measures = method is Method.BATCHNORM
    training = data.slices_of(recipe, Population(slices="all"), Part.TRAIN, progress) if measures else None
    if training is not None and recipe.population.slices == "all":
        if not len(training):
            raise UsageError("the training part of this set has no slices to measure BatchNorm's statistics on")
        fabric = choose(device)
        measured = measure_batchnorm(fabric, fabric.setup_module(classifier), training, BATCH_SIZE)
        if not measured:
            raise UsageError(f"{recipe.network.backbone} has no BatchNorm, so there are no statistics to measure anew")
        progress.message(f"{recipe.name}: {counted(measured, 'BatchNorm layer')} measured anew")
        classifier.cpu()
    validation = None if data.everyone else data.slices(recipe, Part.VALIDATION, progress)
    provenance = {
        "data": {
            "training": None if training is None else training.fingerprint(),
            "validation": None if validation is None else validation.fingerprint(),
        },
        "origin": data.origin,
        "first_weights": asdict(_began_from(run, classifier, metadata)),
        "adapted": {"method": method.value, "slices": 0 if training is None else len(training)},
    }
    with out.held():
        out.claim(recipe)
        state = {"epoch": metadata["epoch"], "step": metadata["step"], "validation_loss": None}
        save_checkpoint(out.best, classifier, state | provenance)
        write_json(out.environment, describe(choose(device), out.started(), 0.0))


def _began_from(run: Path, classifier: SliceClassifier, metadata: Mapping[str, Any]) -> InitialWeights:
    path = best_of(run)
    digest = weights_digest(classifier.recipe.network.model_copy(update={"init": str(path)}))
    remark = f"backbone and head from {path.name} ({classifier.recipe.name}, SHA-256 {digest})"
    return InitialWeights(path.name, path.name, remark, digest, tuple(origins(metadata)))
