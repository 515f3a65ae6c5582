"""From trained classifiers to one ONNX graph: raw HU in, logits, features and class maps out."""

import copy
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse
from torch.fx.proxy import TraceError

from ichnos.errors import WeightsError
from ichnos.inputs import MATRIX, resize_matrix
from ichnos.models.classifier import SliceClassifier
from ichnos.models.heads import pooled
from ichnos.models.input_layer import HounsfieldRoad
from ichnos.models.views import MapsInPlace, Views
from ichnos.subtypes import Subtype

OPSET = 20
"""Of ONNX (2023), which every ONNX Runtime since 1.17 reads. Fixed, so that a newer exporter writes the same form."""

OUTPUTS = ("logits", "features", "maps")
"""Of a graph. A network without a last feature map has no class maps, and its graph has no such output."""


class Graph(nn.Module):
    """What is exported: `forward` takes raw HU and, where `neighbours` are shown, which slices lie beside each other,
    and gives logits, features and, where there are any, maps (see SliceGraph.forward)."""

    neighbours: int
    """To each side of a slice; of several networks the most."""
    map_side: int
    """Rows and columns of the maps; 0: there are none."""
    features: int
    """Of a slice, all networks' together."""


class SliceGraph(Graph):
    """Raw HU → logits, pooled features and Grad-CAM maps: what is exported.

    Of several classifiers (the same road and classes) the logits are averaged, the maps are those of the averaged
    logits, network by network, averaged, and the features stand side by side. Where their last feature maps differ in
    size, the maps are brought to the finest one's by the road's own filter; where one has none, there are no maps.
    Where the recipe has views at test time, logits and features are their means, and the maps the mean of each view's
    own, brought back to where the slice lies.
    """

    def __init__(self, classifiers: Sequence[SliceClassifier]) -> None:
        """Takes copies, in evaluation mode. Raises WeightsError where the classifiers do not go together."""
        super().__init__()
        first = classifiers[0].recipe
        for other in (classifier.recipe for classifier in classifiers[1:]):
            if (other.input, other.classes, other.test_time) != (first.input, first.classes, first.test_time):
                raise WeightsError(
                    f"runs that become one bundle need one input road, views and list of classes; {other.name} has "
                    f"others than {first.name}; export them one by one"
                )
        self.road = HounsfieldRoad(first.input)
        self.neighbours = first.input.neighbours
        self.channels = copy.deepcopy(classifiers[0].channels)
        self.views = Views(first.test_time, first.input.size)
        self.map_side = common_map_side(classifiers)
        self.in_place = MapsInPlace(self.views, self.map_side) if self.map_side else nn.Identity()
        self.features = sum(classifier.backbone.feature_channels for classifier in classifiers)
        self.networks = nn.ModuleList(_Network(classifier, self.map_side) for classifier in classifiers)
        self.eval()

    def forward(self, hu: Tensor, stacks: Tensor | None = None) -> tuple[Tensor, ...]:
        """int16 HU (m, 512, 512) → logits (n, classes), features (n, all networks'), maps (n, classes, h, w).

        stacks: int64 (n, 1 + 2·neighbours), which of the m slices each answer is of and what is shown beside it, from
        foot to head; where the recipe has no neighbours there need be no such input, and n is m. A wider one is of a
        cascade whose other stage shows more: its middle columns are taken.
        """
        assert stacks is not None or not self.neighbours
        planes = self.road(hu)
        if stacks is not None:
            farther = stacks.shape[1] // 2 - self.neighbours
            planes = planes[stacks[:, farther : stacks.shape[1] - farther]].flatten(1, 2)
        logits, features, *maps = zip(*(self._viewed(network, planes) for network in self.networks), strict=True)
        if len(self.networks) == 1:
            return logits[0], features[0], *(each[0] for each in maps)
        mean = torch.stack(logits).mean(dim=0)
        return mean, torch.cat(features, dim=1), *(torch.stack(each).mean(dim=0) for each in maps)

    def _viewed(self, network: nn.Module, planes: Tensor) -> tuple[Tensor, ...]:
        """One network's mean over the views, which it sees as slices of one batch: a graph with the network once opens
        in half the time of one that holds it for each of two views, and its weights lie in memory once."""
        if len(self.views) == 1:
            return network(self.channels(planes))
        views = torch.cat(self.views(self.channels.unit(planes)))
        said = [each.unflatten(0, (len(self.views), -1)) for each in network(self.channels.normalised(views))]
        logits, features, *maps = said
        return logits.mean(dim=0), features.mean(dim=0), *(self.in_place(each.unbind()) for each in maps)


class CascadeGraph(Graph):
    """A gate and a second stage, each behind its own road: raw HU → logits, pooled features and Grad-CAM maps.

    Logits and maps are of the second stage's classes, then of `any`; the features are the gate's, then the second
    stage's. The maps of `any` are the gate's, brought to the size of the second stage's by the road's own filter; where
    either stage has no maps, there are none.
    """

    any_column: int
    resize: Tensor

    def __init__(self, gate: SliceClassifier, subtypes: SliceClassifier) -> None:
        super().__init__()
        self.gate = SliceGraph([gate])
        self.subtypes = SliceGraph([subtypes])
        self.neighbours = max(self.gate.neighbours, self.subtypes.neighbours)
        self.features = self.gate.features + self.subtypes.features
        self.any_column = gate.recipe.classes.index(Subtype.ANY)
        self.map_side = self.subtypes.map_side if self.gate.map_side else 0
        self.register_buffer("resize", map_resize(self.gate.map_side, self.map_side), persistent=False)
        self.eval()

    def forward(self, hu: Tensor, stacks: Tensor | None = None) -> tuple[Tensor, ...]:
        """As SliceGraph.forward; stacks: of the stage that shows more neighbours, where either shows any."""
        gate_logits, gate_features, *gate_maps = self.gate(hu, stacks)
        logits, features, *maps = self.subtypes(hu, stacks)
        only = slice(self.any_column, self.any_column + 1)
        some = gate_logits[:, only]
        said = torch.cat([both(some, logits), some], dim=1), torch.cat([gate_features, features], dim=1)
        if not self.map_side:
            return said
        some_maps = self.resize @ gate_maps[0][:, only] @ self.resize.T
        return *said, torch.cat([maps[0], some_maps], dim=1)


def common_map_side(classifiers: Sequence[SliceClassifier]) -> int:
    """Rows and columns of the maps of an average: those of the finest; 0 where any of the networks has none."""
    sides = [classifier.map_side for classifier in classifiers]
    return max(sides) if all(sides) else 0


def both(first: Tensor, second: Tensor) -> Tensor:
    """The logit of σ(first) · σ(second): −ln(e^−first + e^−second + e^−(first + second)).

    From the product's odds, 1 / ((1 + e^−first)(1 + e^−second) − 1); no probability is ever rounded to 0 or 1. The
    largest term stands outside the logarithm of a sum that is at least 1: never above either logit, in floats too.
    """
    terms = torch.stack(torch.broadcast_tensors(-first, -second, -(first + second)))
    most = terms.amax(dim=0)
    return -(most + (terms - most).exp().sum(dim=0).log())


class _Network(nn.Module):
    """Backbone and head of one classifier, and the exact Grad-CAM of its head by the closed form where it has a map.

    Behind global average pooling every position of a feature map has the same gradient, so Grad-CAM's weights
    (Selvaraju 2017, https://arxiv.org/abs/1610.02391, equation 1) are the pooled features' gradients over the number
    of positions: what DenseHead.with_gradients gives. No backward pass is needed.
    """

    resize: Tensor

    def __init__(self, classifier: SliceClassifier, map_side: int) -> None:
        """map_side: rows and columns of the maps that are wanted; 0: none."""
        super().__init__()
        self.backbone = _folded(classifier.backbone)
        self.head = copy.deepcopy(classifier.head)
        self.map_side = map_side
        self.own_side = classifier.map_side
        self.register_buffer("resize", map_resize(self.own_side, map_side), persistent=False)

    def forward(self, channels: Tensor) -> tuple[Tensor, ...]:
        last = self.backbone(channels)
        features = pooled(last)
        logits, gradients = self.head.with_gradients(features)
        if not self.map_side:
            return logits, features
        weights = gradients / self.own_side**2
        maps = (weights @ last.flatten(2)).relu().unflatten(2, (self.own_side, self.own_side))
        if self.own_side != self.map_side:
            maps = self.resize @ maps @ self.resize.T
        return logits, features, maps


def _folded(backbone: nn.Module) -> nn.Module:
    """A copy whose convolutions hold the BatchNorm behind them, where torch.fx can follow the network.

    The exporter folds what is left, but first carries every node through its passes: without these it takes half as
    long.
    """
    try:
        return fuse(copy.deepcopy(backbone).eval())
    except TraceError:
        return copy.deepcopy(backbone)


def map_resize(side: int, wanted: int) -> Tensor:
    """The road's filter from maps of `side` cells to `wanted` ones, (wanted, side); empty where there are none."""
    return torch.from_numpy(resize_matrix(side, wanted).copy()) if side and wanted else torch.empty(0, 0)


def export_graph(classifiers: Sequence[SliceClassifier]) -> bytes:
    """The ONNX file of the classifiers: input `hu` int16 (slices, 512, 512), outputs `logits`, `features`, `maps`
    (the last where the networks have class maps: see SliceGraph.map_side).

    Where the recipe shows neighbours there is a second input, `stacks` (see SliceGraph.forward).

    Self-contained (no external data, no functions of ours, only ONNX's own operators), BatchNorm folded into the
    convolutions, any number of slices at once; the same classifiers give the same bytes.
    Raises WeightsError where the classifiers do not go together.
    """
    return exported(SliceGraph(classifiers))


def export_cascade(gate: SliceClassifier, subtypes: SliceClassifier) -> bytes:
    """The ONNX file of a cascade, with the same interface and properties (see CascadeGraph)."""
    return exported(CascadeGraph(gate, subtypes))


def exported(graph: Graph) -> bytes:
    """The ONNX file of any graph of ours, with the interface and the properties of export_graph's."""
    # on the CPU and in the plain layout, whatever the training left; more than one slice, or it would be a constant
    graph = graph.to("cpu", memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
    example: dict[str, Tensor] = {"hu": torch.zeros((3, MATRIX, MATRIX), dtype=torch.int16)}
    dynamic: dict[str, Any] = {"hu": {0: torch.export.Dim("slices")}}
    if graph.neighbours:
        example["stacks"] = torch.zeros((2, 1 + 2 * graph.neighbours), dtype=torch.int64)
        dynamic["stacks"] = {0: torch.export.Dim("answers")}
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            graph,
            tuple(example.values()),
            dynamo=True,
            input_names=list(example),
            output_names=list(OUTPUTS if graph.map_side else OUTPUTS[:-1]),
            dynamic_shapes=dynamic,
            opset_version=OPSET,
            optimize=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    forget_the_machine(model, "ichnos-slice")
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def forget_the_machine(model: onnx.ModelProto, name: str) -> None:
    """Name the graph, and remove the exporter's notes: they hold stack traces with paths of this machine."""
    model.doc_string = ""
    del model.metadata_props[:]
    graph = model.graph
    graph.name = name
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]


@contextmanager
def quiet() -> Iterator[None]:
    """Without what the exporter says of itself: torchvision's operators that are not needed, its own deprecations."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated", category=FutureWarning)
            yield
    finally:
        log.setLevel(level)
