"""What training is given: images, which of them belong to a part, and their labels."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ichnos.data.images import Images
from ichnos.data.masks import Masks
from ichnos.errors import TrainingError
from ichnos.recipe import SliceRecipe
from ichnos.subtypes import Subtype

_SAMPLED_IMAGES = 256
"""Images whose pixels the fingerprint looks at: enough to notice another cache, quick at 100,000 slices."""


@dataclass(frozen=True, eq=False)
class TrainingSlices:
    """One part (training or validation) of a set of slices."""

    images: Images
    """(N, planes, S, S), all slices that there are; may be a read-only memory map."""
    rows: NDArray[np.int64]
    """(n,) which rows of `images` belong to this part."""
    labels: NDArray[np.bool_]
    """(n, classes) in the recipe's order of classes."""
    synthetic: int = 0
    """So many at the end were drawn, not seen: training takes its share of them from there."""
    exams: NDArray[np.int64] | None = None
    """(n less the synthetic,) the number of each slice's exam, from 0; what `sampling=exam` goes by."""
    heights: NDArray[np.float64] | None = None
    """(n less the synthetic,) 0 for the lowest slice of an exam, 1 for its highest; the same."""

    masks: Masks | None = None
    """Of all of `images`; None where the recipe outlines nothing."""

    def __len__(self) -> int:
        return len(self.rows)

    def check(self, recipe: SliceRecipe, name: str, at_least: int) -> None:
        """Raise TrainingError unless the part fits the recipe and holds at least so many slices."""
        size, planes = recipe.input.size, recipe.input.stacked
        if self.images.dtype != np.uint8 or self.images.shape[1:] != (planes, size, size):
            raise TrainingError(
                f"{name} images must be uint8 of shape (n, {planes}, {size}, {size}) for recipe {recipe.name}, "
                f"got {self.images.dtype} {self.images.shape}"
            )
        if self.labels.shape != (len(self.rows), len(recipe.classes)):
            wanted = (len(self.rows), len(recipe.classes))
            raise TrainingError(f"{name} labels must be of shape {wanted}, got {self.labels.shape}")
        if len(self) < at_least:
            raise TrainingError(
                f"the {name} part has {len(self)} slices, at least {at_least} are needed: "
                "use a larger set, another split, or a population that leaves more"
            )
        if self.rows.min() < 0 or self.rows.max() >= len(self.images):
            raise TrainingError(f"{name} rows must lie in 0 to {len(self.images) - 1}: the split is of another set")

    def check_masks(self, recipe: SliceRecipe, name: str) -> None:
        """Raise TrainingError where the recipe outlines blood and the part's masks do not fit its images."""
        size = recipe.input.size
        if not recipe.segmentation or self.masks is None:
            return
        if self.masks.bits.shape[1:] != (size, size) or len(self.masks) != len(self.images):
            raise TrainingError(
                f"{name} masks must be of {len(self.images)} images of {size} × {size} pixels for recipe "
                f"{recipe.name}, got {len(self.masks)} of {' × '.join(map(str, self.masks.bits.shape[1:]))}"
            )

    @property
    def marked(self) -> int:
        """How many slices have a mask that marks anything."""
        return 0 if self.masks is None else int((self.masks.places[self.rows] >= 0).sum())

    def absent(self, classes: Sequence[Subtype]) -> tuple[Subtype, ...]:
        """The classes that no slice of this part has."""
        return tuple(c for c, count in zip(classes, self.labels.sum(axis=0), strict=True) if not count)

    def fingerprint(self) -> str:
        """16 hex digits that change with rows, labels, and (all but surely) with pixels."""
        digest = hashlib.sha256(f"{self.images.shape}".encode())
        if self.synthetic:
            digest.update(f"{self.synthetic}".encode())
        digest.update(np.ascontiguousarray(self.rows, dtype="<i8").tobytes())
        digest.update(np.ascontiguousarray(self.labels, dtype=np.uint8).tobytes())
        if self.masks is not None:
            digest.update(np.ascontiguousarray(self.masks.places[self.rows], dtype="<i8").tobytes())
            digest.update(self.masks[self.rows[spread(len(self), _SAMPLED_IMAGES)]].tobytes())
        for at in spread(len(self), _SAMPLED_IMAGES):
            digest.update(np.ascontiguousarray(self.images[self.rows[at]]).tobytes())
        return digest.hexdigest()[:16]


def spread(n: int, at_most: int) -> NDArray[np.int64]:
    """At most so many of 0 to n - 1, evenly spread, in order, none twice."""
    return np.arange(n) if n <= at_most else np.linspace(0, n - 1, at_most).astype(np.int64)
