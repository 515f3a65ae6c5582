"""One trained model, of one run or of several that are averaged; and what every kind of trained model can do."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ichnos.counting import counted
from ichnos.data.set import PreparedSet
from ichnos.data.splits import Part
from ichnos.errors import FittedTogetherError, WeightsError
from ichnos.inputs import exam_planes
from ichnos.models.checkpoint import load_classifier
from ichnos.models.classifier import SliceClassifier
from ichnos.models.export import Graph, SliceGraph
from ichnos.models.views import viewed
from ichnos.predictions import Predictions, named_rows, no_probabilities
from ichnos.progress import Progress
from ichnos.readout import logit, sigmoid
from ichnos.recipe import AnyKind, Population, SliceRecipe
from ichnos.training.prediction import predict

if TYPE_CHECKING:
    from ichnos.workflows.train import OpenData  # which trains what is opened here

BEST = "best.safetensors"

TRAINING_PATIENTS = "training_patients"
"""In the origin of a run that has learnt from some of the training part: from how many of them."""


class Trained(Protocol):
    """A model that training left behind, of any kind of recipe."""

    @property
    def recipe(self) -> AnyKind:
        """What its checkpoints say that they were made by."""
        ...

    @property
    def models(self) -> tuple["TrainedModel", ...]:
        """Every single model within, in the order of the recipe's stages: what there is to check, run by run."""
        ...

    def predict(
        self,
        data: "OpenData",
        part: Part,
        progress: Progress,
        *,
        population: Population | None = None,
        device: str = "auto",
    ) -> Predictions:
        """What it says of the slices of one part: of its recipe's population, or of another.

        What was fitted on validation patients says of them what it says of patients that it has not seen.
        """
        ...

    def logits(self, hu: NDArray[np.int16]) -> NDArray[np.float64]:
        """Of the slices of one exam (n, 512, 512), from foot to head, by torch behind numpy's road: (n, classes)."""
        ...

    def digest(self) -> str:
        """By which a scorecard names what it measured."""
        ...

    def graph(self) -> Graph:
        """What is exported of it."""
        ...


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """The best checkpoints of runs of one input road, population and list of classes; their logits are averaged."""

    recipe: SliceRecipe
    runs: tuple[Path, ...]
    classifiers: tuple[SliceClassifier, ...]

    @property
    def models(self) -> tuple["TrainedModel", ...]:
        """Itself: what there is to check, run by run."""
        return (self,)

    def predict(
        self,
        data: "OpenData",
        part: Part,
        progress: Progress,
        *,
        population: Population | None = None,
        device: str = "auto",
    ) -> Predictions:
        """What it says of the slices of one part: of its recipe's population, or of another."""
        return _averaged(
            [
                predict_part(best_of(run), data, part, progress, population=population, device=device)
                for run in self.runs
            ]
        )

    def logits(self, hu: NDArray[np.int16]) -> NDArray[np.float64]:
        """Of the slices of one exam (n, 512, 512), from foot to head, by torch behind numpy's road: (n, classes)."""
        planes = torch.from_numpy(exam_planes(self.recipe.input, list(hu)))
        with torch.inference_mode():
            return torch.stack([viewed(each)(planes) for each in self.classifiers]).double().mean(dim=0).numpy()

    def digest(self) -> str:
        """By which a scorecard names what it measured."""
        return digest_of(self.runs)

    def graph(self) -> Graph:
        """What is exported of it."""
        return SliceGraph(self.classifiers)


def best_of(run: Path) -> Path:
    """The run's best checkpoint. Raises WeightsError where there is none."""
    return _existing(run / BEST)


def predict_part(
    checkpoint: Path,
    data: "OpenData",
    part: Part,
    progress: Progress,
    *,
    population: Population | None = None,
    device: str = "auto",
) -> Predictions:
    """What a checkpoint says of the slices of one part: of its recipe's population, or of another.

    Raises WeightsError where the checkpoint is absent or damaged, or its weights give no probabilities.
    """
    classifier, recipe, _ = load_classifier(_existing(checkpoint))
    population = population or recipe.population
    slices = data.slices_of(recipe, population, part, progress)
    probabilities = predict(viewed(classifier), slices.images, slices.rows, device=device, progress=progress)
    return table_of(recipe, data.prepared, data.rows(population, part), probabilities, part)


def table_of(
    recipe: AnyKind, prepared: PreparedSet, rows: NDArray[np.integer], probabilities: NDArray[np.float64], part: Part
) -> Predictions:
    """What a recipe's model says of some rows of the set's index, (rows, classes), beside what the set says of them.

    Raises WeightsError where it gives no probabilities.
    """
    if len(bad := no_probabilities(probabilities)):
        raise WeightsError(
            f"{recipe.name} gives no probabilities for {counted(len(bad), 'slice')} of {len(rows):,} "
            f"({named_rows(rows[bad])} of the set's index, counted from 0): its weights are damaged or went astray in "
            "training; take another copy of the run, or train it anew with a lower fit.learning_rate"
        )
    chosen = prepared.index[rows]
    return Predictions(
        recipe.classes,
        chosen["patient"].to_numpy().astype(np.str_),
        prepared.exams[rows],
        chosen["name"].to_numpy().astype(np.str_),
        chosen["offset"].to_numpy().astype(np.float64),
        probabilities,
        prepared.labels_of(recipe.classes)[rows],
        part.value,
        prepared.header.labels_of,
    )


def fitted_on_these(fitted_on: Mapping[str, object], data: "OpenData", name: str) -> bool:
    """Whether what a run keeps of its own fit says that it was fitted on this set's validation part.

    Raises FittedTogetherError where the part is a piece of it: these patients are neither unseen nor all that it was
    fitted on.
    """
    origin, asked = fitted_on.get("origin"), json.loads(json.dumps(data.origin))
    if isinstance(origin, Mapping):
        origin = {key: value for key, value in origin.items() if key != TRAINING_PATIENTS}
    asked.pop(TRAINING_PATIENTS, None)  # however few were trained on, the validation part is whole
    if isinstance(origin, Mapping) and asked in origin.get("sets", ()):
        raise FittedTogetherError(
            f"{name} was fitted on the validation patients of several sets together, and one of them has not all; give "
            "--data every set that it was trained with"
        )
    return origin == asked


def _existing(checkpoint: Path) -> Path:
    if not checkpoint.exists():
        raise WeightsError(f"no checkpoint at {checkpoint}: `ichnos train` writes one after its first epoch")
    return checkpoint


def digest_of(runs: Sequence[Path]) -> str:
    """SHA-256 of the checkpoints' bytes, one after the other: folders are renamed and reused."""
    digest = hashlib.sha256()
    for run in runs:
        digest.update(best_of(run).read_bytes())
    return digest.hexdigest()


def _averaged(tables: Sequence[Predictions]) -> Predictions:
    """The mean of the logits, as the graph averages them."""
    first = tables[0]
    if len(tables) == 1:
        return first
    mean = np.mean([logit(table.probabilities, certain=1e-15) for table in tables], axis=0)
    return replace(first, probabilities=sigmoid(mean))
