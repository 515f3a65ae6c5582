"""ResNet-50 with CBAM (Woo 2018, https://arxiv.org/abs/1807.06521): a block's branch weighs channels, then places."""

import torch
from torch import Tensor, nn

from ichnos.models.backbones.resnet import Bottleneck, ResNet

_REDUCTION = 16
"""Of the channels in the shared perceptron (Woo 2018, 4)."""

_KERNEL = 7
"""Of the convolution over places: better than 3 in Woo 2018, table 2."""


class Cbam(nn.Module):
    """Convolutional block attention: the same shape, weighed by channel, then by place."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = channels // _REDUCTION
        self.perceptron = nn.Sequential(nn.Linear(channels, squeezed), nn.ReLU(), nn.Linear(squeezed, channels))
        self.places = nn.Conv2d(2, 1, _KERNEL, padding=_KERNEL // 2, bias=False)
        self.norm = nn.BatchNorm2d(1)  # not in the paper's equation 3, but in its authors' code

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, channels, h, w) → the same shape. Woo 2018, equations 1 to 3."""
        by_channel = self.perceptron(inputs.mean(dim=(2, 3))) + self.perceptron(inputs.amax(dim=(2, 3)))
        weighed = inputs * by_channel.sigmoid()[:, :, None, None]
        described = torch.cat([weighed.amax(dim=1, keepdim=True), weighed.mean(dim=1, keepdim=True)], dim=1)
        return weighed * self.norm(self.places(described)).sigmoid()


class CbamBottleneck(Bottleneck):
    """With attention on its branch."""

    def make_attention(self, channels: int) -> nn.Module:
        """CBAM."""
        return Cbam(channels)


class CbamResNet(ResNet):
    """Down to its last feature map. No ImageNet weights of it are known to be public."""

    bottleneck = CbamBottleneck
