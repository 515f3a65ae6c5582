"""The auxiliary head that outlines blood: from feature maps to one logit a class and cell. Reading does without it."""

import math

from torch import Tensor, nn
from torch.nn.functional import interpolate

from ichnos.errors import WeightsError
from ichnos.models.backbones.backbone import Backbone
from ichnos.recipe import Segmentation

_WIDTH = 64
"""Channels within the head: a few times the classes, and a small part of the backbone's cost."""

_GROUPS = 8
"""Of GroupNorm, not BatchNorm: only some slices of a batch have masks, and there may be two."""

_PRIOR = 0.01
"""The share of cells that bleeds, as the head first says it (Lin 2017, 4.1): else empty cells rule the first steps."""


class SegmentationHead(nn.Module):
    """The last feature map, and an earlier one of more cells where there is one → mask logits of those cells.

    Both maps become 64 channels by 1×1 convolutions, the last one is enlarged to the earlier one and added to it, and
    a 3×3 convolution follows: one step of a feature pyramid (Lin 2017, https://arxiv.org/abs/1612.03144).
    """

    def __init__(self, segmentation: Segmentation, backbone: Backbone, classes: int, size: int) -> None:
        """Raises WeightsError where the backbone has no last feature map for inputs of `size` pixels."""
        super().__init__()
        if not backbone.map_side(size):
            raise WeightsError(
                "this network has no last feature map, so nothing can be outlined from it: set segmentation=null, or "
                "name another network.backbone"
            )
        skip = backbone.skip_channels if segmentation.skip else 0
        self.last = nn.Conv2d(backbone.feature_channels, _WIDTH, 1)
        self.skip = nn.Conv2d(skip, _WIDTH, 1) if skip else None
        self.refine = nn.Sequential(
            nn.GroupNorm(_GROUPS, _WIDTH),
            nn.ReLU(),
            nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1),
            nn.GroupNorm(_GROUPS, _WIDTH),
            nn.ReLU(),
        )
        self.output = nn.Conv2d(_WIDTH, classes, 1)
        nn.init.constant_(self.output.bias, -math.log((1 - _PRIOR) / _PRIOR))  # pyright: ignore[reportArgumentType]

    def forward(self, last: Tensor, skip: Tensor | None) -> Tensor:
        """(n, features, h, w) and, of finer cells, (n, skip channels, H, W) → (n, classes, H, W), or of h × w cells."""
        given = self.last(last)
        if self.skip is not None and skip is not None:
            given = self.skip(skip) + interpolate(given, size=skip.shape[2:], mode="bilinear", align_corners=False)
        return self.output(self.refine(given))
