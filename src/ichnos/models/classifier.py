"""The slice classifier: input layer, backbone and head in one module."""

from typing import Self

import torch
from torch import Tensor, nn

from ichnos.models.backbones import EfficientNetB0
from ichnos.models.heads import DenseHead
from ichnos.models.input_layer import Channels
from ichnos.recipe import SliceRecipe


class SliceClassifier(nn.Module):
    """Cached planes of single slices → one logit a class of the recipe, in the recipe's order.

    A frozen backbone takes no gradients and stays in evaluation mode when the rest trains: its BatchNorm statistics
    and its drop-connect do not move.
    """

    def __init__(self, recipe: SliceRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.frozen = recipe.network.frozen
        self.channels = Channels(recipe.input)
        self.backbone = EfficientNetB0(recipe.input.channels)
        self.head = DenseHead(recipe.network.head, len(recipe.classes))
        if self.frozen:
            self.backbone.requires_grad_(requires_grad=False)

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
        channels = self.channels.normalised(unit)
        return self.head(self.backbone(channels))

    def train(self, mode: bool = True) -> Self:
        """Switch to training mode, a frozen backbone excepted."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self
