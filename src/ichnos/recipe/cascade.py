"""Recipes of two models, one after the other."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ichnos.recipe.composite import CompositeRecipe
from ichnos.recipe.slices import SliceRecipe
from ichnos.recipe.training import Population
from ichnos.subtypes import Subtype

CASCADE_STAGES = ("gate", "subtypes")
"""The fields of a CascadeRecipe that are recipes, in the order in which they are asked."""


class CascadeRecipe(CompositeRecipe):
    """Two models, one after the other: a gate says whether a slice has any hemorrhage, a second stage says which.

    P(any) is the gate's; P(subtype) = P(any) · P(subtype | positive slice), so it is never above P(any). Each stage has
    an input road of its own.
    """

    in_words: ClassVar[str] = "a cascade"

    kind: Literal["cascade"] = "cascade"
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    title: str
    gate: SliceRecipe
    """Of all slices, with `any` among its classes; the others are not looked at."""
    subtypes: SliceRecipe
    """Of positives: what it says holds where there is a hemorrhage."""

    @model_validator(mode="after")
    def _stages_go_together(self) -> Self:
        gate, subtypes = self.gate, self.subtypes
        if gate.population.slices != "all":
            raise ValueError(
                "the gate is of positives: it has never seen a slice without hemorrhage, so it cannot say whether "
                "there is one; give it population.slices=all and `any` among its classes"
            )
        if Subtype.ANY not in gate.classes:
            raise ValueError(f"the gate must name `any`, it names {', '.join(gate.classes)}")
        if subtypes.population.slices != "positives":
            raise ValueError(
                f"the second stage ({', '.join(subtypes.classes)}) is of all slices, and the gate answers for those "
                "without hemorrhage; give it population.slices=positives and subtypes as its classes"
            )
        if set(gate.population.without) != set(subtypes.population.without):
            raise ValueError("the two stages leave out different subtypes: make population.without the same")
        self.check_spacings({"gate": "the gate", "subtypes": "the second stage"})
        return self

    @property
    def parts(self) -> dict[str, SliceRecipe]:
        """Both stages, by the names of their fields, which are those of their folders in a run too."""
        return dict(zip(CASCADE_STAGES, (self.gate, self.subtypes), strict=True))

    @property
    def classes(self) -> tuple[Subtype, ...]:
        """What the cascade names: the second stage's classes, then `any`."""
        return (*self.subtypes.classes, Subtype.ANY)

    @property
    def population(self) -> Population:
        """Which slices the cascade is for and is measured on: the gate's."""
        return self.gate.population
