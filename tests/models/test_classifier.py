"""The network: its size, its shapes, and what stays still when it is frozen."""

import pytest
import torch
from monai.networks.nets.efficientnet import EfficientNetBN

from ichnos.models import SliceClassifier
from ichnos.models.backbones import fit_stem
from ichnos.models.backbones.efficientnet import EfficientNet
from ichnos.networks import Architecture
from ichnos.recipe import SliceRecipe
from ichnos.subtypes import SUBTYPES


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameter_counts(recipe: SliceRecipe):
    classifier = SliceClassifier(recipe)
    assert count(classifier.backbone) == 4_007_548
    assert count(classifier.head) == 164_613
    assert count(SliceClassifier(recipe.derive(classes=SUBTYPES[1:])).head) == 164_613 - 129


@pytest.mark.parametrize("size", [32, 96])
def test_shapes(recipe: SliceRecipe, size: int):
    backbone = EfficientNet(Architecture.EFFICIENTNET_B0).eval()
    assert backbone(torch.zeros(2, 3, size, size)).shape == (2, 1280, size // 32, size // 32)
    planes = torch.zeros(2, 1, size, size, dtype=torch.uint8)
    assert SliceClassifier(recipe).eval()(planes).shape == (2, 5)


def test_features_are_those_of_monai():
    theirs = EfficientNetBN("efficientnet-b0", pretrained=False).eval()
    ours = EfficientNet(Architecture.EFFICIENTNET_B0).eval()
    ours.load_state_dict({key: value for key, value in theirs.state_dict().items() if not key.startswith("_fc.")})
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        pooled = ours(images).mean(dim=(2, 3))
        assert torch.allclose(theirs._fc(pooled), theirs(images), atol=1e-5)


def test_same_seed_same_weights_and_the_global_generator_stays(recipe: SliceRecipe):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first, second, third = (SliceClassifier.seeded(recipe, seed).state_dict() for seed in (5, 5, 6))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["head.output.weight"], third["head.output.weight"])


def test_frozen_backbone_does_not_move(recipe: SliceRecipe):
    classifier = SliceClassifier(recipe.derive(**{"network.init": "imagenet", "network.frozen": True})).train()
    before = {key: value.clone() for key, value in classifier.backbone.state_dict().items()}
    assert classifier.head.training
    assert not any(module.training for module in classifier.backbone.modules())
    optimizer = torch.optim.SGD([p for p in classifier.parameters() if p.requires_grad], lr=1.0)
    classifier(torch.randint(0, 256, (4, 1, 32, 32), dtype=torch.uint8)).sum().backward()
    optimizer.step()
    assert all(torch.equal(before[key], value) for key, value in classifier.backbone.state_dict().items())


def test_stem_for_other_channels_answers_alike_to_equal_channels():
    weight = torch.rand(4, 3, 3, 3)
    for channels in (2, 3, 5):
        fitted = fit_stem(weight, torch.empty(4, channels, 3, 3))
        assert fitted.shape == (4, channels, 3, 3)
        assert torch.allclose(fitted.sum(dim=1), weight.sum(dim=1), atol=1e-6)
