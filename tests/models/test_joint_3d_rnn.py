"""The joint 3D CNN and RNN: it sees its slices as a volume in order, learns as a whole, and its export is exact."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ichnos import recipes
from ichnos.ct.windows import BLOOD, BRAIN
from ichnos.errors import RecipeError
from ichnos.inputs import exam_planes, neighbour_stacks
from ichnos.models import SliceClassifier
from ichnos.models.backbones.joint_3d_rnn import Joint3dRnn
from ichnos.models.cost import cost_of
from ichnos.models.export import SliceGraph, export_graph
from ichnos.networks import Head, Network
from ichnos.recipe import InputSpec, Population, SliceRecipe, WindowMerge
from ichnos.subtypes import CLASSES
from tests.models.test_export import session_of, slices

DOCS = Path(__file__).parents[2] / "docs"

ROAD = InputSpec(windows=(BRAIN, BLOOD), merge=WindowMerge.STACK, size=32, neighbours=2)


def recipe(road: InputSpec = ROAD) -> SliceRecipe:
    return SliceRecipe(
        name="volume",
        title="Volume",
        input=road,
        population=Population(slices="all"),
        classes=CLASSES,
        network=Network(backbone="joint-3d-rnn", init="random", head=Head(hidden=None)),
    )


def test_what_is_said_of_its_work_is_what_is_counted() -> None:
    ye = recipes.find("ye").of_one_model
    road = ye.input
    said = f"{cost_of(ye.network, road.channels, road.size, road.slices)[1] / 1e9:.1f} GFLOP a slice"
    assert said in recipes.find("ye").docstring
    (row,) = [line for line in (DOCS / "field.md").read_text().splitlines() if "; `ye` |" in line]
    assert said in row


def test_it_learns_in_every_part_and_from_every_slice() -> None:
    classifier = SliceClassifier.seeded(recipe(), 3).train()
    unit = torch.rand(3, ROAD.stacked, 32, 32, generator=torch.Generator().manual_seed(1)).requires_grad_()
    classifier.logits(unit).square().sum().backward()
    for name, parameter in classifier.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name
    assert unit.grad is not None
    assert (unit.grad.abs().sum(dim=(2, 3)) > 0).all()


def test_its_two_directions_are_a_gru_over_the_slices() -> None:
    """Against torch's own recurrent layer, at the slice in the middle."""
    backbone = Joint3dRnn(10, slices=5).eval()
    whole = torch.nn.GRU(256, 128, bidirectional=True, batch_first=True)
    for cell, end in ((backbone.up, "l0"), (backbone.down, "l0_reverse")):
        for name, tensor in cell.named_parameters():
            getattr(whole, f"{name}_{end}").data.copy_(tensor.data)
    inputs = torch.rand(2, 10, 32, 32)
    with torch.no_grad():
        volume = inputs.view(2, 5, 2, 32, 32).transpose(1, 2)
        last = backbone.blocks(backbone.stem_norm(backbone.stem_conv(volume)).relu())
        said, _ = whole(last.mean(dim=(3, 4)).transpose(1, 2))
        torch.testing.assert_close(backbone(inputs), said[:, 2])


def test_it_needs_neighbours() -> None:
    with pytest.raises(RecipeError, match=r"joint-3d-rnn sees a slice among its neighbours: set input\.neighbours too"):
        recipe().override({"input.neighbours": "0"})


def test_raw_hu_have_a_stem_of_their_own_in_it_too() -> None:
    classifier = SliceClassifier.seeded(recipe(ROAD.model_copy(update={"raw_hu": True})), 3)
    stem = classifier.backbone.state_dict()[classifier.backbone.stem]
    assert stem.shape[1] == 3
    assert (stem[:, 2] == 0).all()
    assert (stem[:, :2] != 0).all()


@pytest.mark.slow
def test_onnx_runtime_says_what_torch_says_and_there_are_no_maps() -> None:
    classifier = SliceClassifier.seeded(recipe(), 3)
    hu = slices()
    planes = torch.from_numpy(exam_planes(ROAD, list(hu)))
    for norm in (each for each in classifier.modules() if isinstance(each, torch.nn.BatchNorm3d)):
        norm.momentum = None
    with torch.no_grad():
        classifier.train()(planes)
        classifier.eval()
        wanted = classifier(planes).sigmoid().numpy()
    assert classifier.map_side == 0
    assert len(SliceGraph([classifier])(torch.from_numpy(hu), torch.zeros(1, 5, dtype=torch.int64))) == 2
    stacks = neighbour_stacks(ROAD, np.arange(len(hu)) * ROAD.neighbour_spacing)
    logits, features = session_of(export_graph([classifier])).run(None, {"hu": hu, "stacks": stacks})
    np.testing.assert_allclose(torch.from_numpy(np.asarray(logits)).sigmoid().numpy(), wanted, atol=1e-4)
    assert wanted.std(axis=0).max() > 1e-2, "the outputs do not depend on the input: the test shows nothing"
    assert np.asarray(features).shape == (len(hu), 256)
