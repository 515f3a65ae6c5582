"""A slice stage and boosted trees over what it says of an exam: as one trained model."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from ichnos.data.splits import Part
from ichnos.errors import BundleError, WeightsError
from ichnos.inference.engine import open_network
from ichnos.inference.exam_network import ExamEngine, SliceAnswers
from ichnos.models.export import Graph
from ichnos.predictions import Predictions
from ichnos.progress import Progress
from ichnos.readout import logit, sigmoid
from ichnos.recipe import EXAM, ExamRecipe, Population, TreesHead
from ichnos.subtypes import Subtype
from ichnos.training.trees import Examined, fit_trees
from ichnos.workflows.trained_model import Trained, TrainedModel, fitted_on_these

if TYPE_CHECKING:
    from ichnos.workflows.train import OpenData

TREES, RECORD = "trees.onnx", "trees.json"
"""Of a run's folder for what answers for exams: the trees, and what they were fitted on."""

_CERTAIN = 1e-15
"""What a double holds of σ(logit)."""


class TreesRecord(BaseModel):
    """trees.json of a run: how its trees came to be."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    form: Literal["ichnos-trees"] = "ichnos-trees"
    version: Literal[1] = 1
    head: TreesHead
    classes: tuple[Subtype, ...]
    slices: str
    """The digest of the slice stage."""
    sha256: str
    """Of trees.onnx."""
    fitted_on: Mapping[str, object]
    """Of whom, and how many patients and slices."""
    rounds: Mapping[Subtype, int]
    """Trees of each class; 0: the slice stage's logit stays."""
    losses: Mapping[Subtype, tuple[float, ...]]
    """Of each class: mean log-loss of left-out patients' slices by 0, 1, 2, ... trees; empty where none were tried."""
    notes: tuple[str, ...]

    @classmethod
    def found(cls, folder: Path) -> Self | None:
        """That of trees which are there and whole."""
        try:
            record = cls.model_validate_json((folder / RECORD).read_bytes())
            content = (folder / TREES).read_bytes()
        except (ValidationError, OSError):
            return None
        return record if record.sha256 == hashlib.sha256(content).hexdigest() else None

    def is_of(self, recipe: ExamRecipe, slices: str) -> bool:
        """Whether the trees were grown as the recipe says, over the slice stage of this digest."""
        return (self.head, self.classes, self.slices) == (recipe.head, recipe.classes, slices)


@dataclass(frozen=True, eq=False)
class TrainedTrees:
    """A slice stage, and trees that answer for each of an exam's slices by what it said of those around it."""

    recipe: ExamRecipe
    slices: Trained
    network: bytes
    """trees.onnx."""
    fitted_on: Mapping[str, object]
    """Of whom they were grown: as in their record."""

    @classmethod
    def open(cls, recipe: ExamRecipe, slices: Trained, run: Path) -> "TrainedTrees":
        """run: the folder of the whole. Raises WeightsError where there are no trees of this slice stage and recipe."""
        record = TreesRecord.found(run / EXAM)
        if record is None:
            raise WeightsError(f"{run.name} has no trees yet, or they are damaged: the same `ichnos train` grows them")
        if not record.is_of(recipe, slices.digest()):
            raise WeightsError(
                f"the trees of {run.name} were grown over another slice stage than the one beside them, or by another "
                "recipe: the same `ichnos train` grows them anew"
            )
        return cls(recipe, slices, (run / EXAM / TREES).read_bytes(), record.fitted_on)

    @property
    def models(self) -> tuple[TrainedModel, ...]:
        """Those of the slice stage: what there is to check, run by run."""
        return self.slices.models

    def predict(
        self,
        data: "OpenData",
        part: Part,
        progress: Progress,
        *,
        population: Population | None = None,
        device: str = "auto",
    ) -> Predictions:
        """What it says of the slices of one part. Validation patients whom the trees were fitted on are told what
        trees say that were grown without them, so that calibration on them is not flattered. Raises InputError for a
        piece of those that were fitted on."""
        whole = self.recipe.population  # exams are read whole, whatever of them is asked for
        slices = self.slices.predict(data, part, progress, population=whole, device=device)
        if part is Part.VALIDATION and fitted_on_these(self.fitted_on, data, self.recipe.name):
            assert isinstance(self.recipe.head, TreesHead)
            said = fit_trees(self.recipe.head, examined(slices), progress).unseen
        else:
            said = answers(self.network, slices)
        table = replace(slices, probabilities=sigmoid(said))
        return table.select(np.isin(data.rows(whole, part), data.rows(population or whole, part)))

    def logits(self, hu: NDArray[np.int16]) -> NDArray[np.float64]:
        """As TrainedModel.logits; slices lie as far apart as the slice stage's neighbours."""
        said = self.slices.logits(hu)
        places = np.arange(len(hu)) * self.recipe.widest.neighbour_spacing
        return _engine(self.network, said.shape[1]).run(_said(said), places).astype(np.float64)

    def digest(self) -> str:
        """By which a scorecard names what it measured."""
        return hashlib.sha256(self.slices.digest().encode() + self.network).hexdigest()

    def graph(self) -> Graph:
        """The slice stage's, which is exported as slice.onnx."""
        return self.slices.graph()

    def exam_graph(self) -> bytes:
        """exam.onnx."""
        return self.network


def examined(slices: Predictions) -> Examined:
    """What a slice stage says of some slices, as trees learn from it."""
    logits = logit(slices.probabilities, certain=_CERTAIN)
    return Examined(slices.classes, logits, slices.offset, slices.labels, slices.exam, slices.patient)


def answers(network: bytes, slices: Predictions) -> NDArray[np.float64]:
    """What trees.onnx makes of a slice stage's answers, exam by exam, as a bundle's reader asks it: logits."""
    engine = _engine(network, len(slices.classes))
    given = logit(slices.probabilities, certain=_CERTAIN)
    made = np.empty_like(given)
    for exam in np.unique(slices.exam):
        rows = np.flatnonzero(slices.exam == exam)
        made[rows] = engine.run(_said(given[rows]), slices.offset[rows])
    return made


def _said(logits: NDArray[np.float64]) -> SliceAnswers:
    """Trees look at no features."""
    return SliceAnswers(logits.astype(np.float32), np.zeros((len(logits), 1), np.float32), None)


def _engine(network: bytes, outputs: int) -> ExamEngine:
    try:
        session = open_network(network, TREES)
    except BundleError as error:
        raise WeightsError(f"{error}: the same `ichnos train` makes it anew") from error
    return ExamEngine(session, ("features", "logits", "offsets"), outputs)
