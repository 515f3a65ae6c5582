"""A small plain convolutional network, after Tharek 2022.

All that is known to us is that Tharek trained a small convolutional network on 200 images. Four blocks of a 3×3
convolution, BatchNorm, ReLU and 2×2 max pooling are the usual form of such; number and width are our guess.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from ichnos.models.backbones.backbone import Backbone

_WIDTHS = (32, 64, 128, 256)


class SmallCnn(Backbone):
    """Four blocks, down to the last feature map."""

    stem = "blocks.0.0.weight"
    feature_channels = _WIDTHS[-1]
    shrinkage = 2 ** len(_WIDTHS)

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        given = (channels, *_WIDTHS[:-1])
        self.blocks = nn.Sequential(*(_block(each, made) for each, made in zip(given, _WIDTHS, strict=True)))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, channels, S, S) → (n, 256, S/16, S/16)."""
        return self.blocks(inputs)

    def renamed(self, released: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Nobody else has released any: its own names."""
        return dict(released)


def _block(given: int, made: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(given, made, 3, padding=1, bias=False), nn.BatchNorm2d(made), nn.ReLU(), nn.MaxPool2d(2)
    )
