"""What recipes of several models share: the recipes within, by the folders in which they are trained."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Union

from ichnos.recipe.grammar import AnyRecipe
from ichnos.recipe.inputs import InputSpec
from ichnos.recipe.slices import SliceRecipe

if TYPE_CHECKING:
    from ichnos.recipe.cascade import CascadeRecipe
    from ichnos.recipe.ensemble import EnsembleRecipe
    from ichnos.recipe.exam import ExamRecipe

Part = Union[SliceRecipe, "CascadeRecipe", "EnsembleRecipe", "ExamRecipe"]
"""What can stand within another recipe."""


class CompositeRecipe(AnyRecipe):
    """Several recipes that become one model. Each trains into a folder of its own and keeps its own input road."""

    @property
    def parts(self) -> Mapping[str, Part]:
        """The recipes right within, by their folders in a run; with dots for slashes, these are their fields too."""
        raise NotImplementedError

    @property
    def stages(self) -> dict[str, SliceRecipe]:
        """Every recipe of one model, however deep within, by its folder: what is trained."""
        return {join(path, stage): each for path, part in self.parts.items() for stage, each in part.stages.items()}

    @property
    def composites(self) -> "dict[str, CompositeRecipe]":
        """Every recipe of several models by its folder, those within before those around them, itself last, by ""."""
        within = {
            join(path, inner): each for path, part in self.parts.items() for inner, each in part.composites.items()
        }
        return within | {"": self}

    @property
    def widest(self) -> InputSpec:
        """The input road that shows the most neighbours: what is laid beside a slice for it serves every stage."""
        return max((stage.input for stage in self.stages.values()), key=lambda road: road.neighbours)

    def check_spacings(self, names: Mapping[str, str] | None = None) -> None:
        """One list of neighbours is laid beside a slice for all. Raises ValueError where they lie differently far.

        names: what a part is called in that sentence, by its folder.
        """
        shown = {path: part.widest for path, part in self.parts.items() if part.widest.neighbours}
        if len({road.neighbour_spacing for road in shown.values()}) > 1:
            said = ", ".join(
                f"{(names or {}).get(path, path)} every {road.neighbour_spacing:g} mm" for path, road in shown.items()
            )
            raise ValueError(f"several show neighbours, {said}: make input.neighbour_spacing the same")


def join(*names: str) -> str:
    """Folders one in the other; an empty name is none."""
    return "/".join(filter(None, names))
