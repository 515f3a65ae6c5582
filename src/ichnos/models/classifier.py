"""The slice classifier: input layer, backbone and head in one module."""

from typing import Self

import torch
from torch import Tensor, nn

from ichnos.models.backbones import build_backbone, zero_stem
from ichnos.models.heads import DenseHead
from ichnos.models.input_layer import Channels
from ichnos.models.segmentation import SegmentationHead
from ichnos.recipe import SliceRecipe


class SliceClassifier(nn.Module):
    """Cached planes of single slices → one logit a class of the recipe, in the recipe's order.

    A frozen backbone takes no gradients and stays in evaluation mode when the rest trains: its BatchNorm statistics
    and its drop-connect do not move.
    """

    def __init__(self, recipe: SliceRecipe) -> None:
        """Raises MissingExtraError or WeightsError where the recipe names a network that cannot be built as it asks."""
        super().__init__()
        self.recipe = recipe
        self.frozen = recipe.network.frozen
        road = recipe.input
        self.channels = Channels(road)
        self.backbone = build_backbone(recipe.network, road.channels, road.size, road.slices)
        zero_stem(self.backbone, road.raw_channels)
        self.head = DenseHead(recipe.network.head, self.backbone.feature_channels, len(recipe.classes))
        self.outlines = (  # after the others, whose random first weights are then those that they have without it
            SegmentationHead(recipe.segmentation, self.backbone, len(recipe.segmented), recipe.input.size)
            if recipe.segmentation
            else None
        )
        if self.frozen:
            self.backbone.requires_grad_(requires_grad=False)

    @property
    def map_side(self) -> int:
        """Rows and columns of the last feature map, which are those of class maps; 0 where there is none."""
        return self.backbone.map_side(self.recipe.input.size)

    @classmethod
    def seeded(cls, recipe: SliceRecipe, seed: int) -> Self:
        """A classifier whose random first weights depend on the seed alone; torch's global generator is left as is."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return cls(recipe)

    def forward(self, planes: Tensor) -> Tensor:
        """uint8 (n, planes, S, S) → logits (n, classes)."""
        return self.logits(self.channels.unit(planes))

    def logits(self, unit: Tensor) -> Tensor:
        """float32 planes of 0-1 (n, planes, S, S), augmented perhaps → logits (n, classes)."""
        return self._said_of(self.backbone(self.channels.normalised(unit)))

    def segmented(self, unit: Tensor) -> tuple[Tensor, Tensor]:
        """The same, and the auxiliary head's mask logits (n, outlined classes, h, w). Only where the recipe has one."""
        assert self.outlines is not None
        last, skip = self.backbone.with_skip(self.channels.normalised(unit))
        return self._said_of(last), self.outlines(last, skip)

    def _said_of(self, features: Tensor) -> Tensor:
        """The head's logits in single precision, whatever the backbone has: those of half of it tie in a ranking."""
        if not torch.is_autocast_enabled(features.device.type):
            return self.head(features)
        with torch.autocast(features.device.type, enabled=False):
            return self.head(features.float())

    def train(self, mode: bool = True) -> Self:
        """Switch to training mode, a frozen backbone excepted."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self
