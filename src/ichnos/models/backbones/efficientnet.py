"""EfficientNet-B0 to B4 (Tan & Le 2019, https://arxiv.org/abs/1905.11946), as MONAI builds them."""

import re
from collections.abc import Mapping

from monai.networks.nets import efficientnet as monai
from torch import Tensor, nn

from ichnos.models.backbones.backbone import Backbone
from ichnos.networks import Architecture

_STAGES = (
    "r1_k3_s11_e1_i32_o16_se0.25",
    "r2_k3_s22_e6_i16_o24_se0.25",
    "r2_k5_s22_e6_i24_o40_se0.25",
    "r3_k3_s22_e6_i40_o80_se0.25",
    "r3_k5_s11_e6_i80_o112_se0.25",
    "r4_k5_s22_e6_i112_o192_se0.25",
    "r1_k3_s11_e6_i192_o320_se0.25",
)
"""B0's seven stages in MONAI's notation (Tan & Le 2019, table 1): repeats, kernel, stride, expansion, channels."""

_PADDED_FOR = 224
"""Pixels. MONAI fixes the padding when it builds the network; for every multiple of 32 it comes out the same, while for
B1's 240 or B2's 260 it would be that of odd maps."""


_EIGHTH = 2
"""The stage, counted from 0, whose map has an eighth of the input's side."""


class EfficientNet(monai.EfficientNet, Backbone):
    """One of the family, down to its last feature map.

    MONAI's own (memory-efficient) swish is replaced by torch's SiLU: the same function, faster, and one operator when
    the network is exported.
    """

    stem = "_conv_stem.weight"

    def __init__(self, which: Architecture, channels: int = 3) -> None:
        width, depth, _, dropout, drop_connect = monai.efficientnet_params[which.value]
        super().__init__(
            list(_STAGES),
            in_channels=channels,
            width_coefficient=width,
            depth_coefficient=depth,
            dropout_rate=dropout,
            image_size=_PADDED_FOR,
            drop_connect_rate=drop_connect,
        )
        self.feature_channels = self._fc.in_features
        norm = [*self._stages()[_EIGHTH].children()][-1].get_submodule("_bn2")
        assert isinstance(norm, nn.BatchNorm2d)
        self.skip_channels = norm.num_features
        del self._avg_pooling, self._dropout, self._fc
        for module in self.modules():
            if isinstance(module, EfficientNet | monai.MBConvBlock):
                module._swish = nn.SiLU()

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, channels, S, S) → (n, feature_channels, S/32, S/32)."""
        stem = self._swish(self._bn0(self._conv_stem(self._conv_stem_padding(inputs))))
        blocks = self._blocks(stem)
        return self._swish(self._bn1(self._conv_head(self._conv_head_padding(blocks))))

    def with_skip(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """See Backbone."""
        skip = self._swish(self._bn0(self._conv_stem(self._conv_stem_padding(inputs))))
        for stage in self._stages()[: _EIGHTH + 1]:
            skip = stage(skip)
        blocks = skip
        for stage in self._stages()[_EIGHTH + 1 :]:
            blocks = stage(blocks)
        return self._swish(self._bn1(self._conv_head(self._conv_head_padding(blocks)))), skip

    def _stages(self) -> list[nn.Module]:
        return list(self._blocks.children())

    def renamed(self, released: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """From EfficientNet-PyTorch's names, which number the blocks through: MONAI's have the stage before it."""
        stages = [int(name) for name, stage in self._blocks.named_children() for _ in stage.children()]
        return {_with_stage(key, stages): tensor for key, tensor in released.items() if not key.startswith("_fc.")}


def _with_stage(key: str, stages: list[int]) -> str:
    """`_blocks.5._bn1.weight` → `_blocks.3.5._bn1.weight`, where `stages` has each block's stage."""
    match = re.fullmatch(r"_blocks\.(\d+)\.([^0-9].*)", key)
    if not match or int(match[1]) >= len(stages):
        return key
    return f"_blocks.{stages[int(match[1])]}.{match[1]}.{match[2]}"
