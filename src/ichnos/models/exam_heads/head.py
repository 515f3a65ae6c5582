"""What all networks of exams share: the exams that they are given, and the layer that they end in."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Exams:
    """What a slice stage says of b exams, from foot to head, behind the shorter ones zeros up to n slices."""

    features: Tensor
    """(b, n, features)."""
    logits: Tensor
    """(b, n, classes)."""
    offsets: Tensor
    """(b, n) mm above each exam's lowest slice."""
    maps: Tensor | None = None
    """(b, n, classes, side, side) class maps, for the networks that look at them."""
    valid: Tensor | None = None
    """(b, n) bool, False behind an exam's end; None: no exam is shorter than the others."""
    lengths: Tensor | None = None
    """(b,) slices of each exam where `valid` is, on the CPU: packing wants them there, and the device is not asked."""

    def __post_init__(self) -> None:
        assert (self.valid is None) == (self.lengths is None)


class SequenceCore(nn.Module):
    """A network over the slices of exams."""

    def forward(self, shown: Tensor, exams: Exams) -> tuple[Tensor, ...]:
        """shown: (b, n, width) of each slice. Logits (b, n, classes), the answer last; those before it learn too.

        What stands behind an exam's end does not change the answer before it.
        """
        raise NotImplementedError


def correction(width: int, classes: int) -> nn.Linear:
    """What is added to logits: zeros at first, so that an untrained network says what the slice stage says."""
    layer = nn.Linear(width, classes)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def beside(values: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    """(b, n, width) → each slice less the one below, and the one above less it; 0 where there is no such slice."""
    steps = values[:, 1:] - values[:, :-1]
    if valid is not None:
        steps = steps * valid[:, 1:, None]
    nothing = torch.zeros_like(values[:, :1])
    return torch.cat([nothing, steps], dim=1), torch.cat([steps, nothing], dim=1)
