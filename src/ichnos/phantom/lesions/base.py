"""What a lesion is to the rest of the phantom."""

from typing import Protocol

from ichnos.phantom.brain import Brain
from ichnos.phantom.displacement import Displacement
from ichnos.phantom.fields import Field
from ichnos.phantom.lesions.density import Density
from ichnos.subtypes import Subtype


class Lesion(Protocol):
    """A bleed, defined in the three dimensions of the head and evaluated a plane at a time."""

    @property
    def subtype(self) -> Subtype:
        """Which of the five it is."""
        ...

    @property
    def density(self) -> Density:
        """How dense its blood is."""
        ...

    @property
    def mass(self) -> Displacement | None:
        """What it does to its surroundings; None where it takes the place of fluid."""
        ...

    @property
    def extent(self) -> tuple[float, float]:
        """The lowest and the highest z in the head, in mm, that it can reach."""
        ...

    def coverage(self, brain: Brain) -> Field:
        """How much of each pixel of a plane it fills, 0 to 1."""
        ...
