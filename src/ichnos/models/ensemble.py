"""An ensemble as one graph: its members side by side, each behind its own road, and one answer of all."""

from collections.abc import Sequence
from typing import assert_never

import numpy as np
import torch
from torch import Tensor, nn

from ichnos.evaluation.combination import FARTHEST, Linear, Places, Ranks
from ichnos.models.export import Graph, map_resize


class EnsembleGraph(Graph):
    """Raw HU → the members' logits made one, their features side by side, and the mean of their Grad-CAM maps.

    Members may be ensembles' or cascades' graphs as well. The maps are weighed by `shares` and brought to the finest
    one's size by the road's own filter; where a member has none, there are none. Without a combination the members'
    logits stand side by side, as their features do: where some of them are answered for by networks of exams, what
    joins them comes after these (ichnos.models.exam_ensemble).
    """

    def __init__(self, members: Sequence[Graph], combination: Linear | Ranks | None, shares: Sequence[float]) -> None:
        super().__init__()
        sides = [member.map_side for member in members]
        self.map_side = max(sides) if all(sides) else 0
        self.neighbours = max(member.neighbours for member in members)
        self.features = sum(member.features for member in members)
        self.members = nn.ModuleList(members)
        self.shares = tuple(shares)
        self.combination = Beside() if combination is None else combination_layer(combination)
        self.sides = tuple(sides)
        for k, side in enumerate(sides):
            self.register_buffer(f"resize_{k}", map_resize(side, self.map_side), persistent=False)
        self.eval()

    def forward(self, hu: Tensor, stacks: Tensor | None = None) -> tuple[Tensor, ...]:
        """As SliceGraph.forward; stacks: of the member that shows most neighbours, where any shows some."""
        asked = dict.fromkeys(self.members)  # a graph that stands for several members is asked once
        said_by = {member: self._said(member, hu, stacks) for member in asked}
        logits, features, *maps = zip(*(said_by[member] for member in self.members), strict=True)
        said = self.combination(list(logits)), torch.cat(features, dim=1)
        if not self.map_side:
            return said
        sized = [self._sized(k, each) * share for k, (each, share) in enumerate(zip(maps[0], self.shares, strict=True))]
        return *said, torch.stack(sized).sum(dim=0)

    def _said(self, member: nn.Module, hu: Tensor, stacks: Tensor | None) -> tuple[Tensor, ...]:
        logits, features, *maps = member(hu, stacks)
        return (logits, features, *maps) if self.map_side else (logits, features)

    def _sized(self, k: int, maps: Tensor) -> Tensor:
        if self.sides[k] == self.map_side:
            return maps
        resize: Tensor = self.get_buffer(f"resize_{k}")
        return resize @ maps @ resize.T


class Beside(nn.Module):
    """A list of (n, classes) logits, a member each → (n, members · classes)."""

    def forward(self, logits: list[Tensor]) -> Tensor:
        return torch.cat(logits, dim=1)


def combination_layer(combination: Linear | Ranks) -> nn.Module:
    """The torch form: a list of (n, classes) logits, a member each → (n, classes)."""
    match combination:
        case Linear():
            return _Sum(combination)
        case Ranks():
            return _MeanPlace(combination)
        case _:
            assert_never(combination)


class _Sum(nn.Module):
    matrix: Tensor
    bias: Tensor

    def __init__(self, linear: Linear) -> None:
        super().__init__()
        self.register_buffer("matrix", torch.tensor(linear.matrix, dtype=torch.float32), persistent=False)
        self.register_buffer("bias", torch.tensor(linear.bias, dtype=torch.float32), persistent=False)

    def forward(self, logits: list[Tensor]) -> Tensor:
        return torch.cat(logits, dim=1) @ self.matrix.T + self.bias


class _MeanPlace(nn.Module):
    """Of the shares below and above each logit, weighed; their ratio's logarithm is the answer's log-odds."""

    def __init__(self, ranks: Ranks) -> None:
        super().__init__()
        self.shares = ranks.shares
        self.places = nn.ModuleList(_Places(member) for member in ranks.places)

    def forward(self, logits: list[Tensor]) -> Tensor:
        sides = [place(each) * share for place, each, share in zip(self.places, logits, self.shares, strict=True)]
        below, above = torch.stack(sides).sum(dim=0)
        return below.log() - above.log()


class _Places(nn.Module):
    """A distribution function a class (Places): between the knots a sum of steps, each as high as its logit is far."""

    knots: Tensor
    widths: Tensor
    slopes: Tensor
    ends: Tensor

    def __init__(self, places: Sequence[Places]) -> None:
        super().__init__()
        most = max(len(each.knots) for each in places)
        knots = np.stack([_filled(each.knots, most) for each in places])
        heights = np.stack([_filled(each.places, most) for each in places])
        widths = np.diff(knots)
        slopes = np.divide(np.diff(heights), widths, out=np.zeros_like(widths), where=widths > 0)
        ends = np.stack([knots[:, 0], knots[:, -1], heights[:, 0], 1 - heights[:, -1]])
        for name, values in (("knots", knots), ("widths", widths), ("slopes", slopes), ("ends", ends)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32), persistent=False)

    def forward(self, logits: Tensor) -> Tensor:
        """(n, classes) → the shares below and above, (2, n, classes)."""
        first, last, lowest, highest = self.ends
        far = logits.unsqueeze(2) - self.knots[:, :-1]
        far = torch.minimum(far.clamp(min=0), self.widths)
        steps = far * self.slopes
        under = lowest * (logits - first).clamp(-FARTHEST, 0.0).exp()
        over = highest * (last - logits).clamp(-FARTHEST, 0.0).exp()
        # what has not been climbed yet is added up too, so that either share is exact where it is small
        left = (self.widths * self.slopes - steps).sum(dim=2)
        return torch.stack([under + steps.sum(dim=2) + (highest - over), over + left + (lowest - under)])


def _filled(values: Sequence[float], length: int) -> np.ndarray:
    """As long as the longest by its last value: a step of no width."""
    return np.pad(np.array(values), (0, length - len(values)), mode="edge")
