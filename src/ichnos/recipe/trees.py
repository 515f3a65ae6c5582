"""The grammar of boosted trees over the slices of an exam."""

from typing import Annotated, Literal

from pydantic import Field

from ichnos.recipe.grammar import Grammar


class TreesHead(Grammar):
    """Boosted trees, some for each class, on what the slice stage gave a slice and those below and above it.

    They begin from the slice's own logit and add to it (Friedman 2002, https://doi.org/10.1016/S0167-9473(01)00065-2).
    They learn from validation patients, of whom the slice stage is as unsure as of any new one; how many trees a class
    gets is chosen by patients of those that were left out.
    """

    kind: Literal["trees"] = "trees"
    neighbours: Annotated[int, Field(ge=0, le=32)] = 9
    """How many below and how many above are looked at."""
    neighbour_spacing: Annotated[float, Field(ge=0.5, le=20)] = 5.0
    """mm from one to the next, along the slice normal."""
    rounds: Annotated[int, Field(ge=1, le=1000)] = 100
    """Trees of a class, at most: so many of them as serve the patients that were left out best, or none."""
    depth: Annotated[int, Field(ge=1, le=8)] = 3
    """Questions that a tree asks of a slice."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.05
    """What a tree counts."""
    subsample: Annotated[float, Field(gt=0, le=1)] = 0.7
    """The share of slices that a tree learns from."""
    columns: Annotated[float, Field(gt=0, le=1)] = 0.3
    """The share of the table's columns that a question is chosen from."""
    leaf: Annotated[int, Field(ge=1)] = 10
    """Slices that an answer rests on, at least."""
    patients: Annotated[int, Field(ge=2)] = 5
    """A class that fewer validation patients have slices with, or slices without, keeps the slice stage's logit."""
    seed: Annotated[int, Field(ge=0)] = 0

    @property
    def sees_maps(self) -> bool:
        """Whether they look at the slices' class maps: never."""
        return False
