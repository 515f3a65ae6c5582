"""SE-ResNeXt-50 and -101, 32x4d (Hu 2018, https://arxiv.org/abs/1709.01507), as MONAI builds them."""

import re
from collections.abc import Mapping
from typing import Literal

from monai.networks.nets import senet as monai
from torch import Tensor

from ichnos.models.backbones.backbone import Backbone
from ichnos.networks import Architecture

_LAYERS = {Architecture.SE_RESNEXT50: (3, 4, 6, 3), Architecture.SE_RESNEXT101: (3, 4, 23, 3)}
"""Blocks of the four stages (Hu 2018, table 1; of 101 as ResNet-101's)."""

_NAMES = (
    (r"\.conv(\d)\.(\w+)$", r".conv\1.conv.\2"),
    (r"\.bn(\d)\.(\w+)$", r".conv\1.adn.N.\2"),
    (r"\.se_module\.fc1\.(\w+)$", r".se_layer.fc.0.\1"),
    (r"\.se_module\.fc2\.(\w+)$", r".se_layer.fc.2.\1"),
    (r"\.downsample\.0\.(\w+)$", r".project.conv.\1"),
    (r"\.downsample\.1\.(\w+)$", r".project.adn.N.\1"),
)
"""Within a stage's blocks, the released names and MONAI's. MONAI's own reading of these files passes over blocks of two
digits (`layer3.10` to `layer3.22` of SE-ResNeXt-101) and leaves them random."""


class SEResNeXt(monai.SENet, Backbone):
    """One of the family, down to its last feature map."""

    stem = "layer0.conv1.weight"
    skip_channels = 512

    def __init__(
        self, which: Literal[Architecture.SE_RESNEXT50, Architecture.SE_RESNEXT101], channels: int = 3
    ) -> None:
        super().__init__(
            spatial_dims=2,
            in_channels=channels,
            block="se_resnetxt_bottleneck",
            layers=_LAYERS[which],
            groups=32,
            reduction=16,
            dropout_prob=None,
            inplanes=64,
            downsample_kernel_size=1,
            input_3x3=False,
        )
        self.feature_channels = self.last_linear.in_features
        del self.adaptive_avg_pool, self.dropout, self.last_linear

    def forward(self, inputs: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride] - x in MONAI
        """(n, channels, S, S) → (n, 2048, S/32, S/32)."""
        return self.features(inputs)

    def with_skip(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """See Backbone."""
        skip = self.layer2(self.layer1(self.layer0(inputs)))
        return self.layer4(self.layer3(skip)), skip

    def renamed(self, released: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """From the names of pretrained-models.pytorch, whose squeeze and excitation are 1×1 convolutions."""
        tensors: dict[str, Tensor] = {}
        for key, tensor in released.items():
            if key.startswith("last_linear."):
                continue
            name = key
            if re.match(r"layer[1-4]\.", key):
                for pattern, replacement in _NAMES:
                    name = re.sub(pattern, replacement, name)
            is_squeeze = ".se_layer." in name and tensor.ndim == 4
            tensors[name] = tensor.flatten(1) if is_squeeze else tensor
        return tensors
