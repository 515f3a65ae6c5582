"""Backbones: from channels to the last feature map, without a classifier on it."""

import torch
from monai.networks.nets.efficientnet import EfficientNetBN, MBConvBlock
from torch import Tensor, nn

FEATURES = 1280
"""Channels of EfficientNet-B0's last feature map (Tan & Le 2019, https://arxiv.org/abs/1905.11946, table 1)."""

SHRINKAGE = 32
"""Pixels of the input to a cell of its last feature map, each way."""


class EfficientNetB0(EfficientNetBN):
    """EfficientNet-B0 as MONAI builds it, down to its last feature map.

    MONAI's own (memory-efficient) swish is replaced by torch's SiLU: the same function, faster, and one operator when
    the network is exported. MONAI pads for images of 224; for every multiple of 32 the padding comes out the same.
    """

    def __init__(self, channels: int = 3) -> None:
        super().__init__("efficientnet-b0", pretrained=False, in_channels=channels)
        del self._avg_pooling, self._dropout, self._fc
        for module in self.modules():
            if isinstance(module, EfficientNetB0 | MBConvBlock):
                module._swish = nn.SiLU()

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, channels, S, S) → (n, 1280, S/32, S/32)."""
        stem = self._swish(self._bn0(self._conv_stem(self._conv_stem_padding(inputs))))
        blocks = self._blocks(stem)
        return self._swish(self._bn1(self._conv_head(self._conv_head_padding(blocks))))


def fit_stem(weight: Tensor, channels: int) -> Tensor:
    """The stem's weights (out, in, 3, 3) for another number of input channels.

    The mean over the old channels, scaled so that equal channels give the same answer as before (the usual way; timm
    calls it adapt_input_conv).
    """
    old = weight.shape[1]
    if old == channels:
        return weight
    mean = weight.mean(dim=1, keepdim=True) * (old / channels)
    return torch.cat([mean] * channels, dim=1)
