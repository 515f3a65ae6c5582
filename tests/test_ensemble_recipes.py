"""The grammar of ensembles."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from ichnos import recipes
from ichnos.errors import RecipeError
from ichnos.recipe import EnsembleRecipe, SliceRecipe, exam_networks, fits_of
from ichnos.subtypes import CLASSES, SUBTYPES

READER = recipes.find("reader").of_one_model
CASCADE = recipes.find("cascade").recipe
BIGRU = recipes.find("bigru").recipe
ENSEMBLE = recipes.find("ensemble").recipe


def of(**members: object) -> EnsembleRecipe:
    return EnsembleRecipe.model_validate({"name": "e", "title": "E", "members": members})


def test_an_ensemble_of_unequal_classes_is_refused() -> None:
    fewer = READER.derive(classes=tuple(c for c in CLASSES if c != "epidural"))
    said = "first names epidural, .*, any, second names intraparenchymal"
    with pytest.raises(ValidationError, match=f"name the same classes in the same order; {said}"):
        of(first=READER, second=fewer)
    turned = READER.derive(classes=tuple(reversed(CLASSES)))
    with pytest.raises(ValidationError, match="in the same order"):
        of(first=READER, second=turned)


@pytest.mark.parametrize(
    ("assignment", "complaint"),
    [
        ({"members.reader.fit.lr": "2"}, r"no such field: members\.reader\.fit\.lr"),
        ({"combine": "median"}, "combine"),
        ({"weights": '{"nobody": 1}'}, "weights names what is no member: nobody"),
        ({"weights": '{"reader": 0}'}, "weights.reader"),
        ({"combine": "stacking", "weights": '{"reader": 2}'}, "stacking finds its weights on validation patients"),
        ({"members": "{}"}, "at least two members, this one has 0"),
        ({"members.reader.population.without": '["epidural"]'}, "classes that the population leaves out"),
        (
            {"members.reader.input.neighbour_spacing": "7.5"},
            r"several show neighbours, members/reader every 7\.5 mm, members/neighbours every 5 mm",
        ),
    ],
)
def test_an_ensemble_that_makes_no_sense_is_refused(assignment: dict[str, str], complaint: str) -> None:
    with pytest.raises(RecipeError, match=complaint):
        ENSEMBLE.override(assignment)


def test_members_are_of_the_same_slices() -> None:
    positives = recipes.find("paper_model_2").recipe
    everyone = READER.derive(classes=SUBTYPES)
    with pytest.raises(ValidationError, match="one is of positives, two of all slices: make population the same"):
        of(one=positives, two=everyone)


def test_stages_lie_in_folders_and_fields_of_the_same_names() -> None:
    whole = of(one=READER, two=CASCADE)
    assert list(whole.stages) == ["members/one", "members/two/gate", "members/two/subtypes"]
    assert list(whole.composites) == ["members/two", ""]
    assert whole.widest.neighbours == 1
    changed = whole.override({f"{path.replace('/', '.')}.fit.epochs": "2" for path in whole.stages})
    assert [stage.fit.epochs for stage in changed.stages.values()] == [2, 2, 2]
    assert EnsembleRecipe.model_validate_json(changed.model_dump_json()) == changed
    assert changed.fingerprint() != whole.fingerprint()


def test_networks_of_exams_are_members_with_folders_and_fields_of_their_own() -> None:
    whole = of(reader=READER, bigru=BIGRU)
    assert list(whole.stages) == ["members/reader", "members/bigru/slices"]
    assert list(whole.composites) == ["members/bigru", ""]
    assert fits_of(whole)["members/bigru/exam"] == "members.bigru.fit"
    assert exam_networks(whole) == {"members/bigru": BIGRU}
    assert whole.reads_exams_whole
    assert not of(one=READER, two=CASCADE).reads_exams_whole
    changed = whole.override({"members.bigru.head.hidden": "8", "members.bigru.slices.fit.epochs": "2"})
    assert EnsembleRecipe.model_validate_json(changed.model_dump_json()) == changed
    assert changed.stages["members/bigru/slices"].fit.epochs == 2


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("eleventh_place", "exams has boosted trees, which learn from the validation patients"),
        ("conv_lstm", "exams looks at class maps, and an ensemble has one set of maps"),
    ],
)
def test_heads_that_cannot_stand_beside_others_are_refused(name: str, complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        of(reader=READER, exams=recipes.find(name).recipe)


def test_networks_of_exams_are_not_stacked_on_each_other() -> None:
    whole = of(reader=READER, bigru=BIGRU)
    with pytest.raises(ValidationError, match="among the members of this one are networks of exams"):
        BIGRU.derive(slices=whole.model_dump(mode="json"))


def test_weights_are_shares() -> None:
    weighed = EnsembleRecipe.model_validate(ENSEMBLE.override({"weights": '{"reader": 5}'}))
    assert weighed.shares == (0.625, 0.125, 0.125, 0.125)


def test_an_ensemble_of_the_users_own(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        '"""Mine."""\nfrom ichnos.recipes.ensemble import RECIPE as BASE\n'
        'RECIPE = BASE.derive(name="mine", combine="rank")\n'
    )
    found = recipes.find(str(tmp_path / "mine.py"))
    assert isinstance(found.recipe, EnsembleRecipe)
    assert found.recipe.combine == "rank"
    assert all(isinstance(member, SliceRecipe) for member in found.recipe.members.values())
    with pytest.raises(RecipeError, match="mine is an ensemble; a recipe of one model is wanted"):
        _ = found.of_one_model
