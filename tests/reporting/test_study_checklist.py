"""What a study can answer of the guidelines: by its own recipes, and nothing that it does not know."""

from typing import Any

from ichnos import recipes
from ichnos.recipe import EnsembleRecipe
from ichnos.reporting.checklist import Item
from ichnos.reporting.recipe_words import balance_words, by_words, joined_words, road_words
from ichnos.reporting.study_checklist import answers_of_field, answers_of_folds, left_of_study

NAMES = ("reader", "cascade", "bigru", "ensemble")


def card(recipe: str, folds: int = 5, prevalence: dict[str, float] | None = None) -> dict[str, Any]:
    return {
        "source": "ct-ich",
        "set": "0123456789abcdef",
        "split_seed": 3,
        "counts": {"patients": 82, "exams": 82, "slices": 2470},
        "skipped": [{"reason": "it has no picture", "count": 1030, "examples": []}],
        "first_weights": {"remark": f"first weights of {recipe}"},
        "parameters": 4_170_000,
        "versions": {"ichnos": "0.1.0", "torch": "2.13.0"},
        "bootstrap_seed": 0,
        "resamples": 1000,
        "prevalence": prevalence or {},
        "folds": [{"test_patients": 16 + (k < 2), "readout": {"high_sensitivity": 0.9}} for k in range(folds)],
        "levels": {"slice": {"kaggle_loss": {"after": {"value": 0.1}}}, "exam": {}, "patient": {}},
        "command": "ichnos study folds",
    }


def field_card() -> dict[str, Any]:
    """Of a comparison of NAMES."""
    return {
        "recipes": {name: {"cost": {"parameters": 4_170_000 + k}} for k, name in enumerate(NAMES)},
        "steps": [{"why_not": None}, {"why_not": "they differ"}],
        "gain_resamples": 10_000,
        "gain_tests": 6,
        "versions": {"ichnos": "0.1.0"},
        "command": "ichnos study field",
    }


def by_topic(items: list[Item]) -> dict[str, str]:
    assert len({item.topic for item in items}) == len(items), "each topic once"
    return {item.topic.title: item.answer for item in items}


def left_by_topic(items: list[Item]) -> dict[str, str]:
    return {topic.title: what for topic, what in left_of_study(items)}


def test_a_study_by_folds_answers_what_it_knows() -> None:
    recipe = recipes.find("reader").recipe
    told = by_topic(answers_of_folds(card("reader", prevalence={"any": 0.06}), recipe))
    assert "82 patients" in told["Data flow"]
    assert "it has no picture: 1,030" in told["Data flow"]
    assert "Fold k tests" in told["Data partitions"]
    assert "16 to 17 test patients a fold" in told["Data partitions"]
    assert "L40 W80 and L80 W200" in told["Preprocessing"]
    assert "3 slices 5 mm apart" in told["Preprocessing"]
    assert told["Number of parameters"] == "4.17 M"
    assert told["Initial weights"] == "first weights of reader"
    assert "40 % of each batch has drawn lesions" in told["Class imbalance"]
    assert "the highest mean AUC" in told["Model selection"]
    assert told["Ensembling"] == "none: one model"
    assert "at least 90 % sensitivity there" in told["Thresholds"]
    assert "prevalence of 6 % (any hemorrhage)" in told["Performance measures"]
    assert "Kaggle" in told["Performance measures"]
    assert "1,000 resamples" in told["Uncertainty"]
    assert told["External validation"].startswith("none")


def test_a_study_tells_of_its_patients_what_the_index_knows() -> None:
    age = {"known": 80, "median": 29.0, "low": 0.1, "high": 72.0}
    told = card("reader") | {"demographics": {"patients": 82, "age": age, "sex": {"Female": 36, "Male": 46}}}
    told["parts"] = {"train": [49, 50], "validation": [16, 16], "test": [17, 16]}
    recipe = recipes.find("reader").recipe
    words = "age of 80 patients: median 29 (0.1 to 72) years; sex: Female 36, Male 46, as far as the set's index tells"
    answered = answers_of_folds(told, recipe)
    assert by_topic(answered)["Demographics"] == words
    assert left_by_topic(answered)["Demographics"].startswith("whatever else describes patients here")
    words = "16 to 17 test patients a fold (16 validate, 49 to 50 train), split seed 3"
    assert words in by_topic(answered)["Data partitions"]
    silent = answers_of_folds(card("reader"), recipe)
    assert "Demographics" not in by_topic(silent)
    assert left_by_topic(silent)["Demographics"].startswith("age, sex")


def test_one_split_is_not_called_folds() -> None:
    told = by_topic(answers_of_folds(card("reader", folds=1), recipes.find("reader").recipe))
    assert "Fold k" not in told["Data partitions"]
    assert "17 test patients, split seed 3" in told["Data partitions"]


def test_a_comparison_says_of_each_recipe_what_is_its_own_and_once_what_is_shared() -> None:
    chosen = {name: recipes.find(name).recipe for name in NAMES}
    cards = {name: card(name) for name in NAMES}
    told = by_topic(answers_of_field(field_card(), chosen, cards))
    assert told["Number of parameters"] == "4.17 M", "alike as printed, so said once"
    assert "first weights of cascade (cascade)" in told["Initial weights"]
    assert "4 members" in told["Ensembling"]
    assert "a GRU in both directions over each exam (bigru)" in told["Ensembling"]
    assert "cascade/subtypes" in told["Class imbalance"]
    assert "batches of 8 exams, at most 30 epochs (bigru/exam)" in told["Training"]
    assert "the lowest loss, stopped after 8 without a better one (bigru/exam)" in told["Model selection"]
    assert "1 step" in told["Comparison of models"]
    assert "all 6 p" in told["Comparison of models"]
    assert "Brier score, log loss, sensitivity, specificity, PPV, NPV, F1" in told["Comparison of models"]
    assert told["Code"].endswith("made by `ichnos study field`")


def test_a_comparison_says_by_what_its_exams_were_parted() -> None:
    chosen = {name: recipes.find(name).recipe for name in NAMES}
    cards = {name: card(name) for name in NAMES}

    def told(field: dict[str, Any]) -> str:
        items = answers_of_field(field, chosen, cards)
        assert "Subgroups" not in left_by_topic(items)
        return by_topic(items)["Subgroups"]

    assert told(field_card()) == "none were asked for (--by)"
    assert told(field_card() | {"by": "sex"}) == "asked for by sex, and no recipe here judges exams"
    cards["bigru"]["subgroups"] = {"by": "sex"}
    assert told(field_card() | {"by": "sex"}) == "by sex (bigru)"
    for each in cards.values():
        each["subgroups"] = {"by": "sex"}
    assert told(field_card() | {"by": "sex"}) == "by sex"


def test_a_study_says_where_a_run_shows_what_the_page_does_not() -> None:
    left = left_by_topic(answers_of_folds(card("reader"), recipes.find("reader").recipe))
    for topic in ("Failure analysis", "Explainability"):
        assert left[topic].endswith("where it is evaluated")
    assert "no part of this study" in left["Hyperparameters"]


def test_every_recipe_can_be_put_into_words() -> None:
    for name in recipes.names():
        recipe = recipes.find(name).recipe
        for said in (
            by_words({name: recipe}, lambda stage: road_words(stage.input)),
            by_words({name: recipe}, balance_words),
        ):
            assert said
        assert bool(joined_words(recipe)) == (recipe.kind != "slice")
    raw = recipes.find("raw_hu").of_one_model
    assert "raw HU" in road_words(raw.input)
    weighted = raw.override(
        {"fit.loss.kind": "focal", "fit.loss.weights": '{"any": 2}', "fit.loss.positives": "balanced"}
    )
    assert "focal loss" in balance_words(weighted)
    assert "any 2" in balance_words(weighted)


def test_a_mean_of_members_is_weighted_where_their_weights_differ() -> None:
    pair = recipes.find("ensemble_pair").recipe
    assert isinstance(pair, EnsembleRecipe)
    assert joined_words(pair) == "2 members, the mean of their logits"
    alike = pair.model_copy(update={"weights": dict.fromkeys(pair.members, 0.3)})
    assert joined_words(alike) == "2 members, the mean of their logits"
    weighted = pair.model_copy(update={"weights": {next(iter(pair.members)): 2.0}})
    assert joined_words(weighted) == "2 members, the weighted mean of their logits"
    ranked = weighted.model_copy(update={"combine": "rank"})
    assert joined_words(ranked) == "2 members, the weighted mean of the places of their logits"
