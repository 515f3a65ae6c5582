"""The forms in which backbones' ImageNet weights were released, made of networks of ours: names, shapes, classifier."""

import re
from typing import assert_never

import torch
from torch import Tensor

from ichnos.networks import Architecture

_SE = (
    (r"(layer\d\.\d+)\.conv(\d)\.conv\.", r"\1.conv\2."),
    (r"(layer\d\.\d+)\.conv(\d)\.adn\.N\.", r"\1.bn\2."),
    (r"\.se_layer\.fc\.0\.", r".se_module.fc1."),
    (r"\.se_layer\.fc\.2\.", r".se_module.fc2."),
    (r"\.project\.conv\.", r".downsample.0."),
    (r"\.project\.adn\.N\.", r".downsample.1."),
)


def released(which: Architecture, own: dict[str, Tensor]) -> dict[str, Tensor]:
    """A backbone's own tensors as its publisher names and shapes them, with a classifier of 1000 classes."""
    match which:
        case (
            Architecture.EFFICIENTNET_B0
            | Architecture.EFFICIENTNET_B1
            | Architecture.EFFICIENTNET_B2
            | Architecture.EFFICIENTNET_B3
            | Architecture.EFFICIENTNET_B4
        ):
            named = {re.sub(r"^_blocks\.\d+\.(\d+)\.", r"_blocks.\1.", key): value for key, value in own.items()}
            return named | _classifier("_fc", named["_bn1.weight"])
        case Architecture.DENSENET121 | Architecture.DENSENET169:
            pattern = r"(denselayer\d+)\.layers\.(norm|conv)(\d)\."
            named = {re.sub(pattern, r"\1.\2.\3.", key): value for key, value in own.items()}
            return named | _classifier("classifier", named["features.norm5.weight"])
        case Architecture.SE_RESNEXT50 | Architecture.SE_RESNEXT101:
            named = dict(_se_resnext(key, value) for key, value in own.items())
            return named | _classifier("last_linear", named["layer4.2.bn3.weight"])
        case Architecture.RESNET50 | Architecture.RESNEXT50 | Architecture.RESNEXT101:
            return own | _classifier("fc", own["layer4.2.bn3.weight"])
        case Architecture.CBAM_RESNET50 | Architecture.SEPARABLE | Architecture.SMALL_CNN:
            return own
        case _:
            assert_never(which)


def _se_resnext(key: str, value: Tensor) -> tuple[str, Tensor]:
    squeezes = ".se_layer." in key and key.endswith(".weight")
    for pattern, replacement in _SE:
        key = re.sub(pattern, replacement, key)
    return key, value[:, :, None, None] if squeezes else value


def _classifier(name: str, like: Tensor) -> dict[str, Tensor]:
    with torch.device(like.device):
        return {f"{name}.weight": torch.zeros(1000, len(like)), f"{name}.bias": torch.zeros(1000)}
