"""From a trained network of exams to its ONNX graph: one exam's answers of the slice stage in, logits anew out."""

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import onnx
import torch
from torch import Tensor, nn

from ichnos.models.exam_heads.conv_lstm import ConvLstmCell, ConvLstmHead
from ichnos.models.exam_heads.head import Exams
from ichnos.models.exam_heads.onnx_recurrent import OnnxBothWays, for_onnx
from ichnos.models.exam_network import ExamNetwork
from ichnos.models.export import OPSET, forget_the_machine, quiet

_SLICES = "slices"
"""The name of the one axis that differs from exam to exam."""

_EXAMPLE = 5
"""Slices of the exam that is traced: more than one, or it would be taken for a constant."""


def export_exam_network(network: ExamNetwork) -> bytes:
    """The ONNX file: float32 `features` (n, F), `logits` (n, C), `offsets` (n,) in mm above the lowest slice, and for
    a head that looks at them `maps` (n, C, h, w); gives `answers` (n, C), logits too. Any n from 1 on.

    Self-contained, only ONNX's own operators; the same network gives the same bytes.
    """
    recipe, sizes = network.recipe, network.sizes
    maps = (len(recipe.classes), sizes.map_side, sizes.map_side) if recipe.head.sees_maps else None
    return exported_exams(ExamGraph(network), features=sizes.features, logits=len(recipe.classes), maps=maps)


def exported_exams(graph: nn.Module, *, features: int, logits: int, maps: tuple[int, int, int] | None = None) -> bytes:
    """The ONNX file of any graph of an exam's slices, with the interface and the properties of export_exam_network's.

    features, logits: numbers a slice; maps: the shape of a slice's class maps where the graph looks at them.
    """
    example = {
        "features": torch.zeros(_EXAMPLE, features),
        "logits": torch.zeros(_EXAMPLE, logits),
        "offsets": torch.arange(_EXAMPLE) * 5.0,
    }
    if maps is not None:
        example["maps"] = torch.zeros(_EXAMPLE, *maps)
    axis = torch.export.Dim(_SLICES)
    with quiet(), _quiet_about_axes(), torch.no_grad():
        program = torch.onnx.export(
            graph,
            tuple(example.values()),
            dynamo=True,
            input_names=list(example),
            output_names=["answers"],
            dynamic_shapes={name: {0: axis} for name in example},
            opset_version=OPSET,
            optimize=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    forget_the_machine(model, "ichnos-exam")
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


class ExamGraph(nn.Module):
    """A network of exams as it is exported: one exam, no padding. Recurrent layers say nothing here before they are."""

    def __init__(self, network: ExamNetwork) -> None:
        """Takes a copy, on the CPU, in evaluation mode."""
        super().__init__()
        self.network = copy.deepcopy(network).cpu().eval()
        core = for_onnx(self.network).core
        self.dense = _DenseConvLstm(core) if isinstance(core, ConvLstmHead) else None
        self.eval()

    def forward(self, features: Tensor, logits: Tensor, offsets: Tensor, maps: Tensor | None = None) -> Tensor:
        if self.dense is None:
            return self.network.answer(features, logits, offsets)
        assert maps is not None
        exams = Exams(features[None], logits[None], offsets[None], maps[None])
        return self.dense(self.network.inputs(exams), exams)[0]


class _DenseConvLstm(nn.Module):
    """A ConvLstmHead whose cells are ordinary LSTMs: over a few cells a convolution is a matrix between all of them.

    ONNX has an operator for LSTMs, and none for convolutional ones.
    """

    def __init__(self, head: ConvLstmHead) -> None:
        super().__init__()
        self.head = head
        self.layers = nn.ModuleList(
            OnnxBothWays(_dense_both_ways(up, down, head.side))
            for up, down in zip(head.upward, head.downward, strict=True)
        )

    def forward(self, shown: Tensor, exams: Exams) -> Tensor:
        assert exams.maps is not None
        cells = self.head.side**2
        planes = self.head.brought(exams.maps).flatten(2)
        for layer in self.layers:
            planes = layer(planes)  # planes of the upward cell, then of the downward one: as the head lays them
        means = planes.unflatten(2, (-1, cells)).mean(dim=3)
        return self.head.answer(shown, means, exams.logits)[-1]


def _dense_both_ways(up: nn.Module, down: nn.Module, side: int) -> nn.LSTM:
    """Two cells as one LSTM in both directions, of `side` × `side` numbers a plane."""
    assert isinstance(up, ConvLstmCell)
    assert isinstance(down, ConvLstmCell)
    cells = side**2
    lstm = nn.LSTM(up.given.in_channels * cells, up.hidden * cells, batch_first=True, bidirectional=True)
    for suffix, cell in (("l0", up), ("l0_reverse", down)):
        assert cell.given.bias is not None
        bias = cell.given.bias.repeat_interleave(cells)
        for name, value in (
            ("weight_ih", _matrix(cell.given, side)),
            ("weight_hh", _matrix(cell.kept, side)),
            ("bias_ih", bias),
            ("bias_hh", torch.zeros_like(bias)),
        ):
            getattr(lstm, f"{name}_{suffix}").data.copy_(value)
    return lstm


def _matrix(convolution: nn.Conv2d, side: int) -> Tensor:
    """(planes out · cells, planes in · cells): what the convolution, without its bias, does to each cell by itself."""
    inputs = convolution.in_channels * side**2
    units = torch.eye(inputs).unflatten(1, (convolution.in_channels, side, side))
    said = nn.functional.conv2d(units, convolution.weight, padding=convolution.padding)
    return said.flatten(1).T


@contextmanager
def _quiet_about_axes() -> Iterator[None]:
    """Without what the exporter says of an axis that all inputs share."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*The axis name: slices will not be used", category=UserWarning)
        yield
