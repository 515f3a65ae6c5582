"""The first layers of every network here: the torch half of the one road from HU to what a network sees."""

import numpy as np
import torch
from torch import Tensor, nn

from ichnos.inputs import AIR, DENSEST, IMAGENET_DEVIATION, IMAGENET_MEAN, MATRIX, RAW_UNIT, resize_taps
from ichnos.recipe import InputSpec, Normalisation, WindowMerge


class Channels(nn.Module):
    """Planes of 0-255, neighbours' beside a slice's own → channels: /255, a single one copied to three, normalised.

    Everywhere `planes` are InputSpec.stacked many: a slice's own and its neighbours', from foot to head. The two bytes
    of raw HU become one picture of 0-1, air to DENSEST, before anything else looks at them.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.slices, self.windowed, self.copied, self.raw_hu = spec.slices, spec.windowed, spec.copied, spec.raw_hu
        mean, deviation = _constants(spec)
        # of the recipe, not of the weights: left out of checkpoints
        self.register_buffer("mean", mean.view(1, -1, 1, 1), persistent=False)
        self.register_buffer("deviation", deviation.view(1, -1, 1, 1), persistent=False)

    def forward(self, planes: Tensor) -> Tensor:
        """uint8 (or float of whole numbers) 0-255, (n, planes, S, S) → float32 (n, channels, S, S)."""
        return self.normalised(self.unit(planes))

    def unit(self, planes: Tensor) -> Tensor:
        """(n, planes, S, S) of 0-255 → float32 pictures of 0-1, slice by slice: what augmentation works on."""
        if not self.raw_hu:
            return planes.to(torch.float32) / 255
        each = planes.to(torch.float32).unflatten(1, (self.slices, -1))
        windows, high, low = each.split([self.windowed, 1, 1], dim=2)
        raw = (high * 256 + low) / (DENSEST - AIR)
        return torch.cat([windows / 255, raw], dim=2).flatten(1, 2)

    def normalised(self, unit: Tensor) -> Tensor:
        """float32 pictures of 0-1 → float32 channels, windows normalised as the recipe says, raw HU in hundreds."""
        channels = unit
        if self.copied > 1 and self.raw_hu:
            channels = torch.cat([unit[:, :1].expand(-1, self.copied, -1, -1), unit[:, 1:]], dim=1)
        elif self.copied > 1:
            channels = unit.expand(-1, self.copied, -1, -1)
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
        self.raw_hu = spec.raw_hu
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
        windows = (self._resized(planes) * 255).round()
        return torch.cat([windows, self._raw_bytes(hu)], dim=1) if self.raw_hu else windows

    def _raw_bytes(self, hu: Tensor) -> Tensor:
        """(n, 512, 512) → (n, 2, S, S): the high and the low byte of whole HU above air."""
        above = hu.to(torch.float32).clamp(AIR, DENSEST) - AIR
        whole = self._resized(above.unsqueeze(1)).round()
        high = (whole / 256).floor()  # exact: a power of two
        return torch.cat([high, whole - high * 256], dim=1)

    def _windowed(self, values: Tensor, k: int) -> Tensor:
        return ((values - self.lower[k]) / self.width[k]).clamp(0, 1)

    def _merged(self, windowed: list[Tensor]) -> Tensor:
        if self.merge is WindowMerge.STACK:
            return torch.stack(windowed, dim=1)
        total = windowed[0]
        for plane in windowed[1:]:
            total = total + plane
        return (total / len(windowed)).unsqueeze(1)

    def _resized(self, planes: Tensor) -> Tensor:
        """(n, planes, 512, 512) → (n, planes, S, S)."""
        return self._rows(self._rows(planes).transpose(2, 3)).transpose(2, 3)

    def _rows(self, planes: Tensor) -> Tensor:
        """(n, planes, 512, columns) → (n, planes, S, columns)."""
        if self.size == MATRIX:
            return planes
        result = planes.index_select(2, self.taps[0]) * self.weights[0].view(-1, 1)
        for tap in range(1, len(self.taps)):
            result = result + planes.index_select(2, self.taps[tap]) * self.weights[tap].view(-1, 1)
        return result


def _constants(spec: InputSpec) -> tuple[Tensor, Tensor]:
    """Mean and deviation a channel, of raw HU too: water, and hundreds of HU."""
    mean, deviation = _of_windows(spec)
    if not spec.raw_hu:
        return mean, deviation
    raw_mean, raw_deviation = (torch.full((spec.slices, 1), value / (DENSEST - AIR)) for value in (-AIR, RAW_UNIT))
    each = mean.view(spec.slices, -1), deviation.view(spec.slices, -1)
    return torch.cat([each[0], raw_mean], dim=1).flatten(), torch.cat([each[1], raw_deviation], dim=1).flatten()


def _of_windows(spec: InputSpec) -> tuple[Tensor, Tensor]:
    """For other than three channels of windows, ImageNet's three averaged."""
    count = spec.windowed * spec.copied * spec.slices
    if spec.normalisation is Normalisation.UNIT:
        return torch.zeros(count), torch.ones(count)
    mean = torch.tensor(IMAGENET_MEAN, dtype=torch.float32)
    deviation = torch.tensor(IMAGENET_DEVIATION, dtype=torch.float32)
    if count == 3:
        return mean, deviation
    return mean.mean().repeat(count), deviation.mean().repeat(count)
