"""Backbones, one architecture a file: from channels to the last feature map, without a classifier on it."""

from typing import assert_never

from ichnos.models.backbones.backbone import Backbone, fit_stem, zero_stem
from ichnos.models.backbones.cbam import CbamResNet
from ichnos.models.backbones.densenet import DenseNet
from ichnos.models.backbones.efficientnet import EfficientNet
from ichnos.models.backbones.joint_3d_rnn import Joint3dRnn
from ichnos.models.backbones.resnet import ResNet
from ichnos.models.backbones.resnext import ResNeXt
from ichnos.models.backbones.se_resnext import SEResNeXt
from ichnos.models.backbones.separable import SeparableNet
from ichnos.models.backbones.small_cnn import SmallCnn
from ichnos.models.backbones.timm import TimmBackbone
from ichnos.networks import Architecture, Network

__all__ = ["Backbone", "build_backbone", "fit_stem", "zero_stem"]


def build_backbone(network: Network, channels: int, size: int, slices: int | None = None) -> Backbone:
    """The backbone that a recipe names, with random weights, for inputs (n, channels, size, size).

    slices: of how many slices the channels are, one after the other; None: a slice each.

    Raises MissingExtraError where it needs timm and timm is absent, WeightsError where timm cannot build it.
    """
    which = network.architecture
    match which:
        case None:
            return TimmBackbone(network.timm_name, channels, size)
        case (
            Architecture.EFFICIENTNET_B0
            | Architecture.EFFICIENTNET_B1
            | Architecture.EFFICIENTNET_B2
            | Architecture.EFFICIENTNET_B3
            | Architecture.EFFICIENTNET_B4
        ):
            return EfficientNet(which, channels)
        case Architecture.DENSENET121 | Architecture.DENSENET169:
            return DenseNet(which, channels)
        case Architecture.SE_RESNEXT50 | Architecture.SE_RESNEXT101:
            return SEResNeXt(which, channels)
        case Architecture.RESNET50:
            return ResNet(channels)
        case Architecture.RESNEXT50 | Architecture.RESNEXT101:
            return ResNeXt(which, channels)
        case Architecture.CBAM_RESNET50:
            return CbamResNet(channels)
        case Architecture.SEPARABLE:
            return SeparableNet(channels)
        case Architecture.SMALL_CNN:
            return SmallCnn(channels)
        case Architecture.JOINT_3D_RNN:
            return Joint3dRnn(channels, channels if slices is None else slices)
        case _:
            assert_never(which)
