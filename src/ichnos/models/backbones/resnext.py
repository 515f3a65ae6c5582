"""ResNeXt-50 32x4d and ResNeXt-101 32x8d (Xie 2017, https://arxiv.org/abs/1611.05431): ResNet with grouped bottlenecks.

The names say groups and channels a group of the first stage, as torchvision releases them; the 101's 32x8d is also what
was trained on weakly labelled pictures.
"""

from typing import Literal, assert_never

from ichnos.models.backbones.resnet import ResNet
from ichnos.networks import Architecture


class ResNeXt(ResNet):
    """One of the family, down to its last feature map."""

    def __init__(self, which: Literal[Architecture.RESNEXT50, Architecture.RESNEXT101], channels: int = 3) -> None:
        match which:
            case Architecture.RESNEXT50:
                super().__init__(channels, blocks=(3, 4, 6, 3), groups=32, group_width=4)
            case Architecture.RESNEXT101:
                super().__init__(channels, blocks=(3, 4, 23, 3), groups=32, group_width=8)
            case _:
                assert_never(which)
