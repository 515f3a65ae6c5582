"""From a trained run to its predictions and its scorecard on patients that it has not seen."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ichnos.data.splits import Part
from ichnos.errors import OutputError, UsageError, WeightsError
from ichnos.evaluation import PatientResamples, evaluate
from ichnos.files import replacing, write_json
from ichnos.models.checkpoint import load_checkpoint, load_classifier
from ichnos.predictions import Predictions
from ichnos.progress import Progress
from ichnos.recipe import Population
from ichnos.training.prediction import predict
from ichnos.workflows.train import OpenData, open_data

BOOTSTRAP_SEED = 0
"""One seed for every interval, so that they can be made again and compared."""


def evaluate_run(
    run: Path, data: Path, out: Path, progress: Progress, *, fold: int | None = None, device: str = "auto"
) -> dict[str, Any]:
    """Measure the best checkpoint of `run` on the test part of `data`; write scorecard.json and predictions.parquet.

    fold: None takes the run's own. Another set than the run's is an external one, and the scorecard says so. Raises
    WeightsError where the run has no checkpoint, UsageError where the part holds patients that the run learnt from,
    OutputError where `out` holds a scorecard already.
    """
    if (out / "scorecard.json").exists():
        raise OutputError(f"{out} holds a scorecard already; give --out another folder")
    best = run / "best.safetensors"
    opened, external = _unseen(best, open_data(data, fold))
    predictions = predict_part(best, opened, Part.TEST, progress, device=device)
    resamples = PatientResamples.draw(predictions.patient, seed=BOOTSTRAP_SEED)
    result = evaluate(predictions.probabilities, predictions.labels, predictions.classes, resamples)
    with replacing(out / "predictions.parquet") as temporary:
        predictions.write_parquet(temporary)
    scorecard = {
        "run": run.name,
        "checkpoint": checkpoint_digest(best),
        "part": Part.TEST.value,
        "fold": opened.fold,
        "bootstrap_seed": BOOTSTRAP_SEED,
    }
    scorecard |= {"set": opened.prepared.header.fingerprint, "external": external}
    scorecard |= {"notice": "Research use only. Not a medical device.", "test": result.to_json()}
    write_json(out / "scorecard.json", scorecard)
    return scorecard


def checkpoint_digest(checkpoint: Path) -> str:
    """SHA-256 of a checkpoint's file, by which a scorecard names what it measured: folders are renamed and reused."""
    with checkpoint.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _existing(checkpoint: Path) -> Path:
    if not checkpoint.exists():
        raise WeightsError(f"no checkpoint at {checkpoint}: `ichnos train` writes one after its first epoch")
    return checkpoint


def _unseen(checkpoint: Path, opened: OpenData) -> tuple[OpenData, bool]:
    """The data with a fold whose test part the run has not learnt from, and whether the set is another one."""
    origin = load_checkpoint(_existing(checkpoint)).metadata["origin"]
    if opened.origin["set"] != origin.get("set"):
        return opened, True
    if origin.get("everyone"):
        raise UsageError(
            "this run was trained on every patient of this set, so none is left to measure it on; measure it on "
            "another set, or its procedure with `ichnos study folds`"
        )
    if opened.fold is None:
        opened = replace(opened, fold=origin["fold"])
    differing = [key for key in ("split_seed", "folds", "fold") if opened.origin[key] != origin[key]]
    if differing:
        said = ", ".join(f"{key} {origin[key]} then, {opened.origin[key]} now" for key in differing)
        raise UsageError(
            f"this run was trained on another split of this set ({said}), so it learnt from patients that would be "
            "measured; leave --fold out to measure it on its own test patients"
        )
    return opened, False


def predict_part(
    checkpoint: Path,
    data: OpenData,
    part: Part,
    progress: Progress,
    *,
    population: Population | None = None,
    device: str = "auto",
) -> Predictions:
    """What a checkpoint says of the slices of one part: of its recipe's population, or of another.

    Raises WeightsError where the checkpoint is absent or damaged.
    """
    classifier, recipe, _ = load_classifier(_existing(checkpoint))
    population = population or recipe.population
    slices = data.slices_of(recipe, population, part, progress)
    probabilities = predict(classifier, slices.images, slices.rows, device=device, progress=progress)
    rows = data.rows(population, part)
    chosen = data.prepared.index[rows]
    return Predictions(
        recipe.classes,
        chosen["patient"].to_numpy().astype(np.str_),
        data.prepared.exams[rows],
        chosen["name"].to_numpy().astype(np.str_),
        chosen["offset"].to_numpy().astype(np.float64),
        probabilities,
        slices.labels,
        part.value,
    )
