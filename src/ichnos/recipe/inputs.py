"""The input road: what of a slice a network sees."""

from enum import StrEnum
from typing import Annotated, Any, ClassVar

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

    Raw HU go beside the windows: clip to what a scanner tells apart → resize → round to whole HU → two bytes [in the
    cache] → one channel in hundreds of HU.
    """

    added_later: ClassVar[tuple[str, ...]] = ("raw_hu",)

    windows: tuple[Window, ...] = Field(min_length=1)
    merge: WindowMerge = WindowMerge.MEAN
    raw_hu: bool = False
    """Beside its windows each slice shows its HU themselves, −1024 to 3071, in one more channel with a stem of its own:
    the network's first convolution of that channel, which begins at zero, is added to that of the windows."""
    size: Annotated[int, Field(ge=32, le=512)] = 224
    """Rows and columns of what the network sees."""
    normalisation: Normalisation = Normalisation.IMAGENET
    neighbours: Annotated[int, Field(ge=0, le=8)] = 0
    """2.5D: so many slices below and as many above are shown with each slice, in order from foot to head."""
    neighbour_spacing: Annotated[float, Field(gt=0, le=50)] = 5.0
    """mm along the slice normal from one neighbour to the next. The slice nearest to each place is taken, so thin
    slices are seen as far apart as thick ones, and beyond the exam's ends the last slice stands for what is missing."""

    @property
    def windowed(self) -> int:
        """Planes a slice has of its windows."""
        return 1 if self.merge is WindowMerge.MEAN else len(self.windows)

    @property
    def planes(self) -> int:
        """Planes a slice has in the cache: those of its windows, then the high and the low byte of its raw HU."""
        return self.windowed + (2 if self.raw_hu else 0)

    @property
    def pictures(self) -> int:
        """What those planes stand for, a slice: the windows, and raw HU as one."""
        return self.windowed + (1 if self.raw_hu else 0)

    @property
    def slices(self) -> int:
        """Slices that are shown at once: one with its neighbours."""
        return 2 * self.neighbours + 1

    @property
    def stacked(self) -> int:
        """Planes of a slice and its neighbours together."""
        return self.planes * self.slices

    @property
    def copied(self) -> int:
        """How often each slice's windows are shown: a single plane three times, as ImageNet's stem wants."""
        return 3 if self.windowed * self.slices == 1 else 1

    @property
    def channels(self) -> int:
        """Channels that the network sees, slice by slice: its windows, then its raw HU."""
        return (self.windowed * self.copied + self.pictures - self.windowed) * self.slices

    @property
    def raw_channels(self) -> tuple[int, ...]:
        """Which of the channels are raw HU."""
        each = self.channels // self.slices
        return tuple(range(each - 1, self.channels, each)) if self.raw_hu else ()

    def cached(self) -> dict[str, Any]:
        """What decides the bytes of a cache: all but what comes after it."""
        return self.model_dump(mode="json", exclude={"normalisation", "neighbours", "neighbour_spacing"})

    def fingerprint(self) -> str:
        """16 hex digits that name what the cache holds."""
        return digest(self.cached())
