"""What training left behind, opened: one model (of one run, or of several that are averaged) or a cascade of two."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from ichnos.data.splits import Part
from ichnos.errors import WeightsError
from ichnos.inputs import exam_planes
from ichnos.models.checkpoint import load_classifier
from ichnos.models.classifier import SliceClassifier
from ichnos.models.export import common_map_side, export_cascade, export_graph
from ichnos.predictions import Predictions
from ichnos.progress import Progress
from ichnos.readout import logit, sigmoid
from ichnos.recipe import CASCADE_STAGES, CascadeRecipe, Population, Recipe, SliceRecipe, explain
from ichnos.subtypes import Subtype
from ichnos.training.prediction import predict
from ichnos.workflows.train import OpenData

BEST = "best.safetensors"


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
        data: OpenData,
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

    def probabilities(self, hu: NDArray[np.int16]) -> NDArray[np.float32]:
        """Of the slices of one exam (n, 512, 512), from foot to head, by torch behind numpy's road: (n, classes)."""
        planes = torch.from_numpy(exam_planes(self.recipe.input, list(hu)))
        with torch.inference_mode():
            logits = torch.stack([classifier(planes) for classifier in self.classifiers]).mean(dim=0)
        return logits.sigmoid().numpy()

    def digest(self) -> str:
        """By which a scorecard names what it measured."""
        return _digest(self.runs)

    @property
    def map_side(self) -> int:
        """Rows and columns of its class maps; 0 where a network has none."""
        return common_map_side(self.classifiers)

    def graph(self) -> bytes:
        """Its ONNX file."""
        return export_graph(self.classifiers)


@dataclass(frozen=True, eq=False)
class TrainedCascade:
    """A gate and a second stage: P(any) is the gate's, P(subtype) = P(any) · P(subtype | positive slice)."""

    recipe: CascadeRecipe
    gate: TrainedModel
    subtypes: TrainedModel

    @property
    def models(self) -> tuple[TrainedModel, ...]:
        """Both stages: what there is to check, run by run."""
        return (self.gate, self.subtypes)

    def predict(self, data: OpenData, part: Part, progress: Progress, *, device: str = "auto") -> Predictions:
        """What it says of the slices of one part, with and without hemorrhage."""
        gate, subtypes = (
            model.predict(data, part, progress, population=self.recipe.population, device=device)
            for model in self.models
        )
        return Predictions.cascaded(gate, subtypes)

    def probabilities(self, hu: NDArray[np.int16]) -> NDArray[np.float32]:
        """As TrainedModel.probabilities, in the order of the cascade's classes."""
        column = self.gate.recipe.classes.index(Subtype.ANY)
        some = self.gate.probabilities(hu)[:, [column]]
        return np.hstack([some * self.subtypes.probabilities(hu), some])

    def digest(self) -> str:
        """By which a scorecard names what it measured."""
        return _digest([*self.gate.runs, *self.subtypes.runs])

    @property
    def map_side(self) -> int:
        """Rows and columns of its class maps, the second stage's; 0 where either stage has none."""
        return self.subtypes.map_side if self.gate.map_side else 0

    def graph(self) -> bytes:
        """Its ONNX file."""
        return export_cascade(self.gate.classifiers[0], self.subtypes.classifiers[0])


def open_runs(runs: Sequence[Path]) -> TrainedModel | TrainedCascade:
    """One run of either kind; or several of one model, to be averaged; or a gate and a second stage, in this order.

    Raises WeightsError where a checkpoint is missing or damaged, or where the runs do not go together.
    """
    cascades = [run for run in runs if _is_cascade(run)]
    if cascades and len(runs) > 1:
        raise WeightsError(
            f"{cascades[0].name} is a cascade's run, which becomes a bundle by itself; its stages are runs too: "
            f"{cascades[0].name}/gate and {cascades[0].name}/subtypes"
        )
    if cascades:
        return _open_cascade(cascades[0])
    models = [_open(run) for run in runs]
    if len(models) == 2 and {model.recipe.population.slices for model in models} == {"all", "positives"}:
        return _cascade(*models)
    return _average(models)


def best_of(run: Path) -> Path:
    """The run's best checkpoint. Raises WeightsError where there is none."""
    return _existing(run / BEST)


def population_text(recipe: Recipe) -> str:
    """Which slices a network has seen, in words."""
    if isinstance(recipe, CascadeRecipe):
        return f"{population_text(recipe.gate)} (the gate), and {population_text(recipe.subtypes)} (the second stage)"
    seen = {"all": "slices with and without hemorrhage", "positives": "only slices with a hemorrhage"}
    without = "".join(f", none with {c.value} hemorrhage" for c in recipe.population.without)
    return seen[recipe.population.slices] + without


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


def _existing(checkpoint: Path) -> Path:
    if not checkpoint.exists():
        raise WeightsError(f"no checkpoint at {checkpoint}: `ichnos train` writes one after its first epoch")
    return checkpoint


def _is_cascade(run: Path) -> bool:
    return not (run / BEST).exists() and all((run / stage).is_dir() for stage in CASCADE_STAGES)


def _open(run: Path) -> TrainedModel:
    classifier, recipe, _ = load_classifier(best_of(run))
    return TrainedModel(recipe, (run,), (classifier,))


def _average(models: Sequence[TrainedModel]) -> TrainedModel:
    first = models[0].recipe
    for other in (model.recipe for model in models[1:]):
        if (other.input, other.classes, other.population) != (first.input, first.classes, first.population):
            raise WeightsError(
                f"runs that become one bundle need one input road, one population and one list of classes; "
                f"{other.name} has others than {first.name}; export them one by one, or as a cascade: two runs, first "
                "one that names `any` on all slices, then one of positives"
            )
    return TrainedModel(
        first, tuple(run for model in models for run in model.runs), tuple(c for m in models for c in m.classifiers)
    )


def _cascade(gate: TrainedModel, subtypes: TrainedModel) -> TrainedCascade:
    """Of two runs that were trained apart."""
    title = f"{gate.recipe.title}, then {subtypes.recipe.title}"
    try:
        recipe = CascadeRecipe(name="cascade", title=title, gate=gate.recipe, subtypes=subtypes.recipe)
        return TrainedCascade(recipe, gate, subtypes)
    except ValidationError as error:
        raise WeightsError(
            "a run of all slices and a run of positives become a cascade, given in this order, but here "
            f"{explain(error)}"
        ) from error


def _open_cascade(run: Path) -> TrainedCascade:
    """What `ichnos train` made of a CascadeRecipe. What the checkpoints say of themselves counts."""
    models = {stage: _open(run / stage) for stage in CASCADE_STAGES}
    if not (run / "recipe.json").exists():
        raise WeightsError(f"{run.name} is a cascade whose training has not ended: the same `ichnos train` goes on")
    try:
        recipe = CascadeRecipe.model_validate_json((run / "recipe.json").read_bytes())
        recipe = recipe.derive(**{stage: model.recipe for stage, model in models.items()})
    except ValidationError as error:
        raise WeightsError(f"{run / 'recipe.json'} does not fit the run: {explain(error)}") from error
    return TrainedCascade(recipe, **models)


def _digest(runs: Sequence[Path]) -> str:
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
