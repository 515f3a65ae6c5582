"""Networks of timm, by a double of its module: a feature map either way round, tokens, and what cannot be built."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ichnos.ct.windows import BLOOD, BRAIN
from ichnos.errors import MissingExtraError, WeightsError
from ichnos.inference.bundle import Bundle
from ichnos.inference.engine import Engine
from ichnos.models import SliceClassifier
from ichnos.models.export import SliceGraph, export_graph
from ichnos.models.initial_weights import initialise
from ichnos.networks import Network
from ichnos.readout import Readout
from ichnos.recipe import InputSpec, SliceRecipe
from ichnos.subtypes import CLASSES
from tests.inference.networks import manifest
from tests.models.test_backbones import maps_agree
from tests.models.test_export import agree, classifier_of, slices
from tests.models.timm_double import double_timm

SPEC = InputSpec(windows=(BRAIN, BLOOD), size=64)


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    return double_timm(monkeypatch)


def recipe(name: str, size: int = 64) -> SliceRecipe:
    spec = SPEC.model_copy(update={"size": size})
    return SliceRecipe(name="t", title="T", input=spec, network=Network(backbone=f"timm:{name}", init="random"))


@pytest.mark.parametrize("form", ["conv", "swin"])
def test_a_feature_map_gives_class_maps(form: str, timm: list[dict[str, Any]]) -> None:
    classifier = classifier_of(SPEC, network=recipe(form).network)
    assert timm[0] == {"name": form, "pretrained": False, "num_classes": 0, "global_pool": "", "in_chans": 3}
    assert (classifier.map_side, classifier.backbone.feature_channels) == (4, 24)
    maps_agree(classifier, SliceGraph([classifier])(torch.from_numpy(slices()))[2].detach())


@pytest.mark.slow
def test_an_export_of_one(timm: list[dict[str, Any]]) -> None:
    classifier = classifier_of(SPEC, network=recipe("swin").network)
    agree(classifier, export_graph([classifier]), slices())


@pytest.mark.slow
def test_tokens_give_none_and_the_engine_reads_such_a_graph(timm: list[dict[str, Any]]) -> None:
    classifier = classifier_of(SPEC, network=recipe("vit").network)
    assert classifier.map_side == 0
    content = export_graph([classifier])
    told = manifest(Readout.uncalibrated(CLASSES))
    without = told.model_copy(update={"recipe": classifier.recipe, "version": 4, "map_side": 0})
    output = Engine(Bundle(without, "", content, ""), threads=1).run(slices())
    assert output.maps is None
    assert output.features.shape == (len(slices()), 24)
    road = SliceGraph([classifier])
    with torch.no_grad():
        wanted = road(torch.from_numpy(slices()))
    assert len(wanted) == 2
    np.testing.assert_allclose(output.logits, wanted[0].numpy(), atol=1e-4)
    mixed = SliceGraph([classifier, classifier_of(SPEC, network=recipe("conv").network)])
    assert mixed.map_side == 0
    assert len(mixed(torch.from_numpy(slices()))) == 2


def test_a_file_of_timms_weights(timm: list[dict[str, Any]], tmp_path: Any) -> None:
    source = SliceClassifier.seeded(recipe("conv"), 8).backbone.state_dict()
    table = {key.removeprefix("model."): value for key, value in source.items()}
    torch.save(table | {"head.fc.weight": torch.zeros(1000, 24)}, tmp_path / "weights.pth")
    stacked = recipe("conv").derive(**{"input.merge": "stack"})
    classifier = SliceClassifier.seeded(stacked, 1)
    initialise(classifier, str(tmp_path / "weights.pth"), seed=0)
    own = classifier.backbone.state_dict()
    assert torch.equal(own["model.norm.weight"], source["model.norm.weight"])
    stem = own["model.stem.proj.weight"]
    assert stem.shape[1] == 2
    torch.testing.assert_close(stem.sum(dim=1), source["model.stem.proj.weight"].sum(dim=1))


@pytest.mark.parametrize(
    ("name", "size", "complaint"),
    [("resnet51", 64, "timm 1 has no model 'resnet51'"), ("conv", 72, r"takes no images of 72 pixels .*input\.size")],
)
def test_what_timm_cannot_build_is_said_in_one_line(
    name: str, size: int, complaint: str, timm: list[dict[str, Any]]
) -> None:
    with pytest.raises(WeightsError, match=complaint) as raised:
        SliceClassifier(recipe(name, size))
    assert "\n" not in str(raised.value)


def test_where_timm_is_absent_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ichnos\[timm\]'"):
        SliceClassifier(recipe("resnet18"))


@pytest.mark.parametrize(
    "failing", ["raise RuntimeError('operator torchvision::nms does not exist')", "import torchvision_of_nobody"]
)
def test_where_timm_cannot_be_imported_its_first_words_are_said(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As beside a torchvision that was built for another torch, or none."""
    (tmp_path / "timm.py").write_text(failing)
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    wanted = r"installed and cannot be imported \((operator torchvision::nms|No module named 'torchvision_of_nobody')"
    with pytest.raises(MissingExtraError, match=wanted) as raised:
        SliceClassifier(recipe("resnet18"))
    assert "\n" not in str(raised.value)
