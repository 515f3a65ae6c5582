"""Networks of timm where it is installed: what its double, in test_timm.py, says of it is so."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ichnos.errors import WeightsError
from ichnos.models import SliceClassifier, load_classifier, save_checkpoint
from ichnos.models.export import SliceGraph, export_graph
from ichnos.models.initial_weights import initialise
from tests.models.test_backbones import maps_agree
from tests.models.test_export import agree, classifier_of, session_of, slices
from tests.models.test_timm import SPEC, recipe

timm = pytest.importorskip("timm", minversion="1.0.13", reason="timm is by an extra: pip install 'ichnos[timm]'")

FIRST, LAST, TOKENS = "test_resnet", "test_mambaout", "test_vit"
"""Small networks that timm has for tests: a feature map with its channels first, one with them last, and
a transformer's tokens."""


@pytest.mark.parametrize("name", [FIRST, "test_efficientnet", "test_convnext", LAST])
def test_a_feature_map_gives_class_maps(name: str) -> None:
    classifier = classifier_of(SPEC, network=recipe(name).network)
    assert classifier.map_side == 2, "64 pixels, shrunk 32 times"
    assert classifier.backbone.channels_last == (name == LAST)
    maps_agree(classifier, SliceGraph([classifier])(torch.from_numpy(slices()))[2].detach())


def test_tokens_give_none(tmp_path: Path) -> None:
    classifier = classifier_of(SPEC, network=recipe(TOKENS).network)
    assert (classifier.map_side, classifier.backbone.feature_channels) == (0, 64)
    hu = torch.from_numpy(slices())
    with torch.no_grad():
        logits, features = SliceGraph([classifier])(hu)
        assert features.shape == (len(hu), 64)
        assert logits.std(dim=0).max() > 0, "slices differ"
        save_checkpoint(tmp_path / "best.safetensors", classifier, {})
        again = load_classifier(tmp_path / "best.safetensors")[0]
        torch.testing.assert_close(SliceGraph([again])(hu)[0], logits)


@pytest.mark.slow
@pytest.mark.parametrize("name", [FIRST, LAST])
def test_an_export_of_one_with_maps(name: str) -> None:
    classifier = classifier_of(SPEC, network=recipe(name).network)
    agree(classifier, export_graph([classifier]), slices())


@pytest.mark.slow
def test_an_export_of_one_without() -> None:
    classifier = classifier_of(SPEC, network=recipe(TOKENS).network)
    session = session_of(export_graph([classifier]))
    assert [each.name for each in session.get_outputs()] == ["logits", "features"]
    with torch.no_grad():
        wanted = SliceGraph([classifier])(torch.from_numpy(slices()))
    for said, meant in zip(session.run(None, {"hu": slices()}), wanted, strict=True):
        np.testing.assert_allclose(said, meant.numpy(), atol=1e-4)


@pytest.mark.parametrize("name", [FIRST, LAST, TOKENS])
def test_weights_as_timm_saves_them_go_in_without_their_classifier(name: str, tmp_path: Path) -> None:
    released = timm.create_model(name, pretrained=False).state_dict()
    torch.save(released, tmp_path / "weights.pth")
    classifier = SliceClassifier.seeded(recipe(name), 1)
    initialise(classifier, str(tmp_path / "weights.pth"), seed=0)
    own = classifier.backbone.state_dict()
    for key, tensor in own.items():
        assert torch.equal(tensor, released[key.removeprefix("model.")]), key
    assert len(own) < len(released), "without the classifier"


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("resnet51", f"timm {timm.__version__} has no model 'resnet51'"),
        ("vit_tiny_patch16_224", r"takes no images of 64 pixels \(.*\); give another input\.size"),
    ],
)
def test_what_timm_cannot_build_is_said_in_one_line(name: str, complaint: str) -> None:
    with pytest.raises(WeightsError, match=complaint) as raised:
        SliceClassifier(recipe(name))
    assert "\n" not in str(raised.value)
