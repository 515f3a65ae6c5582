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


def test_a_mean_is_weighted_where_weights_are_set_and_differ() -> None:
    pair = recipes.find("ensemble_pair").recipe.model_dump(mode="json")
    ranks = recipes.find("ensemble_ranks").recipe.model_dump(mode="json")
    first, second = pair["members"]
    assert "together by the mean of their logits." in card_of(pair)
    assert "together by the mean of their logits." in card_of(pair | {"weights": {first: 2.0, second: 2.0}})
    assert "together by the weighted mean of their logits." in card_of(pair | {"weights": {first: 2.0}})
    assert "together by the mean of the places" in card_of(ranks)
    assert "together by the weighted mean of the places" in card_of(
        ranks | {"weights": {next(iter(ranks["members"])): 3}}
    )


def reliability_of(card: str, paragraph: str) -> list[list[str]]:
    """The rows of the table below a paragraph that begins so."""
    lines = card.partition(paragraph)[2].split("\n\n")[1].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_reliability_of_any_is_shown_of_those_fitted_on_and_of_unseen_patients() -> None:
    tree = read_bundle(INCLUDED).manifest.model_dump(mode="json")
    report, scorecard = tree["fitted_on"]["report"], tree["scorecard"]
    card = model_card(tree, MAP_CELLS)
    levels = ("slices", "exams")
    fitted = reliability_of(card, "Any hemorrhage, what is said beside what is so")
    unseen = reliability_of(card, "Any hemorrhage of unseen patients, what is said beside what is so")
    assert fitted != unseen
    of_unseen = {level: scorecard[level]["classes"]["any"]["calibration"]["reliability"] for level in levels}
    for rows, told in ((fitted, {level: report[level]["any"]["reliability"] for level in levels}), (unseen, of_unseen)):
        assert len(rows) <= 10
        for k, level in enumerate(levels):
            cells = [row[1 + 3 * k : 4 + 3 * k] for row in rows]
            assert sum(int(n.replace(",", "")) for n, _, _ in cells) == tree["fitted_on"][level]
            filled = [[int(n.replace(",", "")), float(said), float(so)] for n, said, so in cells if n != "0"]
            assert filled == [[r["n"], round(r["predicted"], 3), round(r["observed"], 3)] for r in told[level]]


def test_a_bin_is_named_by_where_its_probabilities_lie() -> None:
    tree = read_bundle(INCLUDED).manifest.model_dump(mode="json")
    one = {"any": {"reliability": [{"predicted": 0.25, "observed": 0.5, "n": 1200}]}}
    other = {"any": {"reliability": [{"predicted": 1.0, "observed": 1.0, "n": 3}]}}
    report = {"slices": one, "exams": other, "notes": []}
    card = model_card(tree | {"fitted_on": tree["fitted_on"] | {"report": report}}, MAP_CELLS)
    rows = reliability_of(card, "Any hemorrhage, what is said beside what is so")
    assert rows == [
        ["0.2 to 0.3", "1,200", "0.250", "0.500", "0", "–", "–"],
        ["0.9 to 1", "0", "–", "–", "3", "1.000", "1.000"],
    ]


def test_a_bundle_without_reliability_has_no_table_of_it() -> None:
    tree = read_bundle(INCLUDED).manifest.model_dump(mode="json")
    fitted_on = tree["fitted_on"] | {"report": {"notes": []}}
    card = model_card(tree | {"fitted_on": fitted_on, "scorecard": None}, MAP_CELLS)
    assert "what is said beside what is so" not in card


def test_why_a_mean_of_folds_has_no_interval_is_said_below() -> None:
    card = read_bundle(INCLUDED).manifest.model_dump(mode="json")["scorecard"]
    rare = ("subdural", "subarachnoid", "intraventricular")
    for level in ("slices", "exams"):
        assert {c for c, row in card[level]["classes"].items() if row["auc_mean_of_folds"]["low"] is None} == set(rare)
    assert folds_tables(card)[-4:] == [
        "",
        "Means of folds:",
        "of the 4 of 5 folds that define it (subdural);",
        f"no interval, as a fold rests on one positive patient ({', '.join(rare)}).",
    ]
    whole = {"value": 0.8, "low": 0.7, "high": 0.9, "defined_share": 1.0, "note": None}
    levels = {
        level: {"classes": {c: row | {"auc_mean_of_folds": whole} for c, row in card[level]["classes"].items()}}
        for level in ("slices", "exams")
    }
    assert "Means of folds:" not in folds_tables(card | levels)
    alone = levels["exams"]["classes"]["epidural"] | {
        "auc_mean_of_folds": whole | {"low": None, "note": "no interval: x"}
    }
    levels["exams"]["classes"]["epidural"] = alone
    assert folds_tables(card | levels)[-1] == "no interval, as x (epidural by exam)."


def test_a_card_names_no_folder_and_no_half_window_wrongly() -> None:
    tree = read_bundle(INCLUDED).manifest.model_dump(mode="json")
    plain = recipes.find("reader").recipe.model_dump(mode="json")
    plain["network"]["init"] = "/home/jane/runs/a/best.safetensors"
    plain["input"]["windows"] = [{"level": 37.5, "width": 75.0}]
    said = card_of(plain)
    assert "`best.safetensors`" in said
    assert "jane" not in said
    assert "L37.5 W75 HU" in said
    joined = model_card(tree | {"data": tree["data"] | {"source": "rsna+ct-ich"}}, MAP_CELLS)
    assert "rebuilt from two 8-bit JPEG" in joined
