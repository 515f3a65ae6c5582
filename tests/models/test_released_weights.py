"""ImageNet weights of every backbone that has them, on files of exactly the form in which they were released."""

import hashlib
import io
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ichnos.ct.windows import BLOOD, BRAIN
from ichnos.errors import WeightsError
from ichnos.models import SliceClassifier, save_checkpoint
from ichnos.models.backbones import build_backbone
from ichnos.models.initial_weights import initialise
from ichnos.networks import Architecture, Network
from ichnos.recipe import InputSpec, SliceRecipe, WindowMerge
from tests.models.released import released

KNOWN = [which for which in Architecture if which.facts.weights]


def recipe(which: Architecture, merge: WindowMerge = WindowMerge.MEAN) -> SliceRecipe:
    spec = InputSpec(windows=(BRAIN, BLOOD), merge=merge, size=32)
    return SliceRecipe(name="small", title="Small", input=spec, network=Network(backbone=which.value, init="random"))


def table(which: Architecture) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What a backbone of seed 7 holds, and the same as its publisher would have released it."""
    own = SliceClassifier.seeded(recipe(which), 7).backbone.state_dict()
    return own, released(which, own)


@pytest.mark.parametrize("which", KNOWN)
def test_every_released_name_finds_its_tensor(which: Architecture) -> None:
    """Of all blocks: `layer3.22` too, which a pattern for one digit would miss. Shapes alone, without numbers."""
    with torch.device("meta"):
        backbone = build_backbone(recipe(which).network, 3, 32)
    own = backbone.state_dict()
    named = backbone.renamed(released(which, own))
    assert {key: value.shape for key, value in named.items()} == {key: value.shape for key, value in own.items()}


def test_the_released_names_are_the_published_ones() -> None:
    """As the files list them: of torchvision, pretrained-models.pytorch and EfficientNet-PyTorch."""
    with torch.device("meta"):
        names = {
            which: set(released(which, build_backbone(recipe(which).network, 3, 32).state_dict())) for which in KNOWN
        }
    assert names[Architecture.RESNEXT101] >= {"conv1.weight", "layer3.22.bn3.running_var", "layer4.0.downsample.1.bias"}
    assert names[Architecture.DENSENET169] >= {
        "features.conv0.weight",
        "features.denseblock4.denselayer32.norm.1.weight",
        "features.transition3.conv.weight",
        "features.norm5.running_mean",
        "classifier.weight",
    }
    assert names[Architecture.SE_RESNEXT101] >= {
        "layer0.conv1.weight",
        "layer0.bn1.bias",
        "layer3.22.conv2.weight",
        "layer3.22.bn3.weight",
        "layer3.22.se_module.fc1.bias",
        "layer4.0.downsample.0.weight",
        "last_linear.weight",
    }
    assert names[Architecture.EFFICIENTNET_B4] >= {"_blocks.31._se_reduce.weight", "_conv_head.weight", "_fc.bias"}


@pytest.mark.parametrize("which", [Architecture.DENSENET121, Architecture.SE_RESNEXT50, Architecture.RESNET50])
def test_a_released_file_begins_a_network_of_other_channels(which: Architecture, tmp_path: Path) -> None:
    own, theirs = table(which)
    torch.save({k: v for k, v in theirs.items() if not k.endswith("num_batches_tracked")}, tmp_path / "a.pth")
    classifier = SliceClassifier.seeded(recipe(which, WindowMerge.STACK), 1)
    weights = initialise(classifier, str(tmp_path / "a.pth"), seed=0)
    assert (weights.backbone, weights.head) == ("a.pth", "random")
    stem = classifier.backbone.stem
    for key, value in classifier.backbone.state_dict().items():
        if key == stem:
            assert value.shape[1] == 2
            torch.testing.assert_close(value.sum(dim=1), own[key].sum(dim=1))
        elif not key.endswith("num_batches_tracked"):
            assert torch.equal(value, own[key]), key


def test_imagenet_takes_the_file_of_its_digest_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, theirs = table(Architecture.SE_RESNEXT50)
    content = io.BytesIO()
    torch.save(theirs, content)
    digest = hashlib.sha256(content.getvalue()).hexdigest()[:8]
    (tmp_path / f"se-{digest}.pth").write_bytes(content.getvalue())
    monkeypatch.setenv("ICHNOS_CACHE", str(tmp_path))
    monkeypatch.setattr("ichnos.models.initial_weights._released_at", lambda network: f"http://nowhere/se-{digest}.pth")
    classifier = SliceClassifier(recipe(Architecture.SE_RESNEXT50))
    weights = initialise(classifier, "imagenet", seed=0)
    assert (weights.backbone, weights.digest) == ("imagenet", digest)
    assert all(torch.equal(value, own[key]) for key, value in classifier.backbone.state_dict().items())


@pytest.mark.parametrize(
    ("init", "complaint"),
    [
        ("imagenet", "no public ImageNet weights of small-cnn: give network.init as random, or a file"),
        ("phantom", "the phantom weights are of efficientnet-b0, not of small-cnn"),
        ("phantom-2.5d", r"the phantom-2\.5d weights are of efficientnet-b0, not of small-cnn"),
        ("phantom-160", "the phantom-160 weights are of efficientnet-b0, not of small-cnn"),
    ],
)
def test_weights_that_are_not_there_are_an_error(init: str, complaint: str) -> None:
    with pytest.raises(WeightsError, match=complaint):
        initialise(SliceClassifier(recipe(Architecture.SMALL_CNN)), init, seed=0)


def test_a_checkpoint_or_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    small = SliceClassifier(recipe(Architecture.SMALL_CNN))
    save_checkpoint(tmp_path / "a.safetensors", SliceClassifier(recipe(Architecture.SEPARABLE)), {})
    with pytest.raises(WeightsError, match=r"a\.safetensors holds separable, the recipe names small-cnn"):
        initialise(small, str(tmp_path / "a.safetensors"), seed=0)
    torch.save(table(Architecture.SEPARABLE)[1], tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"a\.pth is not small-cnn: it has unknown"):
        initialise(small, str(tmp_path / "a.pth"), seed=0)


def test_a_head_without_a_hidden_layer_is_taken_from_its_like(tmp_path: Path) -> None:
    plain = recipe(Architecture.SMALL_CNN).derive(**{"network.head.hidden": None})
    source = SliceClassifier.seeded(plain, 4)
    save_checkpoint(tmp_path / "a.safetensors", source, {})
    again = SliceClassifier(plain)
    assert initialise(again, str(tmp_path / "a.safetensors"), seed=0).head == "a.safetensors"
    assert torch.equal(again.head.output.weight, source.head.output.weight)
    wide = SliceClassifier(recipe(Architecture.SMALL_CNN))
    weights = initialise(wide, str(tmp_path / "a.safetensors"), seed=0)
    assert "its head has no hidden units" in weights.remark
