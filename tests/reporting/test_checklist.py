"""The checklist says what the scorecard knows, and leaves the rest to the author."""

from typing import Any

import pytest

from ichnos.inference import read_default_bundle
from ichnos.recipe import CascadeRecipe
from ichnos.recipes.cascade import RECIPE as CASCADE
from ichnos.recipes.reader import RECIPE as READER
from ichnos.reporting.checklist import answers, left_to_the_author
from ichnos.reporting.checklist_model import class_imbalance, initial_weights, preprocessing, selection, training
from ichnos.reporting.recipe_words import training_words
from ichnos.workflows.provenance import joined, stages_of_bundle, stages_of_run


def card(**model: Any) -> dict[str, Any]:
    """Of a model that tells as little as can be."""
    return {
        "source": "folder",
        "set": "0123456789abcdef",
        "counts": {"patients": 2, "exams": 2, "slices": 4},
        "left_out_of_the_set": 0,
        "labels_of": "exam",
        "labelled": ["any"],
        "mapping": {},
        "levels": {"exam": {"classes": {"any": {"labelled": True}}}},
        "model": {
            "title": "T",
            "kind": "run",
            "digest": "0" * 64,
            "population": "slices",
            "operating_points": "0.5",
            "calibrated": False,
            "trained_on": None,
        }
        | model,
        "external": True,
        "prevalence": {},
        "resamples": 20,
        "bootstrap_seed": 0,
    }


def said(tree: dict[str, Any], errors: int | None) -> dict[str, str]:
    return {item.topic.title: item.answer for item in answers(tree, errors)}


def left(tree: dict[str, Any], errors: int | None) -> dict[str, str]:
    return {topic.title: what for topic, what in left_to_the_author(answers(tree, errors))}


def test_what_nobody_knows_is_not_claimed() -> None:
    topics = said(card(), None)
    unknown = {"Preprocessing", "Initial weights", "Model selection", "Class imbalance", "Software", "Explainability"}
    assert not set(topics) & (unknown | {"Failure analysis"})
    assert unknown | {"Failure analysis"} <= set(left(card(), None))
    assert topics["Model outputs"].startswith("a probability of each class for each exam;")
    assert "Kaggle" not in topics["Performance measures"]
    assert "before and after" not in topics["Calibration"]


def test_patients_are_described_as_far_as_the_index_tells() -> None:
    age = {"known": 14, "median": 62.0, "low": 31.0, "high": 88.5}
    told = card() | {
        "demographics": {"patients": 15, "age": age, "sex": {"F": 7, "M": 6}},
        "external": False,
        "parts": {"train": 9, "validation": 1, "test": 5},
    }
    topics = said(told, None)
    assert topics["Demographics"].startswith(
        "age of 14 patients: median 62 (31 to 88.5) years; sex: F 7, M 6, not known 2"
    )
    assert topics["Data partitions"].endswith(": train 9 patients, validation 1 patient, test 5 patients")
    assert left(told, None)["Demographics"].startswith("whatever else")
    silent = card() | {"demographics": {"patients": 2}}
    assert "Demographics" not in said(silent, None)
    assert left(silent, None)["Demographics"].startswith("age, sex")


@pytest.mark.parametrize(
    ("errors", "cells", "failures", "explained"),
    [
        (0, 7, "no exam was missed or called wrongly at the balanced point", None),
        (2, 7, "the surest misses", "class maps (Grad-CAM) of 7×7 cells, beside the errors"),
        (2, 0, "the surest misses", "none: the network has no class maps"),
    ],
)
def test_errors_and_maps_are_claimed_where_they_are_shown(
    errors: int, cells: int, failures: str, explained: str | None
) -> None:
    topics, others = said(card(map_cells=cells), errors), left(card(map_cells=cells), errors)
    assert topics["Failure analysis"].startswith(failures)
    assert topics.get("Explainability") == explained
    assert ("Explainability" in others) == (explained is None)
    assert "Failure analysis" not in others


def test_stages_that_differ_are_told_apart() -> None:
    assert isinstance(CASCADE, CascadeRecipe)
    recipe = CASCADE.derive(**{"gate.sampling": "balanced", "gate.fit.loss": {"kind": "focal", "weights": {"any": 2}}})
    seen = {"origin": {"everyone": False}, "epoch": 4, "validation_loss": 0.3}
    stages = stages_of_run(recipe, {"gate": seen, "subtypes": {"origin": {"everyone": True}, "epoch": 9}}, {})
    chosen, imbalance = selection(stages) or "", class_imbalance(stages) or ""
    assert chosen.startswith("gate: epoch 4 of at most ")
    assert "; subtypes: none: the last of " in chosen
    assert (preprocessing([stages[0], {**stages[0], "part": "members/other"}]) or "").startswith("HU at 512×512")
    assert (training(stages) or "").startswith("gate: Adam at 0.0002")
    assert "; subtypes: Adam at 0.0001, batches of 32" in (training(stages) or "")
    three = [stages[0], {**stages[0], "part": "members/other"}, stages[1]]
    assert (selection(three) or "").startswith("gate, other: epoch 4")
    assert imbalance.startswith("gate: classes taking turns in each batch, focal loss, weighted any 2")


def test_a_bundle_tells_what_its_recipe_says() -> None:
    (stage,) = stages_of_run(READER.derive(**{"network.init": "/home/me/weights.pth"}), {"": {}}, {})
    assert "/home" not in str(stage), "folders of somebody's machine"
    assert initial_weights([stage]) == "backbone weights.pth"
    assert (preprocessing([stage]) or "").startswith(
        "HU at 512×512, windows L40 W80, L80 W200 (their mean), resized to"
    )
    assert "% of each batch synthetic lesions (epidural" in (class_imbalance([stage]) or "")
    assert (selection([stage]) or "").endswith("which it was, the bundle does not say")
    assert f"batches of {READER.fit.batch_size}" in (training([stage]) or "")


def test_a_bundle_of_everyone_claims_no_choice() -> None:
    """As `study folds --bundle` makes it: nobody is held back, and it stops where the folds' best epochs were."""
    manifest = read_default_bundle().manifest
    assert manifest.scorecard_is_of == "the procedure"
    stages = stages_of_bundle(manifest)
    assert "none: the last of 3 epochs, as everyone was trained on" in (selection(stages) or "")
    alone = stages_of_bundle(manifest.model_copy(update={"scorecard_is_of": "this model"}))
    assert "which it was, the bundle does not say" in (selection(alone) or "")
    stopped = READER.derive(**{"fit.epochs": 12, "fit.stop_after": 5, "fit.patience": None})
    assert "at most 5 epochs" in training_words(stopped)


def test_what_is_joined_is_told_and_that_nothing_is() -> None:
    assert joined(READER) == "none: one model"
    assert joined(READER, 3).startswith("3 networks of one recipe")
    assert joined(CASCADE) == CASCADE.in_words
    told = said(card(joined=joined(READER), parameters=4_170_000), None)
    assert (told["Ensembling"], told["Number of parameters"]) == ("none: one model", "4.17 M")
    assert {"Ensembling", "Number of parameters", "Training"} <= set(left(card(), None)), "of an older scorecard"


def test_a_model_that_was_adapted_is_not_said_to_be_as_it_was() -> None:
    how = {"method": "batchnorm", "slices": 40, "to": "ct-ich", "here": True, "known": False}
    plain, anew = card(), card(adapted=how, trained_on="phantom")
    anew["external"] = plain["external"] = False
    assert said(plain, None)["Model updating"] == "none: no model was changed after it was measured"
    assert said(plain, None)["External validation"] == "no: held-out patients of the training set"
    assert (
        "to this set: BatchNorm's statistics measured anew on 40 training slices" in said(anew, None)["Model updating"]
    )
    assert "have not learnt from (phantom is what they have)" in said(anew, None)["External validation"]
    own = card(adapted=how | {"known": True}, trained_on="ct-ich") | {"external": False}
    assert said(own, None)["External validation"] == "no: held-out patients of the training set"
    elsewhere = card(adapted=how | {"here": False, "method": "calibrate"}, trained_on="phantom")
    assert said(elsewhere, None)["External validation"] == "yes"
    assert "adapted to another set (ct-ich): calibration and thresholds" in said(elsewhere, None)["Model updating"]


def test_another_set_of_the_same_source_is_external_only_without_the_same_patients() -> None:
    assert said(card(same_source=True), None)["External validation"].startswith("yes, if no patient is in both")
