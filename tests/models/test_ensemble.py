"""The graph of an ensemble says what its members say, joined, from raw HU."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ichnos import recipes
from ichnos.ct.windows import BLOOD, BRAIN
from ichnos.dicom.read import read_slice
from ichnos.evaluation.combination import Linear, Places, Ranks
from ichnos.inference.bundle import Bundle
from ichnos.inference.engine import Engine
from ichnos.inference.manifest import Manifest
from ichnos.inputs import exam_planes, resize, to_matrix
from ichnos.models import SliceClassifier
from ichnos.models.ensemble import EnsembleGraph, combination_layer
from ichnos.models.export import CascadeGraph, SliceGraph, _Network, exported, quiet
from ichnos.models.initial_weights import initialise
from ichnos.models.sixteen_bits import in_sixteen_bits
from ichnos.models.views import viewed
from ichnos.readout import Readout
from ichnos.recipe import EnsembleRecipe, InputSpec, Population, SliceRecipe, WindowMerge
from ichnos.subtypes import CLASSES, SUBTYPES
from tests.inference.networks import manifest
from tests.models.test_export import session_of, slices

NEAR = InputSpec(windows=(BRAIN,), size=256, neighbours=1)
FARTHER = InputSpec(windows=(BRAIN,), size=160, neighbours=2)
WIDE = InputSpec(windows=(BRAIN, BLOOD), merge=WindowMerge.STACK, size=256)


def classifier(road: InputSpec, seed: int = 0) -> SliceClassifier:
    """A small network of all six classes whose answers differ from slice to slice."""
    recipe = SliceRecipe(name="small", title="Small", input=road, population=Population(slices="all"), classes=CLASSES)
    made = SliceClassifier.seeded(recipe.derive(**{"network.backbone": "small-cnn", "network.init": "random"}), seed)
    with torch.no_grad():
        made.head.output.weight.mul_(20)
    return made.eval()


def fitted_ranks(members: int, rng: np.random.Generator) -> Ranks:
    return Ranks.of(rng.normal(size=(members, 300, 6)) * 3, (1 / members,) * members)


def combinations(members: int) -> dict[str, Linear | Ranks]:
    rng = np.random.default_rng(0)
    stacked = rng.normal(size=(6, 6 * members))
    return {
        "mean": Linear.mean(rng.dirichlet(np.ones(members)).tolist(), 6),
        "stacking": Linear(matrix=tuple(map(tuple, stacked.tolist())), bias=tuple(rng.normal(size=6).tolist())),
        "rank": fitted_ranks(members, rng),
    }


@pytest.mark.parametrize("how", ["mean", "stacking", "rank"])
def test_torch_joins_as_numpy_does(how: str) -> None:
    combination = combinations(3)[how]
    logits = np.random.default_rng(1).normal(size=(3, 200, 6)) * 6
    logits[:, :2] = np.array([-50, 50])[:, None]
    with torch.inference_mode():
        said = combination_layer(combination)([torch.from_numpy(each).float() for each in logits])
    np.testing.assert_allclose(said.numpy(), combination.apply(logits), rtol=1e-4, atol=1e-4)


def test_one_knot_and_many_stand_side_by_side() -> None:
    one, many = Places.of(np.zeros(9)), Places.of(np.linspace(-1, 1, 90))
    ranks = Ranks(shares=(0.5, 0.5), places=((one, many), (many, one)))
    logits = np.linspace(-3, 3, 50)[None, :, None] * np.ones((2, 1, 2))
    with torch.inference_mode():
        said = combination_layer(ranks)([torch.from_numpy(each).float() for each in logits])
    np.testing.assert_allclose(said.numpy(), ranks.apply(logits), rtol=1e-4, atol=1e-4)


def test_members_keep_their_roads_and_maps_are_their_weighted_mean() -> None:
    members = [SliceGraph([classifier(NEAR)]), SliceGraph([classifier(FARTHER, 1)]), SliceGraph([classifier(WIDE, 2)])]
    graph = EnsembleGraph(members, Linear.mean((0.5, 0.3, 0.2), 6), (0.5, 0.3, 0.2))
    hu = torch.from_numpy(slices()[:3])
    stacks = torch.from_numpy(np.clip(np.arange(len(hu))[:, None] + np.arange(-2, 3), 0, len(hu) - 1))
    with torch.inference_mode():
        logits, features, maps = graph(hu, stacks)
        each = [member(hu, stacks) for member in members]
    assert (graph.neighbours, graph.map_side) == (2, 16)
    torch.testing.assert_close(logits, 0.5 * each[0][0] + 0.3 * each[1][0] + 0.2 * each[2][0])
    torch.testing.assert_close(features, torch.cat([said[1] for said in each], dim=1))
    sized = [np.stack([[resize(m, 16) for m in one] for one in said[2].numpy()]) for said in each]
    np.testing.assert_allclose(maps.numpy(), 0.5 * sized[0] + 0.3 * sized[1] + 0.2 * sized[2], rtol=1e-4, atol=1e-6)


def test_a_member_without_maps_leaves_none() -> None:
    one, other = SliceGraph([classifier(WIDE)]), SliceGraph([classifier(WIDE, 1)])
    other.map_side = 0
    for network in other.networks:
        assert isinstance(network, _Network)
        network.map_side = 0
    graph = EnsembleGraph([one, other], Linear.mean((0.5, 0.5), 6), (0.5, 0.5))
    with torch.inference_mode():
        said = graph(torch.from_numpy(slices()))
    assert (graph.map_side, len(said)) == (0, 2)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["mean", "stacking", "rank"])
def test_torch_and_onnx_runtime_agree(how: str) -> None:
    combination = combinations(3)[how]
    near, wide = classifier(NEAR), classifier(WIDE, 1)
    positives = near.recipe.derive(population=Population(), classes=SUBTYPES)
    cascade = CascadeGraph(near, SliceClassifier.seeded(positives, 4).eval())
    graph = EnsembleGraph([SliceGraph([near]), SliceGraph([wide]), cascade], combination, (1 / 3,) * 3)
    hu = slices()
    offsets = np.arange(len(hu)) * 5.0
    with torch.inference_mode():
        each = [m(torch.from_numpy(exam_planes(m.recipe.input, list(hu), offsets))).double() for m in (near, wide)]
        stacks = torch.from_numpy(np.clip(np.arange(len(hu))[:, None] + np.arange(-1, 2), 0, len(hu) - 1))
        each.append(cascade(torch.from_numpy(hu), stacks)[0].double())
    wanted = combination.apply(np.stack([one.numpy() for one in each]))
    output = engine_of(exported(graph), near, wide).run(hu, offsets)
    np.testing.assert_allclose(output.logits, wanted, rtol=1e-4, atol=1e-3)
    assert wanted.std(axis=0).max() > 1e-2, "the outputs do not depend on the input: the test shows nothing"
    assert output.maps is not None
    assert output.maps.shape == (len(hu), 6, 16, 16)


@pytest.mark.slow
def test_the_combination_that_is_included_agrees_on_real_slices_as_it_is_stored(shared_data: Path) -> None:
    """`ensemble_pair` with its members' first weights: two sizes, mirror images, weights in 16 bits."""
    files = sorted((shared_data / "ge-head-tilt").rglob("*.dcm"))[:28:4]
    if not files:
        pytest.skip("no ge-head-tilt in the real data")
    recipe = recipes.find("ensemble_pair").recipe
    assert isinstance(recipe, EnsembleRecipe)
    members = [SliceClassifier(each) for each in recipe.members.values() if isinstance(each, SliceRecipe)]
    for member in members:
        initialise(member, member.recipe.network.init, seed=0)
    graph = EnsembleGraph([SliceGraph([each.eval()]) for each in members], Linear.mean((0.5, 0.5), 6), (0.5, 0.5))
    hu = np.stack([to_matrix(read_slice(path).hu) for path in files])
    with torch.inference_mode():
        planes = [torch.from_numpy(exam_planes(each.recipe.input, list(hu))) for each in members]
        wanted = torch.stack([viewed(each)(shown) for each, shown in zip(members, planes, strict=True)]).mean(dim=0)
        maps = graph(torch.from_numpy(hu))[2].numpy()
    said, _, drawn = session_of(in_sixteen_bits(exported(graph))).run(None, {"hu": hu})
    np.testing.assert_allclose(torch.from_numpy(said).sigmoid().numpy(), wanted.sigmoid().numpy(), atol=1e-4)
    np.testing.assert_allclose(drawn, maps, atol=1e-3 * maps.max())
    assert wanted.sigmoid().std(dim=0).max() > 0.02, "the outputs do not depend on the input: the test shows nothing"


def engine_of(network: bytes, near: SliceClassifier, wide: SliceClassifier) -> Engine:
    recipe = EnsembleRecipe(name="e", title="E", members={"near": near.recipe, "wide": wide.recipe})
    tree = manifest(Readout.uncalibrated(CLASSES)).model_dump(mode="json")
    told = Manifest.model_validate(tree | {"recipe": recipe.model_dump(mode="json"), "version": 5, "map_side": 16})
    return Engine(Bundle(told, "", network, ""), threads=1)


@pytest.mark.parametrize("how", ["mean", "stacking", "rank"])
def test_what_joins_them_exports_by_itself(how: str) -> None:
    """Quick, as there are no networks in it."""

    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = combination_layer(combinations(2)[how])

        def forward(self, first: Tensor, second: Tensor) -> Tensor:
            return self.layer([first, second])

    logits = np.random.default_rng(1).normal(size=(2, 40, 6)).astype(np.float32) * 6
    given = tuple(torch.from_numpy(each) for each in logits)
    with quiet():
        program = torch.onnx.export(Joined().eval(), given, dynamo=True, input_names=["a", "b"], verbose=False)
    assert program is not None
    (said,) = session_of(program.model_proto.SerializeToString()).run(None, {"a": logits[0], "b": logits[1]})
    wanted = combinations(2)[how].apply(logits.astype(np.float64))
    np.testing.assert_allclose(np.asarray(said), wanted, rtol=1e-4, atol=1e-4)
