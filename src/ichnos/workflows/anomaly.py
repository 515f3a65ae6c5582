"""A trained network and the density of its features as one model that calls what it has never seen."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from ichnos.counting import counted
from ichnos.data.splits import Part
from ichnos.errors import TrainingError, WeightsError
from ichnos.evaluation.density import Density, fit_density
from ichnos.files import replacing
from ichnos.inputs import exam_planes
from ichnos.models.anomaly import AnomalyClassifier, AnomalyGraph, features_of
from ichnos.models.export import Graph
from ichnos.predictions import Predictions
from ichnos.progress import Progress
from ichnos.recipe import AnomalyRecipe, AnyKind, Population
from ichnos.training.batches import in_batches, read_ahead
from ichnos.training.devices import choose
from ichnos.training.memory import told_without_room
from ichnos.training.prediction import BATCH_SIZE, probabilities_of
from ichnos.training.slices import TrainingSlices, spread
from ichnos.workflows.trained_model import TrainedModel, table_of

if TYPE_CHECKING:
    from ichnos.workflows.train import OpenData

DENSITY = "density.safetensors"
"""Beside the recipe of a detector's run."""

_MOST = 20_000
"""Training slices that a density is fitted on, evenly spread: some fifteen for each of a network's features."""


class Scale(NamedTuple):
    """Of the distances of slices that are not what is looked for. See Density."""

    centre: float
    spread: float


class FittedOn(NamedTuple):
    """What a density was made of: where any of it is another, so is the density."""

    checkpoint: str
    """The network's digest."""
    of: str
    groups: str
    training: str
    """The fingerprint of the slices that it was fitted on."""
    scaled_on: str
    """That of those that gave its scale; or the scale itself, where it was given."""

    def fits(self, recipe: AnomalyRecipe, checkpoint: str) -> bool:
        """Whether it is of this network and of a recipe like this."""
        return (self.checkpoint, self.of, self.groups) == (checkpoint, recipe.of.value, recipe.groups)


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
        fabric = choose(device, "32-true")  # squares of whitened differences: half precision would be another density
        module = fabric.setup_module(self.network)
        said = np.zeros((0, len(self.recipe.classes)))
        if len(rows):
            with (
                told_without_room("prediction", f"batches of {BATCH_SIZE} slices", fabric.device),
                progress.task("Predicting", len(rows)) as task,
            ):
                said = probabilities_of(fabric, module, slices.images, slices.rows, BATCH_SIZE, task.advance)
        self.slices.classifiers[0].cpu()  # `module` shares its weights
        return table_of(self.recipe, data.prepared, rows, said, part)

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
        digest.update(f"{self.density.centre.hex()} {self.density.spread.hex()}".encode())
        return digest.hexdigest()

    def graph(self) -> Graph:
        """What is exported of it."""
        return AnomalyGraph(self.slices.classifiers[0], self.density, self._place)

    @property
    def _place(self) -> int:
        return self.recipe.classes.index(self.recipe.of)


def fit_anomaly(
    recipe: AnomalyRecipe,
    model: TrainedModel,
    data: "OpenData",
    run: Path,
    progress: Progress,
    *,
    given: Scale | None = None,
    device: str = "auto",
) -> None:
    """Fit the density on the training part and its scale on the validation part; write both.

    Of neither part a slice with the class that is looked for is shown. What is there of the same network, recipe and
    slices stays. given: the scale, for a network that was trained on everyone and has no validation patients. Raises
    TrainingError where these have none given, or where a part has too few slices.
    """
    if given is None and data.everyone:
        raise TrainingError(
            f"{recipe.name} is scaled on validation patients, and all are trained on: take `ichnos study folds "
            "--bundle`, which hands the folds' scale over"
        )
    training = data.slices_of(model.recipe, model.recipe.population, Part.TRAIN, progress)
    unseen = data.slices_of(model.recipe, model.recipe.population, Part.VALIDATION, progress) if given is None else None
    scaled_on = " ".join(value.hex() for value in given or ()) if unseen is None else unseen.fingerprint()
    made_of = FittedOn(model.digest(), recipe.of.value, recipe.groups, training.fingerprint(), scaled_on)
    if _is_of(run, made_of):
        return
    kept = _enough(training, Part.TRAIN, recipe)
    density = fit_density(_features(model, training, kept, progress, device), _groups(recipe, training.labels[kept]))
    if given is not None:
        density = replace(density, centre=given.centre, spread=given.spread)
    elif unseen is not None:
        kept = _enough(unseen, Part.VALIDATION, recipe)
        density = density.scaled(_features(model, unseen, kept, progress, device))
    tensors = {"means": density.means, "whitening": density.whitening}
    told = {"centre": density.centre.hex(), "spread": density.spread.hex()} | made_of._asdict()
    with replacing(run / DENSITY) as temporary:
        temporary.write_bytes(save(tensors, metadata=told))


def scales_of_folds(recipe: AnyKind, runs: Sequence[Path]) -> Mapping[str, Scale]:
    """For every detector in the recipe, by its folder: the median of the folds' centres and spreads, each of patients
    that the fold's network has not seen. Raises WeightsError where a fold has no density."""
    scales: dict[str, Scale] = {}
    for path, each in recipe.composites.items():
        if isinstance(each, AnomalyRecipe):
            densities = [read_density(run / path)[0] for run in runs]
            centre, width = np.median([(density.centre, density.spread) for density in densities], axis=0).tolist()
            scales[path] = Scale(centre, width)
    return scales


def read_density(run: Path) -> tuple[Density, FittedOn]:
    """The density of a detector's run, and what it was made of. Raises WeightsError."""
    path = run / DENSITY
    if not path.exists():
        raise WeightsError(f"{run.name} lacks {DENSITY}: the same `ichnos train` makes it")
    try:
        tensors = load_file(path)
        with safe_open(path, framework="numpy") as file:
            told = file.metadata()
        scale = (float.fromhex(told["centre"]), float.fromhex(told["spread"]))
        made_of = FittedOn(*(told[name] for name in FittedOn._fields))
        return Density(tensors["means"], tensors["whitening"], *scale), made_of
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise WeightsError(f"{path} is damaged ({error}): the same `ichnos train` makes it anew") from error


def _is_of(run: Path, made_of: FittedOn) -> bool:
    """Whether the run's density is there, whole, and made of just this."""
    try:
        return read_density(run)[1] == made_of
    except WeightsError:
        return False


def _enough(slices: TrainingSlices, part: Part, recipe: AnomalyRecipe) -> NDArray[np.int64]:
    """Which of the slices to take. Raises TrainingError below two."""
    if len(slices) < 2:
        raise TrainingError(
            f"the {part.value} part has {counted(len(slices), 'slice')} without {recipe.of.value} hemorrhage, and "
            f"{recipe.name} needs at least two; use a larger set or another split"
        )
    return spread(len(slices), _MOST)


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
