"""The exported cascade says what its two classifiers say, and never a subtype above any."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from ichnos.ct.windows import BLOOD, BONE, BRAIN
from ichnos.inference.bundle import Bundle
from ichnos.inference.engine import Engine
from ichnos.inputs import exam_planes, resize
from ichnos.models import SliceClassifier
from ichnos.models.export import CascadeGraph, both, export_cascade, quiet
from ichnos.readout import Readout, sigmoid
from ichnos.recipe import CascadeRecipe, InputSpec, Population, WindowMerge
from ichnos.subtypes import CLASSES, SUBTYPES, Subtype
from tests.inference.networks import manifest
from tests.models.test_export import classifier_of, session_of, slices

NEIGHBOURS = InputSpec(windows=(BRAIN,), size=64, neighbours=1)
ALONE = InputSpec(windows=(BRAIN, BLOOD), merge=WindowMerge.STACK, size=96)
FARTHER = InputSpec(windows=(BONE,), size=32, neighbours=2)
SMALL = InputSpec(windows=(BRAIN, BLOOD), size=32)

ROADS = {
    "the gate shows neighbours": (NEIGHBOURS, ALONE),
    "both do, the second stage more": (NEIGHBOURS, FARTHER),
    "neither does": (ALONE, SMALL),
}


def cascade_of(gate: InputSpec, subtypes: InputSpec) -> tuple[SliceClassifier, SliceClassifier, CascadeRecipe]:
    """A gate that names all six, and a second stage of the subtypes but epidural in an order of its own."""
    first = classifier_of(gate)
    recipe = classifier_of(subtypes).recipe.derive(
        population=Population(slices="positives"), classes=tuple(reversed(SUBTYPES[1:]))
    )
    second = SliceClassifier.seeded(recipe, 5)
    second.backbone.load_state_dict(classifier_of(subtypes, 5).backbone.state_dict())
    with torch.no_grad():
        second.head.output.weight.mul_(8)  # at 32 px a random head hardly tells slices apart
    return first, second.eval(), CascadeRecipe(name="c", title="C", gate=first.recipe, subtypes=recipe)


@pytest.fixture(scope="module")
def phantom_hu() -> NDArray[np.int16]:
    return slices()


@pytest.fixture(scope="module")
def exported() -> Callable[[str], tuple[SliceClassifier, SliceClassifier, CascadeRecipe, bytes]]:
    made: dict[str, tuple[SliceClassifier, SliceClassifier, CascadeRecipe, bytes]] = {}

    def get(name: str) -> tuple[SliceClassifier, SliceClassifier, CascadeRecipe, bytes]:
        if name not in made:
            gate, subtypes, recipe = cascade_of(*ROADS[name])
            made[name] = gate, subtypes, recipe, export_cascade(gate, subtypes)
        return made[name]

    return get


@pytest.mark.slow  # each exports two networks; tests/stories/test_cascade.py reads with such a graph
@pytest.mark.parametrize("name", ROADS)
def test_torch_and_onnx_runtime_agree(
    name: str,
    exported: Callable[[str], tuple[SliceClassifier, SliceClassifier, CascadeRecipe, bytes]],
    phantom_hu: NDArray[np.int16],
) -> None:
    gate, subtypes, recipe, content = exported(name)
    offsets = np.arange(len(phantom_hu)) * 4.0
    some, which = (
        torch.sigmoid(
            classifier(torch.from_numpy(exam_planes(classifier.recipe.input, list(phantom_hu), offsets))).double()
        )
        .detach()
        .numpy()
        for classifier in (gate, subtypes)
    )
    some = some[:, [CLASSES.index(Subtype.ANY)]]
    told = manifest(Readout.uncalibrated(recipe.classes)).model_copy(update={"recipe": recipe})
    engine = Engine(Bundle(told, "", content, ""), threads=1)
    engine._batch_size = 3  # an exam in more than one batch
    output = engine.run(phantom_hu, offsets)
    np.testing.assert_allclose(sigmoid(output.logits.astype(np.float64)), np.hstack([some * which, some]), atol=1e-4)
    assert some.std() > 1e-3
    assert which.std(axis=0).max() > 1e-3, "the outputs do not depend on the input: the test shows nothing"
    assert (output.logits[:, -1:] >= output.logits[:, :-1]).all()
    side = subtypes.recipe.input.size // 32
    assert output.maps.shape == (len(phantom_hu), 5, side, side)
    assert output.features.shape == (len(phantom_hu), 2560)


def test_maps_are_each_stages_own(phantom_hu: NDArray[np.int16]) -> None:
    gate, subtypes, _ = cascade_of(ALONE, SMALL)
    graph = CascadeGraph(gate, subtypes)
    hu = torch.from_numpy(phantom_hu)
    with torch.inference_mode():
        _, _, maps = graph(hu)
        _, _, of_gate = graph.gate(hu)
        _, _, of_subtypes = graph.subtypes(hu)
    torch.testing.assert_close(maps[:, :-1], of_subtypes)
    wanted = np.stack([resize(each, 1) for each in of_gate[:, -1].numpy()])  # from 3×3
    np.testing.assert_allclose(maps[:, -1].numpy(), wanted, rtol=1e-5, atol=1e-6)


def test_a_gate_that_never_fires_leaves_all_but_nothing(phantom_hu: NDArray[np.int16]) -> None:
    gate, subtypes, _ = cascade_of(ALONE, SMALL)
    with torch.no_grad():
        gate.head.output.bias.fill_(-200)
        logits, _, _ = CascadeGraph(gate, subtypes)(torch.from_numpy(phantom_hu))
    assert torch.isfinite(logits).all()
    assert (logits < -150).all()
    assert (logits[:, -1:] >= logits[:, :-1]).all()


LOGITS = st.floats(-1e4, 1e4, width=32)


@given(first=LOGITS, second=LOGITS)
def test_the_logit_of_a_product_of_probabilities(first: float, second: float) -> None:
    said = float(both(torch.tensor(first), torch.tensor(second)))
    a, b = np.float64(first), np.float64(second)
    wanted = -np.logaddexp(np.logaddexp(-a, -b), -(a + b))
    assert said == pytest.approx(wanted, rel=1e-5, abs=1e-5)
    assert said <= min(first, second)
    assert np.isfinite(said)
    probability = sigmoid(np.float64(said))
    assert probability == pytest.approx(sigmoid(a) * sigmoid(b), abs=1e-6)


def test_onnx_runtime_keeps_to_it_at_the_ends() -> None:
    class Both(nn.Module):
        def forward(self, first: Tensor, second: Tensor) -> Tensor:
            return both(first, second)

    ends = torch.tensor([-1e4, -90, 0, 90, 1e4])
    first, second = ends.repeat_interleave(5).unsqueeze(1), ends.repeat(5).unsqueeze(1)
    with quiet():
        program = torch.onnx.export(Both().eval(), (first, second), dynamo=True, input_names=["a", "b"], verbose=False)
    assert program is not None
    session = session_of(program.model_proto.SerializeToString())
    (said,) = session.run(None, {"a": first.numpy(), "b": second.numpy()})
    np.testing.assert_allclose(said, both(first, second).numpy(), rtol=1e-6, atol=1e-6)
    assert (said <= np.minimum(first.numpy(), second.numpy())).all()
