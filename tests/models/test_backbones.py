"""Every backbone: what it says of itself is so, it learns, it comes back from the disk, and its export is exact."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from ichnos.ct.windows import BLOOD, BRAIN
from ichnos.models import SliceClassifier, load_classifier, save_checkpoint
from ichnos.models.backbones import build_backbone
from ichnos.models.cost import cost_of
from ichnos.models.export import SliceGraph, export_graph
from ichnos.networks import COUNTED_AT, Architecture, Head, Network
from ichnos.recipe import InputSpec, SliceRecipe
from tests.models.test_export import agree, classifier_of, grad_cam, session_of, slices

FLAT = [each for each in Architecture if not each.facts.volume]
"""The others have no maps and need neighbours: test_joint_3d_rnn.py."""

ONE_EACH = {"densenet121", "cbam-resnet50", "separable", "small-cnn"}
"""Quick ones of unlike families; EfficientNet is what all other tests train."""

ALL = [pytest.param(each, marks=() if each in ONE_EACH else pytest.mark.slow, id=each) for each in FLAT]

EXPORTED = [pytest.param(each, marks=() if each == "small-cnn" else pytest.mark.slow, id=each) for each in FLAT]
"""An export of a deep network takes half a minute of a core; EfficientNet's is tested in test_export.py."""

SPEC = InputSpec(windows=(BRAIN, BLOOD), size=64)


def network(which: Architecture, hidden: int | None = 128) -> Network:
    return Network(backbone=which.value, init="random", head=Head(hidden=hidden))


def small(which: Architecture) -> SliceRecipe:
    return SliceRecipe(name="small", title="Small", input=SPEC, network=network(which))


@pytest.mark.parametrize("which", Architecture)
def test_costs_are_as_they_are_counted(which: Architecture) -> None:
    assert cost_of(network(which)) == (which.facts.parameters, which.facts.multiply_adds)


def test_multiplications_are_counted_once_with_their_addition() -> None:
    """By hand, of the small network: 3×3 kernels at four sizes, each half of the one before."""
    widths = (3, 32, 64, 128, 256)
    by_hand = sum(9 * given * made * (COUNTED_AT >> k) ** 2 for k, (given, made) in enumerate(pairwise(widths)))
    assert cost_of(network(Architecture.SMALL_CNN))[1] == by_hand
    assert cost_of(network(Architecture.SMALL_CNN), size=112)[1] == by_hand // 4


@pytest.mark.parametrize("which", FLAT)
def test_what_each_says_of_itself_is_so(which: Architecture) -> None:
    with torch.device("meta"):
        for channels, size in ((3, 64), (5, 96)):
            backbone = build_backbone(network(which), channels, size).eval()
            last = backbone(torch.zeros(2, channels, size, size))
            side = size // which.facts.shrinkage
            assert last.shape == (2, backbone.feature_channels, side, side)
            assert backbone.map_side(size) == side
            assert backbone.state_dict()[backbone.stem].shape[1] == channels


@pytest.mark.parametrize("which", FLAT)
def test_the_earlier_map_is_of_the_size_that_it_says(which: Architecture) -> None:
    with torch.device("meta"):
        backbone = build_backbone(network(which), 3, 96).eval()
        last, skip = backbone.with_skip(torch.zeros(2, 3, 96, 96))
        assert last.shape == backbone(torch.zeros(2, 3, 96, 96)).shape
    without = {Architecture.SEPARABLE, Architecture.SMALL_CNN, Architecture.JOINT_3D_RNN}
    assert (skip is None) == (which in without)
    assert backbone.skip_channels == 0 if skip is None else skip.shape == (2, backbone.skip_channels, 12, 12)


@pytest.mark.slow
@pytest.mark.parametrize("which", ["efficientnet-b0", "densenet121", "se-resnext50", "cbam-resnet50"])
def test_the_way_past_the_earlier_map_is_the_same(which: str) -> None:
    torch.manual_seed(0)
    backbone = build_backbone(network(Architecture(which)), 3, 64).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(backbone.with_skip(images)[0], backbone(images))


@pytest.mark.parametrize("which", ALL)
def test_it_learns_and_is_the_same_by_its_seed(which: Architecture) -> None:
    classifier = SliceClassifier.seeded(small(which), 3)
    planes = torch.randint(0, 256, (3, 1, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    said = []
    for _ in range(2):
        torch.manual_seed(5)
        again = SliceClassifier.seeded(small(which), 3).train()
        said.append(again(planes))
        said[-1].square().sum().backward()
        gradient = dict(again.backbone.named_parameters())[again.backbone.stem].grad
        assert gradient is not None
        assert gradient.abs().sum() > 0
        assert torch.isfinite(gradient).all()
    assert torch.equal(said[0], said[1])
    classifier.eval()
    with torch.no_grad():
        assert torch.equal(classifier(planes), classifier(planes))
        assert not torch.equal(classifier(planes), said[0])


@pytest.mark.parametrize("which", ALL)
def test_a_checkpoint_comes_back(which: Architecture, tmp_path: Path) -> None:
    classifier = SliceClassifier.seeded(small(which), 3)
    save_checkpoint(tmp_path / "a.safetensors", classifier, {})
    read, recipe, _ = load_classifier(tmp_path / "a.safetensors")
    assert recipe == small(which)
    assert {name.partition(".")[0] for name in read.state_dict()} == {"backbone", "head"}
    assert all(torch.equal(classifier.state_dict()[key], value) for key, value in read.state_dict().items())


def maps_agree(classifier: SliceClassifier, maps: torch.Tensor) -> None:
    """A map is a difference of large sums: it is as exact as its largest value and the network's own digits allow."""
    wanted = grad_cam(classifier, slices(), torch.float64)
    rounding = float((grad_cam(classifier, slices()) - wanted).abs().max())
    largest = float(wanted.max())
    assert rounding < 1e-2 * largest
    torch.testing.assert_close(maps.double(), wanted, atol=1e-4 * largest + rounding, rtol=1e-4)


@pytest.mark.parametrize("which", ALL)
def test_its_maps_are_grad_cam(which: Architecture) -> None:
    classifier = classifier_of(SPEC, network=network(which))
    maps_agree(classifier, SliceGraph([classifier])(torch.from_numpy(slices()))[2].detach())


@pytest.mark.parametrize("which", EXPORTED)
def test_onnx_runtime_says_what_torch_says(which: Architecture) -> None:
    classifier = classifier_of(SPEC, network=network(which, hidden=None if which is Architecture.SMALL_CNN else 32))
    content = export_graph([classifier])
    agree(classifier, content, slices())
    maps_agree(classifier, torch.from_numpy(session_of(content).run(["maps"], {"hu": slices()})[0]))


def test_a_head_without_a_hidden_layer_gives_exact_maps() -> None:
    classifier = classifier_of(SPEC, network=network(Architecture.SEPARABLE, hidden=None))
    assert {name for name in classifier.state_dict() if name.startswith("head.")} == {
        "head.output.weight",
        "head.output.bias",
    }
    with torch.no_grad():
        logits, features, maps = SliceGraph([classifier])(torch.from_numpy(slices()))
    maps_agree(classifier, maps)
    said = features @ classifier.head.output.weight.T + classifier.head.output.bias
    torch.testing.assert_close(logits, said, atol=1e-4, rtol=1e-4)


def test_networks_with_maps_of_other_sizes_are_averaged_on_the_finest() -> None:
    pair = [classifier_of(SPEC, network=network(each)) for each in (Architecture.SEPARABLE, Architecture.SMALL_CNN)]
    assert [each.map_side for each in pair] == [2, 4]
    hu = torch.from_numpy(slices())
    with torch.no_grad():
        _, features, maps = SliceGraph(pair)(hu)
        coarse, fine = (SliceGraph([each])(hu)[2] for each in pair)
    assert features.shape == (len(hu), 512 + 256)
    assert maps.shape == fine.shape == (len(hu), 6, 4, 4)
    twice = np.stack([[np.asarray(one)[[0, 0, 1, 1]][:, [0, 0, 1, 1]] for one in each] for each in coarse.numpy()])
    corners = np.ix_(range(len(hu)), range(6), (0, 3), (0, 3))  # beyond the coarse cells' centres nothing is mixed
    np.testing.assert_allclose(maps.numpy()[corners], ((twice + fine.numpy()) / 2)[corners], rtol=1e-4, atol=1e-6)
