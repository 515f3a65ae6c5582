"""Several trained models that answer as one: a cascade's two stages, an ensemble's members."""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from ichnos.data.splits import Part
from ichnos.evaluation.combination import FittedCombination, Linear, Ranks, combined, cross_fitted
from ichnos.models.ensemble import EnsembleGraph
from ichnos.models.export import CascadeGraph, Graph, both
from ichnos.predictions import Predictions
from ichnos.progress import Progress
from ichnos.recipe import CascadeRecipe, EnsembleRecipe, Population
from ichnos.subtypes import Subtype
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
        """As TrainedModel.logits."""
        return self.combination.apply(np.stack([member.logits(hu) for member in self.members]))

    def digest(self) -> str:
        """By which a scorecard names what it measured."""
        checkpoints = digest_of([run for model in self.models for run in model.runs])
        if self.fitted is None:
            return checkpoints
        return hashlib.sha256(f"{checkpoints} {self.fitted.model_dump_json()}".encode()).hexdigest()

    def graph(self) -> Graph:
        """What is exported of it."""
        return EnsembleGraph([member.graph() for member in self.members], self.combination, self.recipe.shares)
