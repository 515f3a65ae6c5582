"""A trained network and the density of its features as one model that calls what it has never seen."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from ichnos.data.splits import Part
from ichnos.errors import WeightsError
from ichnos.evaluation.density import Density, fit_density
from ichnos.files import replacing
from ichnos.inputs import exam_planes
from ichnos.models.anomaly import AnomalyClassifier, AnomalyGraph, features_of
from ichnos.models.export import Graph
from ichnos.predictions import Predictions
from ichnos.progress import Progress
from ichnos.recipe import AnomalyRecipe, Population
from ichnos.training.batches import in_batches, read_ahead
from ichnos.training.devices import choose
from ichnos.training.prediction import BATCH_SIZE, probabilities_of
from ichnos.training.slices import TrainingSlices, spread
from ichnos.workflows.trained_model import TrainedModel

if TYPE_CHECKING:
    from ichnos.workflows.train import OpenData

DENSITY = "density.safetensors"
"""Beside the recipe of a detector's run."""

_MOST = 20_000
"""Training slices that a density is fitted on, evenly spread: some fifteen for each of a network's features."""


@dataclass(frozen=True, eq=False)
class TrainedAnomaly:
    """A network that has never seen one subtype, and how far from all that it saw a slice lies."""

    recipe: AnomalyRecipe
    slices: TrainedModel
    density: Density

    @property
    def models(self) -> tuple[TrainedModel, ...]:
        """The network."""
        return (self.slices,)

    @property
    def network(self) -> AnomalyClassifier:
        """Both as one."""
        return AnomalyClassifier(self.slices.classifiers[0], self.density, self._place).eval()

    def predict(
        self,
        data: "OpenData",
        part: Part,
        progress: Progress,
        *,
        population: Population | None = None,
        device: str = "auto",
    ) -> Predictions:
        """What it says of the slices of one part, those with what it has never seen among them."""
        population = population or self.recipe.population
        slices = data.slices_of(self.slices.recipe, population, part, progress)
        rows = data.rows(population, part)
        fabric = choose(device)
        module = fabric.setup_module(self.network)
        with progress.task("Predicting", len(rows)) as task:
            said = probabilities_of(fabric, module, slices.images, slices.rows, BATCH_SIZE, task.advance)
        chosen = data.prepared.index[rows]
        return Predictions(
            self.recipe.classes,
            chosen["patient"].to_numpy().astype(np.str_),
            data.prepared.exams[rows],
            chosen["name"].to_numpy().astype(np.str_),
            chosen["offset"].to_numpy().astype(np.float64),
            said,
            data.prepared.labels_of(self.recipe.classes)[rows],
            part.value,
        )

    def logits(self, hu: NDArray[np.int16]) -> NDArray[np.float64]:
        """As TrainedModel.logits."""
        planes = torch.from_numpy(exam_planes(self.slices.recipe.input, list(hu)))
        with torch.inference_mode():
            return self.network(planes).double().numpy()

    def digest(self) -> str:
        """By which a scorecard names what it measured."""
        digest = hashlib.sha256(self.slices.digest().encode())
        for values in (self.density.means, self.density.whitening):
            digest.update(values.tobytes())
        return digest.hexdigest()

    def graph(self) -> Graph:
        """What is exported of it."""
        return AnomalyGraph(self.slices.classifiers[0], self.density, self._place)

    @property
    def _place(self) -> int:
        return self.recipe.classes.index(self.recipe.of)


def fit_anomaly(
    recipe: AnomalyRecipe, model: TrainedModel, data: "OpenData", run: Path, progress: Progress, device: str
) -> None:
    """Fit the density on the training part, its scale on the validation part (where there is one); write both.

    Of neither part a slice with the class that is looked for is shown.
    """
    checkpoint = model.digest()
    if (run / DENSITY).exists() and read_density(run)[1] == checkpoint:
        return
    training = data.slices_of(model.recipe, model.recipe.population, Part.TRAIN, progress)
    kept = spread(len(training), _MOST)
    density = fit_density(_features(model, training, kept, progress, device), _groups(recipe, training.labels[kept]))
    usual = training
    if not data.everyone:
        usual = data.slices_of(model.recipe, model.recipe.population, Part.VALIDATION, progress)
    density = density.scaled(_features(model, usual, spread(len(usual), _MOST), progress, device))
    tensors = {"means": density.means, "whitening": density.whitening}
    scale = {"centre": density.centre.hex(), "spread": density.spread.hex(), "checkpoint": checkpoint}
    with replacing(run / DENSITY) as temporary:
        temporary.write_bytes(save(tensors, metadata=scale))


def read_density(run: Path) -> tuple[Density, str]:
    """The density of a detector's run, and the digest of the network that it is of. Raises WeightsError."""
    path = run / DENSITY
    if not path.exists():
        raise WeightsError(f"{run.name} lacks {DENSITY}: the same `ichnos train` makes it")
    try:
        tensors = load_file(path)
        with safe_open(path, framework="numpy") as file:
            told = file.metadata()
        scale = (float.fromhex(told["centre"]), float.fromhex(told["spread"]))
        return Density(tensors["means"], tensors["whitening"], *scale), told["checkpoint"]
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise WeightsError(f"{path} is damaged ({error}): the same `ichnos train` makes it anew") from error


def _features(
    model: TrainedModel, part: TrainingSlices, kept: NDArray[np.int64], progress: Progress, device: str
) -> NDArray[np.float32]:
    classifier, fabric = model.classifiers[0], choose(device)
    classifier.to(fabric.device).eval()
    batches = in_batches(part.rows[kept], BATCH_SIZE)
    gathered: list[NDArray[np.float32]] = []
    with (
        torch.inference_mode(),
        progress.task("Features", len(kept)) as task,
        read_ahead(part.images, batches, fabric.device) as ready,
    ):
        for planes in ready:
            gathered.append(features_of(classifier, planes).float().cpu().numpy())
            task.advance(len(planes))
    classifier.cpu()
    return np.concatenate(gathered)


def _groups(recipe: AnomalyRecipe, labels: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Each slice's rarest class, or 0 where it has none."""
    if recipe.groups == "one":
        return np.zeros(len(labels), np.int64)
    order = np.argsort(labels.sum(axis=0), kind="stable")
    groups = np.zeros(len(labels), np.int64)
    for column in order[::-1]:
        groups[labels[:, column]] = column + 1
    return groups
