"""From a trained run to its predictions and its scorecard on patients that it has not seen."""

from pathlib import Path
from typing import Any

import numpy as np

from ichnos.data.splits import Part
from ichnos.errors import OutputError, WeightsError
from ichnos.evaluation import PatientResamples, evaluate
from ichnos.files import replacing, write_json
from ichnos.models.checkpoint import load_classifier
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

    Raises WeightsError where the run has no checkpoint, OutputError where `out` holds a scorecard already.
    """
    if (out / "scorecard.json").exists():
        raise OutputError(f"{out} holds a scorecard already; give --out another folder")
    predictions = predict_part(run / "best.safetensors", open_data(data, fold), Part.TEST, progress, device=device)
    resamples = PatientResamples.draw(predictions.patient, seed=BOOTSTRAP_SEED)
    result = evaluate(predictions.probabilities, predictions.labels, predictions.classes, resamples)
    with replacing(out / "predictions.parquet") as temporary:
        predictions.write_parquet(temporary)
    scorecard = {"run": run.name, "part": Part.TEST.value, "fold": fold, "bootstrap_seed": BOOTSTRAP_SEED}
    scorecard |= {"notice": "Research use only. Not a medical device.", "test": result.to_json()}
    write_json(out / "scorecard.json", scorecard)
    return scorecard


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
    if not checkpoint.exists():
        raise WeightsError(f"no checkpoint at {checkpoint}: `ichnos train` writes one after its first epoch")
    classifier, recipe, _ = load_classifier(checkpoint)
    population = population or recipe.population
    slices = data.slices_of(recipe, population, part, progress)
    probabilities = predict(classifier, slices.images, slices.rows, device=device, progress=progress)
    rows = data.rows(population, part)
    chosen = data.prepared.index[rows]
    return Predictions(
        recipe.classes,
        chosen["patient"].to_numpy().astype(np.str_),
        chosen["exam"].to_numpy().astype(np.str_),
        chosen["name"].to_numpy().astype(np.str_),
        chosen["offset"].to_numpy().astype(np.float64),
        probabilities,
        slices.labels,
    )
