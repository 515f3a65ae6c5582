"""The typed grammar of recipes: what a recipe may say, and that what it says makes sense."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from ichnos.errors import RecipeError
from ichnos.networks import Head as Head
from ichnos.networks import Network as Network
from ichnos.recipe.anomaly import AnomalyRecipe as AnomalyRecipe
from ichnos.recipe.cascade import CASCADE_STAGES as CASCADE_STAGES
from ichnos.recipe.cascade import CascadeRecipe as CascadeRecipe
from ichnos.recipe.composite import CompositeRecipe as CompositeRecipe
from ichnos.recipe.composite import join as join
from ichnos.recipe.ensemble import MEMBERS as MEMBERS
from ichnos.recipe.ensemble import EnsembleRecipe as EnsembleRecipe
from ichnos.recipe.exam import EXAM as EXAM
from ichnos.recipe.exam import SLICES as SLICES
from ichnos.recipe.exam import ExamFit as ExamFit
from ichnos.recipe.exam import ExamHead as ExamHead
from ichnos.recipe.exam import ExamInput as ExamInput
from ichnos.recipe.exam import ExamRecipe as ExamRecipe
from ichnos.recipe.exam import SequenceHead as SequenceHead
from ichnos.recipe.grammar import AnyRecipe as AnyRecipe
from ichnos.recipe.grammar import Grammar as Grammar
from ichnos.recipe.grammar import explain as explain
from ichnos.recipe.inputs import InputSpec as InputSpec
from ichnos.recipe.inputs import Normalisation as Normalisation
from ichnos.recipe.inputs import WindowMerge as WindowMerge
from ichnos.recipe.slices import SliceRecipe as SliceRecipe
from ichnos.recipe.training import Augmentation as Augmentation
from ichnos.recipe.training import Averaging as Averaging
from ichnos.recipe.training import Fit as Fit
from ichnos.recipe.training import Loss as Loss
from ichnos.recipe.training import Population as Population
from ichnos.recipe.training import Sampling as Sampling
from ichnos.recipe.training import Segmentation as Segmentation
from ichnos.recipe.training import Synthetic as Synthetic
from ichnos.recipe.training import TestTime as TestTime
from ichnos.recipe.trees import TreesHead as TreesHead

AnyKind = SliceRecipe | CascadeRecipe | EnsembleRecipe | AnomalyRecipe | ExamRecipe
"""Of every kind one."""

Recipe = Annotated[AnyKind, Field(discriminator="kind")]
"""The same, as it is read: its `kind` says which."""


def fits_of(recipe: AnyKind) -> dict[str, str]:
    """Every network that is trained, by its folder in a run: the field that says how (`fit`, `slices.gate.fit`)."""
    fields = {path: _field(path, "fit") for path in recipe.stages}
    return fields | {join(path, EXAM): _field(path, "fit") for path in exam_networks(recipe)}


def exam_networks(recipe: AnyKind) -> dict[str, ExamRecipe]:
    """Every recipe in it that trains a network of exams, itself too, by its folder. Boosted trees are none."""
    return {
        path: each
        for path, each in recipe.composites.items()
        if isinstance(each, ExamRecipe) and isinstance(each.head, SequenceHead)
    }


def _field(path: str, name: str) -> str:
    return ".".join(filter(None, (path.replace("/", "."), name)))


class RecipeFile(Grammar):
    """A recipe as it was found: the object, its docstring and where it stands."""

    recipe: Recipe
    docstring: str
    path: Path

    @property
    def of_one_model(self) -> SliceRecipe:
        """The recipe where one model is wanted. Raises RecipeError for one of several."""
        if not isinstance(self.recipe, SliceRecipe):
            raise RecipeError(f"{self.recipe.name} is {self.recipe.in_words}; a recipe of one model is wanted here")
        return self.recipe
