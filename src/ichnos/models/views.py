"""Test-time views: a slice as it is, mirrored, enlarged, reduced or turned; what a network says of all is averaged."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ichnos.models.classifier import SliceClassifier
from ichnos.recipe import TestTime


class Views(nn.Module):
    """Planes of 0-1 → the views that a recipe asks for, the plain one first.

    Mirrored: left and right exchanged, as in training's augmentation. Enlarged and turned ones are sampled between the
    four nearest pixels, with black beyond the picture; which pixels those are is fixed, so that an exported graph does
    it with a gather, a product and a sum.
    """

    def __init__(self, views: TestTime | None, size: int) -> None:
        super().__init__()
        self.flips = (False, True) if views is not None and views.horizontal_flip else (False,)
        self.changes = [(zoom, 0.0) for zoom in views.zooms] if views is not None else []
        self.changes += [(1.0, turn) for turn in views.rotations] if views is not None else []
        self.changed = nn.ModuleList(_Sampled(size, zoom, turn) for zoom, turn in self.changes)

    def __len__(self) -> int:
        return len(self.flips) * (1 + len(self.changed))

    def forward(self, unit: Tensor) -> list[Tensor]:
        """float32 (n, planes, S, S) → as many of them as there are views."""
        sized = [unit, *(change(unit) for change in self.changed)]
        return [view.flip(3) if flip else view for flip, view in product(self.flips, sized)]


class MapsInPlace(nn.Module):
    """Class maps of each view → their mean where the slice lies: mirrored ones mirrored back, others sampled back. A
    cell's mean is over the views that show it: one that is enlarged or turned leaves out some of the rim."""

    seen: Tensor

    def __init__(self, views: Views, side: int) -> None:
        """side: rows and columns of a map."""
        super().__init__()
        self.flips = views.flips
        self.back = nn.ModuleList(_Sampled(side, 1 / zoom, -turn) for zoom, turn in views.changes)
        shown = [torch.ones(1, 1, side, side)] * len(views)
        self.register_buffer("seen", torch.stack(self._in_place(shown)).sum(dim=0), persistent=False)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """(n, classes, side, side) of each view, in their order → one."""
        return torch.stack(self._in_place(maps)).sum(dim=0) / self.seen

    def _in_place(self, maps: Sequence[Tensor]) -> list[Tensor]:
        places = product(self.flips, (nn.Identity(), *self.back))
        return [back(each.flip(3) if flip else each) for each, (flip, back) in zip(maps, places, strict=True)]


class Viewed(nn.Module):
    """A classifier that answers by the mean of its logits over the views that its recipe asks for."""

    def __init__(self, classifier: SliceClassifier) -> None:
        super().__init__()
        self.recipe = classifier.recipe
        self.classifier = classifier
        self.views = Views(classifier.recipe.test_time, classifier.recipe.input.size)

    def forward(self, planes: Tensor) -> Tensor:
        """uint8 (n, planes, S, S) → logits (n, classes)."""
        views = self.views(self.classifier.channels.unit(planes))
        return torch.stack([self.classifier.logits(view) for view in views]).mean(dim=0)


def viewed(classifier: SliceClassifier) -> SliceClassifier | Viewed:
    """The classifier as it is measured and read with."""
    return classifier if classifier.recipe.test_time is None else Viewed(classifier)


class _Sampled(nn.Module):
    pixels: Tensor
    weights: Tensor

    def __init__(self, size: int, zoom: float, turn: float) -> None:
        super().__init__()
        self.size = size
        pixels, weights = sampling(size, zoom, turn)
        self.register_buffer("pixels", torch.from_numpy(pixels), persistent=False)
        self.register_buffer("weights", torch.from_numpy(weights), persistent=False)

    def forward(self, unit: Tensor) -> Tensor:
        flat = unit.flatten(2)
        total = flat.index_select(2, self.pixels[0]) * self.weights[0]
        for corner in range(1, 4):
            total = total + flat.index_select(2, self.pixels[corner]) * self.weights[corner]
        return total.unflatten(2, (self.size, self.size))


def sampling(size: int, zoom: float, turn: float) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Which four pixels of a flat (size · size) picture make each of a new one, and in what shares: both (4, size²).

    The new picture is `zoom` times as large and turned clockwise by `turn` degrees about the middle. Shares of what
    lies beyond the picture are 0.
    """
    middle = (size - 1) / 2
    rows, columns = np.mgrid[:size, :size].reshape(2, -1) - middle
    angle = np.deg2rad(turn)
    from_columns = (np.cos(angle) * columns + np.sin(angle) * rows) / zoom + middle
    from_rows = (np.cos(angle) * rows - np.sin(angle) * columns) / zoom + middle
    top, left = np.floor(from_rows), np.floor(from_columns)
    pixels, weights = [], []
    for down, right in product((0, 1), (0, 1)):
        row, column = top + down, left + right
        share = (1 - np.abs(from_rows - row)) * (1 - np.abs(from_columns - column))
        inside = (row >= 0) & (row < size) & (column >= 0) & (column < size)
        pixels.append(np.where(inside, row * size + column, 0))
        weights.append(np.where(inside, share, 0))
    return np.stack(pixels).astype(np.int64), np.stack(weights).astype(np.float32)
