"""Several trained models that answer as one: a cascade's two stages, an ensemble's members."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from ichnos.data.splits import Part
from ichnos.evaluation.combination import FittedCombination, Linear, Ranks, combined, cross_fitted
from ichnos.models.ensemble import EnsembleGraph
from ichnos.models.exam_ensemble import export_exam_ensemble
from ichnos.models.export import CascadeGraph, Graph, both
from ichnos.predictions import Predictions
from ichnos.progress import Progress
from ichnos.recipe import CascadeRecipe, EnsembleRecipe, Population, join
from ichnos.subtypes import Subtype
from ichnos.workflows.trained_exam import TrainedExam
from ichnos.workflows.trained_model import Trained, TrainedModel, digest_of, fitted_on_these

if TYPE_CHECKING:
    from ichnos.workflows.train import OpenData


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

    def predict(
        self,
        data: "OpenData",
        part: Part,
        progress: Progress,
        *,
        population: Population | None = None,
        device: str = "auto",
    ) -> Predictions:
        """What it says of the slices of one part, with and without hemorrhage."""
        gate, subtypes = (
            model.predict(data, part, progress, population=population or self.recipe.population, device=device)
            for model in self.models
        )
        return Predictions.cascaded(gate, subtypes)

    def logits(self, hu: NDArray[np.int16]) -> NDArray[np.float64]:
        """As TrainedModel.logits, in the order of the cascade's classes."""
        column = self.gate.recipe.classes.index(Subtype.ANY)
        some, which = (torch.from_numpy(model.logits(hu)) for model in self.models)
        some = some[:, [column]]
        return torch.hstack([both(some, which), some]).numpy()

    def digest(self) -> str:
        """By which a scorecard names what it measured."""
        return digest_of([*self.gate.runs, *self.subtypes.runs])

    def graph(self) -> Graph:
        """What is exported of it."""
        return CascadeGraph(self.gate.classifiers[0], self.subtypes.classifiers[0])


@dataclass(frozen=True, eq=False)
class TrainedEnsemble:
    """Members, and how their logits become one."""

    recipe: EnsembleRecipe
    members: tuple[Trained, ...]
    fitted: FittedCombination | None
    """None: a weighted mean, for which nothing is fitted."""

    @property
    def models(self) -> tuple[TrainedModel, ...]:
        """Those of every member: what there is to check, run by run."""
        return tuple(model for member in self.members for model in member.models)

    @property
    def combination(self) -> Linear | Ranks:
        """How the members' logits become one."""
        if self.fitted is not None:
            return self.fitted.combination
        return Linear.mean(self.recipe.shares, len(self.recipe.classes))

    def predict(
        self,
        data: "OpenData",
        part: Part,
        progress: Progress,
        *,
        population: Population | None = None,
        device: str = "auto",
    ) -> Predictions:
        """What it says of the slices of one part. Where a stacking was fitted on that part, each patient is told what
        the fit of the others says, so that calibration on them is not flattered. Raises InputError for a piece of what
        a stacking was fitted on."""
        slices = population or self.recipe.population
        tables = [member.predict(data, part, progress, population=slices, device=device) for member in self.members]
        stacking = self.fitted if self.recipe.combine == "stacking" else None
        if part is Part.VALIDATION and stacking and fitted_on_these(stacking.fitted_on, data, self.recipe.name):
            return cross_fitted(tables)
        return combined(self.combination, tables)

    def logits(self, hu: NDArray[np.int16]) -> NDArray[np.float64]:
        """As TrainedModel.logits; networks of exams see slices as far apart as the neighbours that any member shows."""
        offsets = np.arange(len(hu)) * self.recipe.widest.neighbour_spacing
        said = [
            member.logits_at(hu, offsets) if isinstance(member, TrainedExam) else member.logits(hu)
            for member in self.members
        ]
        return self.combination.apply(np.stack(said))

    def digest(self) -> str:
        """By which a scorecard names what it measured."""
        checkpoints = digest_of_members(self.members)
        if self.fitted is None:
            return checkpoints
        return hashlib.sha256(f"{checkpoints} {self.fitted.model_dump_json()}".encode()).hexdigest()

    def graph(self) -> Graph:
        """What is exported of it; with networks of exams among the members, their slice stages beside the others."""
        combination = None if self.recipe.reads_exams_whole else self.combination
        return EnsembleGraph(self._graphs(), combination, self.recipe.shares)

    def exam_graph(self) -> bytes | None:
        """exam.onnx, which joins the members; None where no network of exams is among them."""
        if not self.recipe.reads_exams_whole:
            return None
        networks = [member.network if isinstance(member, TrainedExam) else None for member in self.members]
        features = [graph.features for graph in self._graphs()]
        return export_exam_ensemble(networks, features, self.combination, len(self.recipe.classes))

    def _graphs(self) -> list[Graph]:
        """Of each member's slices; of the same weights, as where one member is another's slice stage, one graph."""
        stages = [member.slices if isinstance(member, TrainedExam) else member for member in self.members]
        graphs = {stage.digest(): stage.graph() for stage in stages}
        return [graphs[stage.digest()] for stage in stages]


def exams_within(model: Trained) -> dict[str, TrainedExam]:
    """Every trained network of exams in it, itself too, by the folder in which `exam_networks` has its recipe."""
    match model:
        case TrainedExam():
            return {"": model}
        case TrainedEnsemble():
            members = zip(model.recipe.parts, model.members, strict=True)
            return {join(path, inner): each for path, m in members for inner, each in exams_within(m).items()}
        case _:
            return {}


def digest_of_members(members: Sequence[Trained]) -> str:
    """SHA-256 of their weights, one after the other; a network of exams' come after those of its slice stage."""
    runs: list[Path] = []
    for member in members:
        runs += [run for model in member.models for run in model.runs]
        runs += [each.run for each in exams_within(member).values()]
    return digest_of(runs)
