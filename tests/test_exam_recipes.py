"""The grammar of recipes of whole exams."""

import pytest

from ichnos import recipes
from ichnos.errors import RecipeError
from ichnos.recipe import ExamInput, ExamRecipe, fits_of
from ichnos.subtypes import CLASSES, SUBTYPES

BIGRU = recipes.find("bigru").recipe


@pytest.mark.parametrize(
    ("assignment", "complaint"),
    [
        ({"head.kind": "rnn"}, r"head.*\.kind: Input should be .gru."),
        ({"head.inputs": "[]"}, r"head.*\.inputs"),
        ({"head.inputs": '["features", "features"]'}, "an input is named twice"),
        ({"head.inputs": '["distances", "differences"]'}, "the inputs need features, logits or both"),
        ({"head.kind": "dense", "head.inputs": '["features", "distances"]'}, "a dense head sees each slice by itself"),
        ({"head.inputs": '["logits"]', "head.components": "3"}, "components are of features, and the inputs have none"),
        ({"head.kind": "transformer", "head.hidden": "60"}, "a multiple of twice attention_heads, got 60 for 4 heads"),
        ({"fit.batch_size": "0"}, r"fit\.batch_size"),
        ({"fit.milestones": "[1]"}, r"no such field: fit\.milestones.*; perhaps slices\.fit\.milestones is meant"),
        ({"slices.population.slices": "positives"}, "slices"),
        ({"slices.population.without": '["epidural"]'}, "slices"),
        ({"fit.loss.weights": '{"any": 0}'}, r"fit\.loss\.weights"),
    ],
)
def test_what_makes_no_sense_is_refused(assignment: dict[str, str], complaint: str) -> None:
    with pytest.raises(RecipeError, match=complaint):
        BIGRU.override(assignment)


def test_a_slice_stage_of_positives_reads_no_exams() -> None:
    with pytest.raises(ValueError, match="of all slices, as exams are read whole"):
        BIGRU.derive(slices=recipes.find("paper_model_2").recipe)


def test_weights_of_classes_that_the_slices_do_not_name() -> None:
    with pytest.raises(ValueError, match=r"names what is no class of this recipe"):
        BIGRU.derive(**{"slices.classes": SUBTYPES, "fit.loss.weights": {"any": 2}})


@pytest.mark.parametrize("stage", ["reader", "cascade", "ensemble"])
def test_any_kind_may_be_the_slice_stage(stage: str) -> None:
    slices = recipes.find(stage).recipe
    made = BIGRU.derive(slices=slices)
    assert isinstance(made, ExamRecipe)
    assert list(made.stages.values()) == list(slices.stages.values())
    assert all(path == "slices" or path.startswith("slices/") for path in made.stages)
    assert (made.classes, made.population, made.widest) == (slices.classes, slices.population, slices.widest)
    assert list(made.composites)[-1] == ""


def test_what_is_trained_and_by_which_fields() -> None:
    assert fits_of(BIGRU) == {"slices": "slices.fit", "exam": "fit"}
    over_cascade = BIGRU.derive(slices=recipes.find("cascade").recipe)
    assert list(fits_of(over_cascade).values()) == ["slices.gate.fit", "slices.subtypes.fit", "fit"]
    assert fits_of(recipes.find("reader").recipe) == {"": "fit"}


def test_the_fields_are_those_of_the_slice_stage_and_of_the_head() -> None:
    changed = BIGRU.override({"slices.fit.epochs": "3", "fit.epochs": "7", "head.kind": "lstm", "fit.reversal": "0"})
    assert isinstance(changed, ExamRecipe)
    assert (changed.stages["slices"].fit.epochs, changed.fit.epochs, changed.head.kind) == (3, 7, "lstm")
    assert changed.classes == CLASSES
    assert changed.head.inputs == (ExamInput.FEATURES, ExamInput.LOGITS)


def test_the_systems_that_the_study_cites() -> None:
    systems = ("wang", "burduja", "second_place", "rajagopal", "umapathy", "venugopal")
    heads = {name: recipes.find(name).recipe for name in systems}
    said = {name: recipe.head.kind for name, recipe in heads.items() if isinstance(recipe, ExamRecipe)}
    assert said == {
        "wang": "two-stage",
        "burduja": "lstm",
        "second_place": "lstm",
        "rajagopal": "conv-lstm",
        "umapathy": "lstm",
        "venugopal": "dense",
    }
    assert recipes.find("burduja").recipe.head.components == 120
    assert [w.level for w in heads["second_place"].widest.windows] == [40, 80, 40]
    assert heads["second_place"].widest.size == 480
