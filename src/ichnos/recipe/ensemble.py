"""Recipes of several models that answer together."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self, Union

from pydantic import Field, model_validator

from ichnos.recipe.cascade import CascadeRecipe
from ichnos.recipe.composite import CompositeRecipe
from ichnos.recipe.slices import SliceRecipe
from ichnos.recipe.training import Population
from ichnos.subtypes import Subtype

if TYPE_CHECKING:
    from ichnos.recipe.exam import ExamRecipe  # which may stand on an ensemble, and completes this one's fields

Member = Union[SliceRecipe, CascadeRecipe, "ExamRecipe"]
"""What can answer in an ensemble."""

MEMBERS = "members"
"""The field of an EnsembleRecipe, and the folder of its run, that holds its members."""

Combine = Literal["mean", "rank", "stacking"]
"""How members' answers become one; see EnsembleRecipe.combine."""


class EnsembleRecipe(CompositeRecipe):
    """Several models of the same classes and slices, each with an input road and a network of its own, that answer
    together."""

    in_words: ClassVar[str] = "an ensemble"

    kind: Literal["ensemble"] = "ensemble"
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    title: str
    members: Mapping[
        Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")],
        Annotated[Member, Field(discriminator="kind")],
    ]
    """At least two, by names that are those of their folders in RUN/members too. Of networks of exams those that look
    at features and logits."""
    combine: Combine = "mean"
    """`mean`: the weighted mean of the members' logits, which is how runs of one recipe are averaged too; `rank`: the
    weighted mean of the places that each member's logit takes among those of the validation slices, as a log-odds;
    `stacking`: for each class a regularised logistic regression on all logits of all members (Wolpert 1992), fitted on
    the validation patients."""
    weights: Mapping[str, Annotated[float, Field(gt=0)]] = {}
    """Of members in `mean` and `rank`, and of every ensemble's class maps; 1 where not named."""

    @model_validator(mode="after")
    def _members_go_together(self) -> Self:
        if len(self.members) < 2:
            raise ValueError(f"an ensemble has at least two members, this one has {len(self.members)}")
        strangers = sorted(set(self.weights) - set(self.members))
        if strangers:
            raise ValueError(f"weights names what is no member: {', '.join(strangers)}")
        if self.weights and self.combine == "stacking":
            raise ValueError("stacking finds its weights on validation patients: leave `weights` out")
        (first, one), *others = self.members.items()
        for name, other in others:
            if other.classes != one.classes:
                raise ValueError(
                    f"the members of an ensemble name the same classes in the same order; {first} names "
                    f"{', '.join(one.classes)}, {name} names {', '.join(other.classes)}"
                )
            if other.population != one.population:
                raise ValueError(
                    f"the members of an ensemble are of the same slices; {first} is of {_said(one.population)}, {name} "
                    f"of {_said(other.population)}: make population the same"
                )
        for name, member in self.members.items():
            if member.kind == "exam":
                _check_head(name, member)
        self.check_spacings()
        return self

    @property
    def parts(self) -> dict[str, Member]:
        """The members, by their folders."""
        return {f"{MEMBERS}/{name}": member for name, member in self.members.items()}

    @property
    def reads_exams_whole(self) -> bool:
        """Whether a network of exams is among the members."""
        return any(member.kind == "exam" for member in self.members.values())

    @property
    def shares(self) -> tuple[float, ...]:
        """What each member counts, in their order; they sum to 1."""
        weights = [self.weights.get(name, 1.0) for name in self.members]
        return tuple(weight / sum(weights) for weight in weights)

    @property
    def classes(self) -> tuple[Subtype, ...]:
        """What every member names."""
        return next(iter(self.members.values())).classes

    @property
    def population(self) -> Population:
        """Which slices it is for and is measured on: every member's."""
        return next(iter(self.members.values())).population


def _check_head(name: str, member: "ExamRecipe") -> None:
    """Raise ValueError where the head cannot stand beside other members."""
    if member.head.kind == "trees":
        raise ValueError(
            f"{name} has boosted trees, which learn from the validation patients: beside members that have not, they "
            "would be heard too much there; give the ensemble its slice stage as a member, or make the ensemble the "
            "slice stage of the trees"
        )
    if member.head.sees_maps:
        raise ValueError(
            f"{name} looks at class maps, and an ensemble has one set of maps for all its members; give it a head that "
            "looks at features and logits: gru, lstm, transformer, two-stage or dense"
        )


def _said(population: Population) -> str:
    without = f" without {', '.join(population.without)}" if population.without else ""
    return ("all slices" if population.slices == "all" else "positives") + without
