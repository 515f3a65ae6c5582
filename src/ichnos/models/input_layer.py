"""The first layers of every network here: the torch half of the one road from HU to what a network sees."""

import numpy as np
import torch
from torch import Tensor, nn

from ichnos.inputs import AIR, IMAGENET_DEVIATION, IMAGENET_MEAN, MATRIX, resize_taps
from ichnos.recipe import InputSpec, Normalisation, WindowMerge


class Channels(nn.Module):
    """Planes of 0-255, neighbours' beside a slice's own → channels: /255, a single one copied to three, normalised.

    Everywhere `planes` are InputSpec.stacked many: a slice's own and its neighbours', from foot to head.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.planes = spec.stacked
        self.count = spec.channels
        mean, deviation = _constants(spec)
        # of the recipe, not of the weights: left out of checkpoints
        self.register_buffer("mean", mean.view(1, -1, 1, 1), persistent=False)
        self.register_buffer("deviation", deviation.view(1, -1, 1, 1), persistent=False)

    def forward(self, planes: Tensor) -> Tensor:
        """uint8 (or float of whole numbers) 0-255, (n, planes, S, S) → float32 (n, channels, S, S)."""
        return self.normalised(self.unit(planes))

    def unit(self, planes: Tensor) -> Tensor:
        """(n, planes, S, S) of 0-255 → float32 of 0-1: what augmentation works on."""
        return planes.to(torch.float32) / 255

    def normalised(self, unit: Tensor) -> Tensor:
        """float32 planes of 0-1 → float32 channels, normalised as the recipe says."""
        channels = unit.expand(-1, self.count, -1, -1) if self.planes == 1 else unit
        return (channels - self.mean) / self.deviation


class HounsfieldRoad(nn.Module):
    """Raw HU (n, 512, 512) → each slice's own planes (n, InputSpec.planes, S, S), float32 of whole numbers 0-255.

    The same plan as ichnos.inputs walks in numpy, operation by operation and in the same order: windows → merge → the
    resize's few taps, rows first → round. Each step is one IEEE operation on single precision, so the planes are
    numpy's bit for bit, in eager torch and in an exported graph; a convolution or a matrix product would add up in an
    order of its own and round a value near a half otherwise. For exported graphs, so that no caller can prepare a
    slice wrongly.
    """

    lower: Tensor
    width: Tensor
    taps: Tensor
    weights: Tensor

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.merge = spec.merge
        self.size = spec.size
        self.raises_padding = any(window.lower < AIR for window in spec.windows)
        lower = torch.tensor([window.lower for window in spec.windows], dtype=torch.float32)
        width = torch.tensor([window.width for window in spec.windows], dtype=torch.float32)
        taps, weights = resize_taps(MATRIX, spec.size)
        self.register_buffer("lower", lower, persistent=False)
        self.register_buffer("width", width, persistent=False)
        self.register_buffer("taps", torch.from_numpy(taps.T.copy()), persistent=False)
        self.register_buffer("weights", torch.from_numpy(weights.T.astype(np.float32)), persistent=False)

    def forward(self, hu: Tensor) -> Tensor:
        """HU of any dtype, (n, 512, 512) → (n, planes, S, S)."""
        values = hu.to(torch.float32)
        if self.raises_padding:  # else the windows' clip does the same
            values = values.clamp(min=AIR)
        planes = self._merged([self._windowed(values, k) for k in range(len(self.lower))])
        resized = self._rows(self._rows(planes).transpose(2, 3)).transpose(2, 3)
        return (resized * 255).round()

    def _windowed(self, values: Tensor, k: int) -> Tensor:
        return ((values - self.lower[k]) / self.width[k]).clamp(0, 1)

    def _merged(self, windowed: list[Tensor]) -> Tensor:
        if self.merge is WindowMerge.STACK:
            return torch.stack(windowed, dim=1)
        total = windowed[0]
        for plane in windowed[1:]:
            total = total + plane
        return (total / len(windowed)).unsqueeze(1)

    def _rows(self, planes: Tensor) -> Tensor:
        """(n, planes, 512, columns) → (n, planes, S, columns)."""
        if self.size == MATRIX:
            return planes
        result = planes.index_select(2, self.taps[0]) * self.weights[0].view(-1, 1)
        for tap in range(1, len(self.taps)):
            result = result + planes.index_select(2, self.taps[tap]) * self.weights[tap].view(-1, 1)
        return result


def _constants(spec: InputSpec) -> tuple[Tensor, Tensor]:
    """Mean and deviation a channel; for other than three channels, ImageNet's three averaged."""
    if spec.normalisation is Normalisation.UNIT:
        return torch.zeros(spec.channels), torch.ones(spec.channels)
    mean = torch.tensor(IMAGENET_MEAN, dtype=torch.float32)
    deviation = torch.tensor(IMAGENET_DEVIATION, dtype=torch.float32)
    if spec.channels == 3:
        return mean, deviation
    return mean.mean().repeat(spec.channels), deviation.mean().repeat(spec.channels)
