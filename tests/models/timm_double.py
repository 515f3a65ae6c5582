"""A double of timm: a network that ends in a feature map, channels first (conv) or last (swin), or in tokens (vit)."""

import sys
from types import ModuleType
from typing import Any

import pytest
from torch import Tensor, nn


class Doubled(nn.Module):
    """A stem of 16×16 patches, as timm's models tell of themselves."""

    def __init__(self, form: str, channels: int) -> None:
        super().__init__()
        self.form = form
        self.num_features = 7  # not of the last map, as in timm's MobileNets
        self.pretrained_cfg = {"first_conv": "stem.proj", "classifier": "head.fc"}
        self.stem = nn.Module()
        self.stem.proj = nn.Conv2d(channels, 24, 16, 16)
        self.norm = nn.BatchNorm2d(24)

    def forward(self, images: Tensor) -> Tensor:
        assert images.shape[-1] % 16 == 0, "Input height doesn't match model"
        last = self.norm(self.stem.proj(images)).relu()
        match self.form:
            case "conv":
                return last
            case "swin":
                return last.permute(0, 2, 3, 1)
            case _:
                return last.flatten(2).transpose(1, 2)


def double_timm(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Put a double in timm's place. Returns the list of what it is asked to build."""
    asked: list[dict[str, Any]] = []

    def create_model(name: str, **how: Any) -> nn.Module:
        asked.append({"name": name} | how)
        return Doubled(name, how["in_chans"])

    double = ModuleType("timm")
    double.__dict__.update(
        is_model=lambda name: name in ("conv", "swin", "vit"), create_model=create_model, __version__="1"
    )
    monkeypatch.setitem(sys.modules, "timm", double)
    return asked
