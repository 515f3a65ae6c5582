"""The first layers of every network here: the torch half of the one road from HU to what a network sees."""

import torch
from torch import Tensor, nn

from ichnos.inputs import IMAGENET_DEVIATION, IMAGENET_MEAN, MATRIX, resize_matrix
from ichnos.recipe import InputSpec, Normalisation, WindowMerge


class Channels(nn.Module):
    """Planes as the cache holds them (0-255) → the network's channels: /255, copied to three if single, normalised."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.planes = spec.planes
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
    """Raw HU (n, 512, 512) → planes (n, planes, S, S), float32 of whole numbers 0-255.

    The same plan as ichnos.inputs walks in numpy: windows → merge → separable antialiased triangle resize as two
    matrix products → round. For exported graphs, so that no caller can prepare a slice wrongly. Sums run in another
    order than numpy's, so a value within 1e-5 of a half may round to the neighbouring grey level.
    """

    lower: Tensor
    width: Tensor
    resize: Tensor

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.merge = spec.merge
        lower = torch.tensor([window.lower for window in spec.windows], dtype=torch.float32)
        width = torch.tensor([window.width for window in spec.windows], dtype=torch.float32)
        matrix = torch.from_numpy(resize_matrix(MATRIX, spec.size).copy())
        self.register_buffer("lower", lower.view(1, -1, 1, 1), persistent=False)
        self.register_buffer("width", width.view(1, -1, 1, 1), persistent=False)
        self.register_buffer("resize", matrix, persistent=False)

    def forward(self, hu: Tensor) -> Tensor:
        """HU of any dtype, (n, 512, 512) → (n, planes, S, S)."""
        windowed = ((hu.to(torch.float32).unsqueeze(1) - self.lower) / self.width).clamp(0, 1)
        planes = windowed.mean(dim=1, keepdim=True) if self.merge is WindowMerge.MEAN else windowed
        resized = self.resize @ planes @ self.resize.T
        return (resized * 255).round().clamp(0, 255)


def _constants(spec: InputSpec) -> tuple[Tensor, Tensor]:
    """Mean and deviation a channel; for other than three channels, ImageNet's three averaged."""
    if spec.normalisation is Normalisation.UNIT:
        return torch.zeros(spec.channels), torch.ones(spec.channels)
    mean = torch.tensor(IMAGENET_MEAN, dtype=torch.float32)
    deviation = torch.tensor(IMAGENET_DEVIATION, dtype=torch.float32)
    if spec.channels == 3:
        return mean, deviation
    return mean.mean().repeat(spec.channels), deviation.mean().repeat(spec.channels)
