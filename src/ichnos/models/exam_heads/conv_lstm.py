"""A convolutional LSTM (Shi 2015, https://arxiv.org/abs/1506.04214) over the class maps of an exam's slices."""

import torch
from torch import Tensor, nn

from ichnos.errors import TrainingError
from ichnos.inputs import resize_matrix
from ichnos.models.exam_heads.head import Exams, SequenceCore, correction
from ichnos.recipe import SequenceHead

LARGEST_SIDE = 8
"""Cells a side, at most: finer maps are brought to it. In the exported graph each convolution is a matrix between all
cells, which grows with the fourth power of the side: 8 MB for eight planes of 8 × 8."""

_KERNEL = 3


class ConvLstmHead(SequenceCore):
    """Maps → convolutional LSTMs in both directions → mean over cells, beside what else is shown → Dense, added."""

    map_scale: Tensor
    resize: Tensor

    def __init__(self, head: SequenceHead, width: int, classes: int, map_side: int) -> None:
        """Raises TrainingError where there are no maps."""
        super().__init__()
        if not map_side:
            raise TrainingError(
                "head.kind=conv-lstm looks at class maps, and the slice stage's network has none; take another head, "
                "or another backbone"
            )
        side = min(map_side, LARGEST_SIDE)
        self.side = side
        self.register_buffer("resize", torch.from_numpy(resize_matrix(map_side, side).copy()), persistent=False)
        self.register_buffer("map_scale", torch.ones(classes))
        planes = [classes, *[2 * head.hidden] * (head.layers - 1)]
        self.upward = nn.ModuleList(ConvLstmCell(each, head.hidden) for each in planes)
        self.downward = nn.ModuleList(ConvLstmCell(each, head.hidden) for each in planes)
        self.dropout = nn.Dropout(head.dropout)
        self.output = correction(width + 2 * head.hidden, classes)

    def fit(self, maps: Tensor) -> None:
        """Take the measure of each class's maps from the training slices': (slices, classes, side, side)."""
        largest = maps.double().square().mean(dim=(0, 2, 3)).sqrt()
        self.map_scale.copy_(torch.where(largest > 0, largest, torch.ones_like(largest)))

    def brought(self, maps: Tensor) -> Tensor:
        """(b, n, classes, side, side) in the training maps' measure and at this network's side."""
        maps = maps / self.map_scale[:, None, None]
        return maps if maps.shape[-1] == self.side else self.resize @ maps @ self.resize.T

    def forward(self, shown: Tensor, exams: Exams) -> tuple[Tensor, ...]:
        """As SequenceCore.forward; one answer."""
        assert exams.maps is not None
        planes = self.brought(exams.maps)
        turn = _turned(exams)
        for up, down in zip(self.upward, self.downward, strict=True):
            back = torch.take_along_dim(planes, turn, dim=1)
            planes = torch.cat([up(planes), torch.take_along_dim(down(back), turn, dim=1)], dim=2)
        return self.answer(shown, planes.mean(dim=(3, 4)), exams.logits)

    def answer(self, shown: Tensor, means: Tensor, logits: Tensor) -> tuple[Tensor, ...]:
        """means: (b, n, 2 · hidden) of each slice's planes over their cells."""
        return (logits + self.output(self.dropout(torch.cat([shown, means], dim=2))),)


class ConvLstmCell(nn.Module):
    """An LSTM whose products are convolutions: (b, n, planes, side, side) → (b, n, hidden, side, side), from foot up.

    No peepholes. Gates stand in torch's order: input, forget, cell, output.
    """

    def __init__(self, planes: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.given = nn.Conv2d(planes, 4 * hidden, _KERNEL, padding=_KERNEL // 2)
        self.kept = nn.Conv2d(hidden, 4 * hidden, _KERNEL, padding=_KERNEL // 2, bias=False)

    def forward(self, planes: Tensor) -> Tensor:
        given = self.given(planes.flatten(0, 1)).unflatten(0, planes.shape[:2])
        said = cell = torch.zeros_like(given[:, 0, : self.hidden])
        all_said: list[Tensor] = []
        for each in given.unbind(dim=1):
            enter, forget, new, out = (each + self.kept(said)).chunk(4, dim=1)
            cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
            said = out.sigmoid() * cell.tanh()
            all_said.append(said)
        return torch.stack(all_said, dim=1)


def _turned(exams: Exams) -> Tensor:
    """(b, n, 1, 1, 1): which slice stands where when each exam is read from head to foot; behind its end, itself."""
    places = torch.arange(exams.logits.shape[1], device=exams.logits.device).expand(exams.logits.shape[:2])
    if exams.valid is None:
        return places.flip(1)[:, :, None, None, None]
    last = exams.valid.sum(dim=1, keepdim=True) - 1
    return torch.where(exams.valid, last - places, places)[:, :, None, None, None]
