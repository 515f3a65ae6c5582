"""The input road: what of a slice a network sees."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from ichnos.ct import Window
from ichnos.recipe.grammar import Grammar, digest


class WindowMerge(StrEnum):
    """How the windows of one slice become planes."""

    MEAN = "mean"
    """One plane: the mean of all windows (the study's "single combined window")."""
    STACK = "stack"
    """One plane a window."""


class Normalisation(StrEnum):
    """What happens to values in [0, 1] before the network sees them."""

    UNIT = "unit"
    """Nothing more."""
    IMAGENET = "imagenet"
    """Less ImageNet's mean, divided by its deviation, channel by channel: what ImageNet weights were trained on."""


class InputSpec(Grammar):
    """The one road from HU to what a network sees, in the order in which it is walked (ichnos.inputs walks it).

    HU 512×512 → each window → merge → resize (separable antialiased triangle) → round to uint8 → [the cache holds
    this] → stack with the neighbours' planes → /255 → copy a single plane to three channels → normalise.
    """

    windows: tuple[Window, ...] = Field(min_length=1)
    merge: WindowMerge = WindowMerge.MEAN
    size: Annotated[int, Field(ge=32, le=512)] = 224
    """Rows and columns of what the network sees."""
    normalisation: Normalisation = Normalisation.IMAGENET
    neighbours: Annotated[int, Field(ge=0, le=8)] = 0
    """2.5D: so many slices below and as many above are shown with each slice, in order from foot to head."""
    neighbour_spacing: Annotated[float, Field(gt=0, le=50)] = 5.0
    """mm along the slice normal from one neighbour to the next. The slice nearest to each place is taken, so thin
    slices are seen as far apart as thick ones, and beyond the exam's ends the last slice stands for what is missing."""

    @property
    def planes(self) -> int:
        """Planes a slice has in the cache."""
        return 1 if self.merge is WindowMerge.MEAN else len(self.windows)

    @property
    def stacked(self) -> int:
        """Planes of a slice and its neighbours together."""
        return self.planes * (2 * self.neighbours + 1)

    @property
    def channels(self) -> int:
        """Channels that the network sees: a single plane is copied to three, as ImageNet's stem wants."""
        return 3 if self.stacked == 1 else self.stacked

    def cached(self) -> dict[str, Any]:
        """What decides the bytes of a cache: all but what comes after it."""
        return self.model_dump(mode="json", exclude={"normalisation", "neighbours", "neighbour_spacing"})

    def fingerprint(self) -> str:
        """16 hex digits that name what the cache holds."""
        return digest(self.cached())
