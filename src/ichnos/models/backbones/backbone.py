"""What every backbone tells of itself, and how a stem's weights are fitted to other channels."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Backbone(nn.Module):
    """From channels (n, channels, S, S) to what is pooled: mostly the last feature map (n, feature_channels, h, w)."""

    feature_channels: int
    """Of the last feature map; the length of the pooled features."""
    stem: str
    """The name in the state dict of the weights that take the input's channels, (out, channels, ...)."""
    cells: int | None = None
    """Rows and columns of the last feature map, where its size is no quotient of the input's; 0: there is none."""
    shrinkage: int = 32
    """Pixels of the input to a cell of its last feature map, each way."""

    skip_channels: int = 0
    """Of the feature map of an eighth of the input's side that with_skip gives beside the last; 0: it gives none."""

    def with_skip(self, inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """What forward gives, and the feature map (n, skip_channels, S/8, S/8) on the way to it, where there is one."""
        return self(inputs), None

    def map_side(self, size: int) -> int:
        """Rows and columns of the last feature map of inputs of `size` pixels; 0 where what is pooled is no map."""
        return size // self.shrinkage if self.cells is None else self.cells

    def renamed(self, released: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of weights in the common PyTorch form by this backbone's own names, without the classifier."""
        raise NotImplementedError


def fit_stem(weight: Tensor, channels: int) -> Tensor:
    """The stem's weights (out, in, ...) for another number of input channels.

    The mean over the old channels, scaled so that equal channels give the same answer as before (the usual way; timm
    calls it adapt_input_conv).
    """
    old = weight.shape[1]
    if old == channels:
        return weight
    mean = weight.mean(dim=1, keepdim=True) * (old / channels)
    return torch.cat([mean] * channels, dim=1)
