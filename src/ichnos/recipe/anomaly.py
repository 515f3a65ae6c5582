"""Recipes that find a class which no training slice shows, by how unlike everything else a slice is."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ichnos.recipe.composite import CompositeRecipe
from ichnos.recipe.slices import SliceRecipe
from ichnos.recipe.training import Population
from ichnos.subtypes import CLASSES, Subtype


class AnomalyRecipe(CompositeRecipe):
    """A network of slices without one subtype, and a density of its features: what lies far from all that it was
    trained on is called that subtype.

    The distance is Mahalanobis' to the nearest group of training slices, of one covariance shrunk after Ledoit and
    Wolf (Lee 2018, https://arxiv.org/abs/1807.03888). Whatever else is unusual is far as well. What the network's first
    weights have seen is theirs: ichnos' own were trained on synthetic heads with every subtype.
    """

    in_words: ClassVar[str] = "an anomaly detector"

    kind: Literal["anomaly"] = "anomaly"
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    title: str
    usual: SliceRecipe
    """Of all slices but those with `of`."""
    of: Subtype = Subtype.EPIDURAL
    """What no training slice shows, and what is called where a slice is unusual."""
    groups: Literal["classes", "one"] = "classes"
    """`classes`: a mean for slices without hemorrhage and one for each subtype; `one`: a single mean of all."""

    @model_validator(mode="after")
    def _never_sees_it(self) -> Self:
        if self.of is Subtype.ANY:
            raise ValueError("an anomaly is one subtype, not `any`: slices without hemorrhage are what is usual")
        if self.usual.population != Population(slices="all", without=(self.of,)):
            raise ValueError(
                f"the network must see all slices but {self.of.value} ones: give usual.population slices=all and "
                f"without={self.of.value} alone"
            )
        if self.usual.classes != tuple(c for c in CLASSES if c in self.usual.classes):
            raise ValueError(f"name usual.classes in their order: {', '.join(c for c in CLASSES if c is not self.of)}")
        if self.usual.input.neighbours:
            raise ValueError(
                f"a slice beside one with {self.of.value} would show it as a neighbour: give usual.input.neighbours=0"
            )
        if self.usual.test_time is not None:
            raise ValueError("distances are of a slice as it is: leave usual.test_time out")
        return self

    @property
    def parts(self) -> dict[str, SliceRecipe]:
        """The network, by its folder."""
        return {"usual": self.usual}

    @property
    def classes(self) -> tuple[Subtype, ...]:
        """The network's and the one that it has never seen, in the usual order."""
        return tuple(c for c in CLASSES if c is self.of or c in self.usual.classes)

    @property
    def population(self) -> Population:
        """What it is for and is measured on: all slices."""
        return Population(slices="all")
