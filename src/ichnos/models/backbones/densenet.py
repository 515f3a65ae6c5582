"""DenseNet-121 and -169 (Huang 2017, https://arxiv.org/abs/1608.06993), as MONAI builds them."""

import re
from collections.abc import Mapping
from typing import Literal

from monai.networks.nets import densenet as monai
from torch import Tensor, nn
from torch.nn import functional

from ichnos.models.backbones.backbone import Backbone
from ichnos.networks import Architecture

_BLOCKS = {Architecture.DENSENET121: (6, 12, 24, 16), Architecture.DENSENET169: (6, 12, 32, 32)}
"""Dense layers of the four blocks (Huang 2017, table 1)."""


class DenseNet(monai.DenseNet, Backbone):
    """One of the family, down to its last feature map: the final norm and the ReLU after it belong to it."""

    stem = "features.conv0.weight"
    skip_channels = 512

    def __init__(self, which: Literal[Architecture.DENSENET121, Architecture.DENSENET169], channels: int = 3) -> None:
        super().__init__(spatial_dims=2, in_channels=channels, out_channels=1, block_config=_BLOCKS[which])
        classifier = self.class_layers.get_submodule("out")
        assert isinstance(classifier, nn.Linear)
        self.feature_channels = classifier.in_features
        del self.class_layers

    def forward(self, inputs: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride] - x in MONAI
        """(n, channels, S, S) → (n, feature_channels, S/32, S/32)."""
        return functional.relu(self.features(inputs))

    def with_skip(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """See Backbone."""
        given, skip = inputs, inputs
        for name, part in self.features.named_children():
            given = part(given)
            if name == "denseblock2":
                skip = given
        return functional.relu(given), skip

    def renamed(self, released: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """From torchvision's names, in the form of its released files: `denselayer1.norm.1.weight`, or `norm1`."""
        features = {key: tensor for key, tensor in released.items() if not key.startswith("classifier.")}
        return {
            re.sub(r"(denselayer\d+)\.(norm|conv)\.?([12])\.", r"\1.layers.\2\3.", key): tensor
            for key, tensor in features.items()
        }
