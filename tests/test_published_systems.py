"""What is known of published systems (each docstring's "Known") is what their recipes say."""

import json
from pathlib import Path
from typing import Any

import pytest

from ichnos import recipes
from ichnos.recipe import EnsembleRecipe, ExamRecipe, SliceRecipe

THREE = ((40, 80), (80, 200), (40, 380))
"""Level and width of the windows that the second place, Burduja and others have as channels."""


def slice_stage(name: str) -> SliceRecipe:
    recipe = recipes.find(name).recipe
    stages = list(recipe.stages.values())
    assert len(stages) == 1
    return stages[0]


def head(name: str) -> Any:
    recipe = recipes.find(name).recipe
    assert isinstance(recipe, ExamRecipe)
    return recipe.head


def windows(stage: SliceRecipe) -> tuple[tuple[float, float], ...]:
    return tuple((window.level, window.width) for window in stage.input.windows)


def test_the_first_place() -> None:
    stage = slice_stage("wang_slice")
    drawn = stage.augmentation
    assert drawn is not None
    assert (stage.network.backbone, stage.input.neighbours, stage.sampling.value) == ("densenet169", 1, "exam")
    assert (drawn.rotation, drawn.shift, drawn.zoom, drawn.stretch) == (30, 0.1, 0.1, True)
    assert (drawn.crop, drawn.erasing, drawn.reversal, drawn.horizontal_flip) == (0.6, 0.5, 0.5, True)
    assert (stage.fit.learning_rate, stage.fit.weight_decay, stage.fit.schedule) == (5e-4, 2e-5, "cosine")
    assert stage.fit.restarts > 0
    assert head("wang").kind == "two-stage"


def test_the_second_place() -> None:
    stage, sequence = slice_stage("second_place"), head("second_place")
    assert (stage.network.backbone, stage.input.size, windows(stage)) == ("resnext101", 480, THREE)
    assert sequence.kind == "lstm"
    assert {"features", "differences"} <= {each.value for each in sequence.inputs}


def test_the_third_and_the_eleventh_place() -> None:
    assert (head("third_place").kind, head("third_place").neighbours) == ("trees", 20)
    assert (head("eleventh_place").kind, head("eleventh_place").neighbours) == ("trees", 9)
    members = recipes.find("third_place").recipe.stages.values()
    assert len({(windows(each), each.input.neighbours) for each in members}) == len(members) > 1
    assert {each.network.backbone for each in members} == {"se-resnext50"}


def test_burduja() -> None:
    stage, sequence = slice_stage("burduja"), head("burduja")
    assert (stage.network.backbone, stage.input.size, windows(stage)) == ("resnext101", 256, THREE)
    assert (sequence.kind, sequence.layers, sequence.hidden, sequence.components) == ("lstm", 3, 256, 120)


def test_wu_and_kang_have_two_roads() -> None:
    wu, kang = (recipes.find(name).recipe for name in ("wu", "kang"))
    assert isinstance(wu, EnsembleRecipe)
    assert isinstance(kang, EnsembleRecipe)
    roads = {(len(each.input.windows), each.input.neighbours) for each in wu.stages.values()}
    assert roads == {(3, 0), (1, 1)}
    assert {each.network.backbone for each in wu.stages.values()} == {"efficientnet-b0"}
    assert {path: each.segmentation is not None for path, each in kang.stages.items()} == {
        "members/strong": True,
        "members/weak": False,
    }


@pytest.mark.parametrize(
    ("name", "kind", "backbone"),
    [("rajagopal", "conv-lstm", "efficientnet-b0"), ("umapathy", "lstm", "se-resnext50")],
)
def test_networks_of_exams_over_one_network(name: str, kind: str, backbone: str) -> None:
    assert (head(name).kind, slice_stage(name).network.backbone) == (kind, backbone)


RESULTS = Path(__file__).parents[1] / "results"


def test_every_recipe_was_run_once_on_synthetic_heads() -> None:
    """At the common cut that the page tells of."""
    card = json.loads((RESULTS / "field-phantom.json").read_text())
    assert card["source"] == "phantom"
    assert sorted(card["recipes"]) == sorted(recipes.names())
    assert (card["changes"]["input.size"], card["changes"]["fit.epochs"]) == ("128", "2")
    whole = card["recipes"]["model_2_any"]["counts"]["slices"]
    assert 0 < whole <= 2000
    assert "runs, not ranks" in card["title"]
    later = json.loads((RESULTS / "field-phantom-venugopal.json").read_text())
    assert later["recipes"]["venugopal"]["recipe"]["head"]["kind"] == head("venugopal").kind
    assert later["set"] == card["set"]
    assert later["changes"].items() <= card["changes"].items()


def test_the_steps_on_real_heads_were_measured_against_the_one_before() -> None:
    card = json.loads((RESULTS / "field-ct-ich.json").read_text())
    against = {step["recipe"]: step["against"] for step in card["steps"]}
    assert "model_2_any" in card["recipes"]
    assert (against["three_windows"], against["neighbours"]) == ("model_2_any", "model_2_any_25d")
    assert (against["reader"], against["cascade"], against["bigru"]) == ("neighbours", "reader", "reader")
    assert "ensemble" in against
    assert all(len(each["folds"]) == 5 for each in card["recipes"].values())
