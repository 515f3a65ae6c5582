"""A slice among its neighbours as a short volume: 3D convolutions, then a recurrent layer from foot to head and back.

After the joint 3D CNN and RNN of Ye 2019, of whose network little is known to us but that. The blocks are ResNet's
(He 2016, https://arxiv.org/abs/1512.03385) with kernels of 3×3×3 (Hara 2018, https://arxiv.org/abs/1711.09577), halved
within slices and never across them; the recurrent layer is a GRU in both directions (Cho 2014,
https://arxiv.org/abs/1406.1078). Depth and width are our guess.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from ichnos.models.backbones.backbone import Backbone

_STEM = 16
_WIDTHS = (32, 64, 128, 256)
"""Of the blocks; each halves rows and columns, as the stem does."""

_HIDDEN = 128
"""Numbers that each direction of the recurrent layer keeps."""


class Joint3dRnn(Backbone):
    """Stem and four blocks, the mean within each slice, and what the recurrent layer says at the slice in the middle.

    What comes out is no map, so there are no class maps.
    """

    stem = "stem_conv.weight"
    feature_channels = 2 * _HIDDEN
    cells = 0

    def __init__(self, channels: int, slices: int) -> None:
        """channels: of all slices together, slice by slice from foot to head. slices: an odd number of them."""
        super().__init__()
        self.slices = slices
        self.stem_conv = nn.Conv3d(channels // slices, _STEM, (3, 7, 7), (1, 2, 2), padding=(1, 3, 3), bias=False)
        self.stem_norm = nn.BatchNorm3d(_STEM)
        given = (_STEM, *_WIDTHS[:-1])
        self.blocks = nn.Sequential(*(_Block(each, made) for each, made in zip(given, _WIDTHS, strict=True)))
        self.up = nn.GRUCell(_WIDTHS[-1], _HIDDEN)
        self.down = nn.GRUCell(_WIDTHS[-1], _HIDDEN)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, channels, S, S) → (n, 256)."""
        volume = inputs.unflatten(1, (self.slices, -1)).transpose(1, 2)
        last = self.blocks(self.stem_norm(self.stem_conv(volume)).relu())
        sequence = last.mean(dim=(3, 4)).unbind(dim=2)  # from foot to head, (n, 256) each
        middle = self.slices // 2
        # what comes from either end, up to the slice itself: all that both directions say at the middle
        up, down = _ran(self.up, sequence[: middle + 1]), _ran(self.down, reversed(sequence[middle:]))
        return torch.cat([up, down], dim=1)

    def renamed(self, released: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Nobody else has released any: its own names."""
        return dict(released)


class _Block(nn.Module):
    """Two convolutions of 3×3×3 with a shortcut, the first one halving rows and columns."""

    def __init__(self, given: int, made: int) -> None:
        super().__init__()
        halving = (1, 2, 2)
        self.conv1 = nn.Conv3d(given, made, 3, halving, padding=1, bias=False)
        self.norm1 = nn.BatchNorm3d(made)
        self.conv2 = nn.Conv3d(made, made, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm3d(made)
        self.shortcut = nn.Sequential(nn.Conv3d(given, made, 1, halving, bias=False), nn.BatchNorm3d(made))

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, given, slices, h, w) → (n, made, slices, h/2, w/2)."""
        within = self.norm2(self.conv2(self.norm1(self.conv1(inputs)).relu()))
        return (within + self.shortcut(inputs)).relu()


def _ran(cell: nn.GRUCell, steps: Iterable[Tensor]) -> Tensor:
    """The state behind the last of the steps (n, features) each. One by one: there are few, and this way the exported
    graph is of plain operators."""
    state: Tensor | None = None
    for step in steps:
        state = cell(step, state)
    assert state is not None
    return state
