"""The card says what the network has seen."""

from typing import Any

from ichnos import recipes
from ichnos.inference import INCLUDED, read_bundle
from ichnos.reporting.folds import folds_tables
from ichnos.reporting.model_card import model_card

MAP_CELLS = 3


def card_of(recipe: dict[str, Any]) -> str:
    tree = read_bundle(INCLUDED).manifest.model_dump(mode="json")
    return model_card(tree | {"recipe": recipe}, MAP_CELLS)


def reader() -> dict[str, Any]:
    return recipes.find("reader").recipe.model_dump(mode="json")


def test_synthetic_slices_are_said() -> None:
    recipe = reader()
    assert "40 % of its training slices are synthetic" in card_of(recipe)
    assert "synthetic:" not in card_of(recipe | {"synthetic": None})


def test_neighbours_and_single_slices_are_said() -> None:
    recipe = reader()
    assert "3 slices as channels" in card_of(recipe)
    single = recipe | {"input": recipe["input"] | {"neighbours": 0}}
    assert "slices as channels" not in card_of(single)
    alone = "Pictures of slices are looked at one by one: what only several together show is not seen."
    assert alone in card_of(single)


def test_raw_hu_and_masks_are_said() -> None:
    recipe = reader()
    plain = card_of(recipe)
    assert "raw HU" not in plain
    assert "masks" not in plain
    said = card_of(
        recipe | {"input": recipe["input"] | {"raw_hu": True}, "segmentation": {"weight": 1.0}},
    )
    assert "HU (mean), and raw HU, 3 slices as channels" in said
    assert "taught by masks too, those of drawn lesions among them" in said


def test_whose_maps_they_are_is_said() -> None:
    assert "maps show where the network looked, 3×3 cells" in card_of(reader())
    exam = card_of(recipes.find("bigru").recipe.model_dump(mode="json"))
    assert "maps show where the network of slices looked" in exam
    assert "and show nothing of what was made of all slices together" in exam
    assert "maps show where the networks of slices looked" in card_of(
        recipes.find("ensemble").recipe.model_dump(mode="json")
    )


def test_calibration_has_its_intervals_where_the_scorecard_has_them() -> None:
    tree = read_bundle(INCLUDED).manifest.model_dump(mode="json")
    card = tree["scorecard"]

    def row_of(name: str, scorecard: dict[str, Any]) -> str:
        lines = model_card(tree | {"scorecard": scorecard}, MAP_CELLS).splitlines()
        return [line for line in lines if line.startswith(f"| {name}")][-1]

    for level, of_level in (("slice", "slices"), ("exam", "exams")):
        told = card["levels"][level]["classes"]["any"]["calibration"]
        brier = [told[when]["brier"] for when in ("before", "after")]
        for each in brier:
            assert each["low"] < each["value"] < each["high"]
        wanted = " → ".join(f"{each['value']:.3f} [{each['low']:.3f}, {each['high']:.3f}]" for each in brier)
        whole = row_of(f"{level}: any hemorrhage", card)
        assert whole.endswith(f" | {wanted} |")
        assert whole.count(" → ") == 2
        without = row_of(f"{level}: any hemorrhage", {k: v for k, v in card.items() if k != "levels"})
        numbers = [card[of_level]["classes"]["any"]["calibration"][when]["brier"] for when in ("before", "after")]
        assert without.endswith(" | " + " → ".join(f"{number:.3f}" for number in numbers) + " |")


def test_a_level_or_a_class_without_intervals_keeps_its_numbers() -> None:
    """As of a recipe of positives alone, whose scorecard has no level of exams and no `any`."""
    tree = read_bundle(INCLUDED).manifest.model_dump(mode="json")
    slices = tree["scorecard"]["levels"]["slice"]
    few = {"slice": slices | {"classes": {c: row for c, row in slices["classes"].items() if c != "any"}}}
    lines = folds_tables(tree["scorecard"] | {"levels": few})
    of_calibration = [line for line in lines if " → " in line and "ECE" not in line]
    assert len(of_calibration) == 12
    numbers = [line.split(" | ")[-1] for line in of_calibration]
    assert ["[" in cell for cell in numbers] == [False, *[True] * 5, *[False] * 6]
