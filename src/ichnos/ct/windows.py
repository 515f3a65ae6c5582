"""Windows: which range of Hounsfield units becomes black to white."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Window:
    """A range of HU, given as radiologists do: its middle (level) and its width, both in HU."""

    level: float
    width: float

    def __post_init__(self) -> None:
        if not self.width > 0:
            raise ValueError(f"a window's width must be above 0 HU, got {self.width}")

    @property
    def lower(self) -> float:
        """The HU that becomes 0."""
        return self.level - self.width / 2

    def apply(self, hu: NDArray[np.generic]) -> NDArray[np.float32]:
        """Map level ± width/2 linearly onto [0, 1] and clip. DICOM PS3.3 C.11.2.1.3.2 (LINEAR_EXACT)."""
        scaled = hu.astype(np.float32)
        scaled -= np.float32(self.lower)
        scaled /= np.float32(self.width)
        return np.clip(scaled, 0.0, 1.0, out=scaled)


BRAIN = Window(level=40, width=80)
"""Grey and white matter (the study, 3.1: W ~80, L ~40)."""

BLOOD = Window(level=80, width=200)
"""Blood beside bone, "subdural" (the study, 3.1: W ~200, L ~80)."""

BONE = Window(level=600, width=2800)
"""Skull."""
