"""The exported graph says what the classifier says, from raw HU."""

import copy
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from ichnos import recipes
from ichnos.ct.windows import BLOOD, BONE, BRAIN
from ichnos.dicom.read import read_slice
from ichnos.errors import WeightsError
from ichnos.inference.bundle import Bundle
from ichnos.inference.engine import Engine
from ichnos.inputs import exam_planes, neighbour_stacks, to_matrix, to_planes
from ichnos.models import SliceClassifier
from ichnos.models.export import SliceGraph, export_graph, quiet
from ichnos.models.initial_weights import initialise
from ichnos.phantom import CohortSettings, make_exam
from ichnos.readout import Readout
from ichnos.recipe import InputSpec, Network, Population, SliceRecipe, WindowMerge
from ichnos.subtypes import CLASSES
from tests.inference.networks import manifest

SPECS = {
    "mean-64": InputSpec(windows=(BRAIN, BLOOD), size=64),
    "stack-128": InputSpec(windows=(BRAIN, BLOOD, BONE), merge=WindowMerge.STACK, size=128),
    "stack-of-two-96": InputSpec(windows=(BRAIN, BLOOD), merge=WindowMerge.STACK, size=96),
    "neighbours-64": InputSpec(windows=(BRAIN,), merge=WindowMerge.MEAN, size=64, neighbours=1),
    "raw-64": InputSpec(windows=(BRAIN, BLOOD), size=64, raw_hu=True),
    "raw-neighbours-64": InputSpec(windows=(BRAIN, BLOOD), merge=WindowMerge.STACK, size=64, raw_hu=True, neighbours=1),
}
_NAMED = tuple(SPECS)
for _name in recipes.names():  # and every road of the package's recipes, each once
    for _stage in recipes.find(_name).recipe.stages.values():
        if _stage.input not in SPECS.values():
            SPECS[_stage.name] = _stage.input

NETWORKS = {
    name: Network(init="random", backbone="efficientnet-b0" if name in _NAMED else "small-cnn") for name in SPECS
}
"""A road is the same before any network, and this one's graph is made in a third of the time."""


PHANTOM, REAL = (
    [pytest.param(name, marks=() if name == quick else pytest.mark.slow) for name in SPECS]
    for quick in ("raw-64", "neighbours-64")
)
"""An export takes some ten seconds: of the quick tests each makes another."""

EACH_KIND = [pytest.param(name, marks=() if name == "reader" else pytest.mark.slow) for name in SPECS]
"""One with neighbours is quick; a graph of each takes seconds to export."""


@lru_cache(maxsize=1)
def slices() -> NDArray[np.int16]:
    exam = make_exam(CohortSettings(exams=1, seed=3, slices=(20, 20)), 0)
    return np.stack([to_matrix(hu) for hu in exam.hu[6:16:3]])


def classifier_of(spec: InputSpec, seed: int = 1, network: Network = Network(init="random")) -> SliceClassifier:  # noqa: B008 - frozen
    """Weights that were trained on synthetic heads, or random ones where there are none; the BatchNorm statistics are
    of real activations, so that outputs spread."""
    recipe = SliceRecipe(
        name="small",
        title="Small",
        input=spec,
        population=Population(slices="all"),
        classes=CLASSES,
        network=network,
    )
    classifier = SliceClassifier.seeded(recipe, seed)
    if network.backbone == "efficientnet-b0":  # untrained layers lose digits, each some of what the one before has left
        initialise(classifier, "phantom", seed=seed)
    if spec.raw_hu:  # its stem begins at zero; here it has learnt
        stem = dict(classifier.backbone.named_parameters())[classifier.backbone.stem]
        with torch.no_grad():
            stem[:, list(spec.raw_channels)] = 0.1 * stem[:, :1]
    for module in classifier.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    planes = exam_planes(spec, list(slices()))
    with torch.no_grad():
        classifier.train()(torch.from_numpy(planes))
    return classifier.eval()


def session_of(content: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def exported() -> Callable[[str], tuple[SliceClassifier, bytes]]:
    made: dict[str, tuple[SliceClassifier, bytes]] = {}

    def get(name: str) -> tuple[SliceClassifier, bytes]:
        if name not in made:
            classifier = classifier_of(SPECS[name], network=NETWORKS[name])
            made[name] = classifier, export_graph([classifier])
        return made[name]

    return get


@pytest.fixture(scope="module")
def phantom_hu() -> NDArray[np.int16]:
    return slices()


def agree(classifier: SliceClassifier, content: bytes, hu: NDArray[np.int16]) -> None:
    spec = classifier.recipe.input
    own = np.stack([to_planes(spec, one) for one in hu])
    graph = SliceGraph([classifier])
    with torch.inference_mode():
        np.testing.assert_array_equal(graph.road(torch.from_numpy(hu)).numpy(), own.astype(np.float32))
        planes = torch.from_numpy(exam_planes(spec, list(hu)))
        single = classifier(planes).sigmoid().numpy()
        exact = copy.deepcopy(classifier).double()
        wanted_logits = exact.head(exact.backbone(classifier.channels(planes).double()))
        wanted = wanted_logits.sigmoid().numpy()
    # untrained networks lose digits by themselves: what torch loses, ONNX Runtime may lose too
    rounding = np.abs(single - wanted).max()
    assert rounding < (1e-5 if classifier.recipe.network.backbone == "efficientnet-b0" else 2e-3)
    stacks = neighbour_stacks(spec, np.arange(len(hu)) * spec.neighbour_spacing)
    inputs = {"hu": hu} | ({"stacks": stacks} if spec.neighbours else {})
    logits, features, maps = session_of(content).run(None, inputs)
    np.testing.assert_allclose(torch.from_numpy(logits).sigmoid().numpy(), wanted, atol=1e-4 + rounding)
    # probabilities may all be 0 or 1 where the slices are unlike those that BatchNorm has seen: logits show more
    spread = wanted_logits.std(dim=0).max().item()
    assert spread > 0.02, "the outputs do not depend on the input: the test shows nothing"
    assert np.abs(logits - wanted_logits.numpy()).max() < 1e-4 * max(1, np.abs(logits).max()) + 4 * rounding
    side = classifier.map_side
    assert features.shape == (len(hu), classifier.backbone.feature_channels)
    assert maps.shape == (len(hu), len(CLASSES), side, side)


def grad_cam(
    classifier: SliceClassifier, hu: NDArray[np.int16], precision: torch.dtype = torch.float32
) -> torch.Tensor:
    """By the definition, with a backward pass: (n, classes, h, w)."""
    planes = torch.from_numpy(np.stack([to_planes(classifier.recipe.input, one) for one in hu]))
    channels = classifier.channels(planes).to(precision)
    classifier = copy.deepcopy(classifier).to(precision)
    last = classifier.backbone(channels).detach().requires_grad_()
    logits = classifier.head(last)
    wanted: list[torch.Tensor] = []
    for k in range(logits.shape[1]):
        (gradient,) = torch.autograd.grad(logits[:, k].sum(), last, retain_graph=True)
        wanted.append((gradient.mean(dim=(2, 3), keepdim=True) * last).sum(dim=1).relu())
    return torch.stack(wanted, dim=1).detach()


@pytest.mark.parametrize("name", PHANTOM)
def test_torch_and_onnx_runtime_agree_on_phantom_slices(
    name: str, exported: Callable[[str], tuple[SliceClassifier, bytes]], phantom_hu: NDArray[np.int16]
):
    agree(*exported(name), phantom_hu)


@pytest.mark.parametrize("name", REAL)
def test_torch_and_onnx_runtime_agree_on_real_slices(
    name: str, exported: Callable[[str], tuple[SliceClassifier, bytes]], shared_data: Path
):
    files = sorted((shared_data / "ge-head-tilt").rglob("*.dcm"))[:28:4]
    if not files:
        pytest.skip("no ge-head-tilt in the real data")
    agree(*exported(name), np.stack([to_matrix(read_slice(path).hu) for path in files]))


@pytest.mark.parametrize("name", EACH_KIND)
def test_the_graphs_planes_are_numpys_bit_for_bit(name: str, phantom_hu: NDArray[np.int16]):
    """The road alone, as ONNX Runtime walks it."""

    class Road(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.road = SliceGraph([classifier_of(SPECS[name])]).road

        def forward(self, hu: torch.Tensor) -> torch.Tensor:
            return self.road(hu)

    example = torch.zeros((2, 512, 512), dtype=torch.int16)
    slices = {"hu": {0: torch.export.Dim("slices")}}
    with quiet():
        program = torch.onnx.export(
            Road().eval(), (example,), dynamo=True, input_names=["hu"], dynamic_shapes=slices, verbose=False
        )
    assert program is not None
    ties = np.full((1, 512, 512), 8, dtype=np.int16)  # 25.5 grey levels in the brain window
    hu = np.concatenate([phantom_hu, ties])
    (planes,) = session_of(program.model_proto.SerializeToString()).run(None, {"hu": hu})
    np.testing.assert_array_equal(planes, np.stack([to_planes(SPECS[name], one) for one in hu]).astype(np.float32))


def test_maps_are_grad_cam(phantom_hu: NDArray[np.int16]):
    """Against the definition, by a backward pass."""
    classifier = classifier_of(SPECS["mean-64"])
    _, _, maps = SliceGraph([classifier])(torch.from_numpy(phantom_hu))
    torch.testing.assert_close(maps, grad_cam(classifier, phantom_hu), atol=1e-6, rtol=1e-4)
    assert (maps > 0).any()


@pytest.mark.parametrize("threads", [1, 2])
def test_the_engine_shows_each_slice_with_its_neighbours(
    threads: int, exported: Callable[[str], tuple[SliceClassifier, bytes]], phantom_hu: NDArray[np.int16]
):
    classifier, content = exported("neighbours-64")
    told = manifest(Readout.uncalibrated(CLASSES)).model_copy(update={"recipe": classifier.recipe})
    engine = Engine(Bundle(told, "", content, ""), threads)
    engine._batch_size = 3  # an exam in more than one batch
    offsets = np.arange(len(phantom_hu)) * 2.5
    with torch.inference_mode():
        wanted = classifier(torch.from_numpy(exam_planes(classifier.recipe.input, list(phantom_hu), offsets)))
    np.testing.assert_allclose(engine.run(phantom_hu, offsets).logits, wanted.numpy(), atol=1e-4)
    alone = engine.run(phantom_hu[1:2]).logits[0]
    assert np.abs(alone - wanted[1].numpy()).max() > 1e-3, "the neighbours change nothing: the test shows nothing"


def test_any_number_of_slices_gives_the_same(
    exported: Callable[[str], tuple[SliceClassifier, bytes]], phantom_hu: NDArray[np.int16]
):
    session = session_of(exported("raw-64")[1])
    whole = session.run(None, {"hu": phantom_hu})
    alone = [session.run(None, {"hu": hu[None]}) for hu in phantom_hu]
    for k, output in enumerate(whole):
        np.testing.assert_allclose(output, np.concatenate([one[k] for one in alone]), atol=1e-5)


def test_the_graph_is_plain_and_forgets_the_machine(exported: Callable[[str], tuple[SliceClassifier, bytes]]):
    content = exported("raw-64")[1]
    model = onnx.load_from_string(content)
    operators = Counter(node.op_type for node in model.graph.node)
    assert not {"Resize", "BatchNormalization", "Upsample"} & operators.keys()
    assert {node.domain for node in model.graph.node} == {""}
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 20)]
    assert not model.functions
    for words in (b"stack_trace", b"site-packages", b"export.py", b"fx_node"):
        assert words not in content


@pytest.mark.slow
def test_the_same_weights_give_the_same_bytes(exported: Callable[[str], tuple[SliceClassifier, bytes]]):
    classifier, content = exported("mean-64")
    assert export_graph([classifier]) == content


@pytest.mark.slow
def test_several_runs_are_averaged(phantom_hu: NDArray[np.int16]):
    pair = [classifier_of(SPECS["mean-64"], seed) for seed in (1, 2)]
    logits, features, maps = session_of(export_graph(pair)).run(None, {"hu": phantom_hu})
    planes = torch.from_numpy(np.stack([to_planes(SPECS["mean-64"], one) for one in phantom_hu]))
    with torch.inference_mode():
        wanted = (pair[0](planes) + pair[1](planes)) / 2
    np.testing.assert_allclose(logits, wanted.numpy(), atol=1e-4)
    assert features.shape == (len(phantom_hu), 2560)
    assert maps.shape == (len(phantom_hu), len(CLASSES), 2, 2)


def test_runs_of_other_roads_do_not_go_together():
    with pytest.raises(WeightsError, match="one input road, views and list of classes"):
        export_graph([classifier_of(SPECS["mean-64"]), classifier_of(SPECS["stack-of-two-96"])])
