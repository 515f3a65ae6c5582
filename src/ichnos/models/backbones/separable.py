"""A small network of separable convolutions, after Korra 2022.

Little is known to us of Korra's network but what its title says: a "separable fully connected convolutional" network
for intracranial hemorrhage. The separable convolution is MobileNet's (Howard 2017, https://arxiv.org/abs/1704.04861):
3×3 on each channel by itself, then 1×1 across channels. Depth and width are our guess: half of MobileNet's width.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from ichnos.models.backbones.backbone import Backbone

_STEM = 16
_BLOCKS = ((32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (256, 1), (512, 2), (512, 1))
"""Channels and stride of each block."""


class SeparableNet(Backbone):
    """Stem and ten separable blocks, down to its last feature map."""

    stem = "stem_conv.weight"
    feature_channels = _BLOCKS[-1][0]

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.stem_conv = nn.Conv2d(channels, _STEM, 3, 2, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(_STEM)
        given = (_STEM, *(made for made, _ in _BLOCKS[:-1]))
        self.blocks = nn.Sequential(
            *(_separable(each, made, stride) for each, (made, stride) in zip(given, _BLOCKS, strict=True))
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, channels, S, S) → (n, 512, S/32, S/32)."""
        return self.blocks(self.stem_norm(self.stem_conv(inputs)).relu())

    def renamed(self, released: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Nobody else has released any: its own names."""
        return dict(released)


def _separable(given: int, made: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(given, given, 3, stride, padding=1, groups=given, bias=False),
        nn.BatchNorm2d(given),
        nn.ReLU(),
        nn.Conv2d(given, made, 1, bias=False),
        nn.BatchNorm2d(made),
        nn.ReLU(),
    )
