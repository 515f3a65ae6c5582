"""The grammar of recipes, and every recipe of the package."""

import json
import re
from pathlib import Path

import pytest

from ichnos import recipes
from ichnos.errors import RecipeError
from ichnos.recipe import CascadeRecipe, ExamRecipe, Sampling, SequenceHead
from ichnos.subtypes import CLASSES, SUBTYPES, Subtype

PAPER = recipes.find("paper_model_2").of_one_model


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_says_what_it_is(name: str) -> None:
    found = recipes.find(name)
    assert found.recipe.name == name
    for part in ("Source:", "Differs", "Expected:", "Cost:", f"Command: ichnos train {name} --data SET --out RUN"):
        assert part in found.docstring, f"{name} does not say {part}"
    assert type(found.recipe).model_validate_json(found.recipe.model_dump_json()) == found.recipe


SYSTEMS = {
    "paper_model_1": ("Shah",),
    "paper_model_2": ("Shah",),
    "paper_model_3": ("Shah",),
    "wang": ("Wang 2021",),
    "second_place": ("second place",),
    "third_place": ("third place",),
    "eleventh_place": ("eleventh place",),
    "wu": ("Wu ", "2021"),
    "rajagopal": ("Rajagopal 2023",),
    "ye": ("Ye 2019",),
    "danilov": ("Danilov ", "2020"),
    "umapathy": ("Umapathy 2023",),
    "burduja": ("Burduja", "2020"),
    "korra": ("Korra ", "2022"),
    "hussain": ("Hussain ", "2022"),
    "cortes_ferre": ("Cortés-Ferre ", "2023"),
    "venugopal": ("Venugopal ", "2021"),
    "tharek": ("Tharek ", "2022"),
    "kang": ("Kang ", "2023"),
}
"""The paper's three models and every system that it stands on and that has a network: the recipe of each, and what its
source is called. Of the others that it cites Lee 2020 has no network, and of Abrigo 2023's we know nothing."""


PARTS = ["Source", "Known", "Guessed", "Differs", "Expected", "Cost", "Command"]
"""The headings of such a recipe's text, in order: what is known of the system, what of it we had to guess, and where we
knowingly depart from what is known."""


@pytest.mark.parametrize("name", [*SYSTEMS, "wang_slice", "burduja_slice"])
def test_every_system_of_the_field_has_a_recipe_that_says_what_is_known_of_it(name: str) -> None:
    said = recipes.find(name).docstring
    assert re.findall(r"^([A-Z]\w+)(?::|, [^\n:]*:)", said, re.MULTILINE) == PARTS, (
        f"{name}: other headings, or another order"
    )
    parts = dict(zip(PARTS, re.split(rf"^(?:{'|'.join(PARTS)})\b", said, flags=re.MULTILINE)[1:], strict=True))
    for words in SYSTEMS.get(name, ()):
        assert words in parts["Source"], f"{name}: the source is not named"
    if name.startswith("paper_model"):
        assert "sections 3.1-3.3, Table 1" in parts["Source"], "what is known stands in the study itself"
    else:
        assert re.search(r"by us|docs/", parts["Expected"]), f"{name}: whether we have measured it"
    assert all(len(parts[part].split()) > 6 for part in ("Known", "Guessed", "Differs")), f"{name}: says too little"
    assert not re.search(r"guess", parts["Differs"]), f"{name}: a guess is no difference"


@pytest.mark.parametrize("name", [*(name for name in SYSTEMS if "paper" not in name), "wang_slice", "burduja_slice"])
def test_what_such_a_recipe_is_trained_by_stands_in_its_text(name: str) -> None:
    """A stage that is another recipe of the package has it in that one's."""
    recipe, said = recipes.find(name).recipe, " ".join(recipes.find(name).docstring.split())
    wanted: set[str] = set()
    for stage in recipe.stages.values():
        if stage.name == name or stage.name not in recipes.names():
            fit, dropout = stage.fit, stage.network.head.dropout
            wanted |= {f"{stage.input.size} px", f"Adam {_short(fit.learning_rate)}", f"{fit.epochs} epochs"}
            wanted |= {f"{fit.batch_size} slices a batch"} | ({f"dropout {dropout:g}"} if dropout else set())
    if isinstance(recipe, ExamRecipe) and isinstance(recipe.head, SequenceHead):
        fit = recipe.fit
        wanted |= {f"Adam {_short(fit.learning_rate)}", f"{fit.epochs} epochs", f"{fit.batch_size} exams a batch"}
        wanted |= {f"L2 penalty of {_short(fit.weight_decay)}", f"dropout {recipe.head.dropout:g}"}
        assert fit.reversal == fit.subsampling
        if recipe.head.kind == "dense":  # which sees no slice beside another
            assert not fit.reversal
        else:
            wanted.add(f"from head to foot, and by every second slice, with probability {fit.reversal:g} each")
    assert sorted(words for words in wanted if words not in said) == []


@pytest.mark.parametrize("name", recipes.names())
def test_every_change_that_a_text_speaks_of_can_be_made(name: str) -> None:
    found = recipes.find(name)
    said = re.findall(r"--set (?:'([^']+)'|([^\s'`)]+))", " ".join(found.docstring.split()))
    for field, _, value in ("".join(either).partition("=") for either in said):
        found.recipe.override({field: value})


def _short(rate: float) -> str:
    """3e-4 as the texts have it."""
    return f"{rate:.0e}".replace("e-0", "e-")


def test_the_studys_choices() -> None:
    one, two, three = (recipes.find(f"paper_model_{k}").of_one_model for k in (1, 2, 3))
    for recipe in (one, two, three):
        assert [(w.level, w.width) for w in recipe.input.windows] == [(40, 80), (80, 200)]
        assert (recipe.input.size, recipe.input.planes, recipe.input.channels) == (224, 1, 3)
        assert (recipe.network.head.hidden, recipe.network.head.dropout) == (128, 0.3)
        assert recipe.fit.learning_rate == 1e-4
        assert recipe.population.slices == "positives"
        assert recipe.network.init == "imagenet"
    assert [r.fit.epochs for r in (one, two, three)] == [10, 10, 6]
    assert one.classes == two.classes == SUBTYPES
    assert three.classes == SUBTYPES[1:]
    assert three.population.without == (Subtype.EPIDURAL,)
    assert (one.sampling, two.sampling, three.sampling) == (Sampling.NATURAL, Sampling.BALANCED, Sampling.BALANCED)
    assert one.augmentation is None
    assert two.augmentation == three.augmentation
    assert two.fit.milestones == (3 * 2,)


@pytest.mark.parametrize(
    ("assignment", "complaint"),
    [
        ({"fit.lr": "3e-4"}, r"no such field: fit\.lr; there are .*learning_rate"),
        ({"ftt.epochs": "3"}, r"no such field: ftt\.epochs"),
        ({"augmentation.rotatoin": "3"}, "no such field"),
        ({"fit.epochs": "0"}, r"fit\.epochs"),
        ({"fit.epochs": "many"}, r"fit\.epochs"),
        ({"input.size": "100"}, "efficientnet-b0 shrinks the image 32 times .*multiple of 32, got 100"),
        (
            {"input.size": "72", "network.backbone": "small-cnn", "network.init": "random"},
            "small-cnn .*multiple of 16, got 72",
        ),
        ({"network.backbone": "resnet51"}, "no backbone 'resnet51'; there are efficientnet-b0, .*timm:NAME"),
        ({"network.backbone": "timm:"}, "no backbone 'timm:'"),
        ({"network.backbone": "separable"}, "no public ImageNet weights of separable: give network.init as random"),
        ({"network.backbone": "timm:resnet18"}, "no public ImageNet weights of timm:resnet18"),
        (
            {"network.backbone": "densenet121", "network.init": "phantom"},
            "phantom weights are of efficientnet-b0, not of densenet121: give network.init as imagenet, random",
        ),
        ({"network.head.hidden": "-1"}, r"network\.head\.hidden"),
        (
            {"network.head.hidden": "0", "network.head.dropout_before_hidden": "0.2"},
            "no hidden layer for dropout_before_hidden",
        ),
        ({"classes": '["epidural", "epidural"]'}, "named twice"),
        ({"classes": '["extradural"]'}, "classes"),
        ({"population.without": '["epidural"]'}, "cannot be learnt"),
        ({"classes": '["subdural", "any"]'}, "any` cannot be learnt from positives alone"),
        ({"population.without": '["any"]'}, "cannot leave out `any`"),
        (
            {"population.without": '["subdural"]', "classes": '["epidural"]', "synthetic.share": "0.25"},
            r"synthetic\.subtypes draws lesions that the population leaves out: subdural; give it others",
        ),
        ({"network.init": "random", "network.frozen": "true"}, "frozen backbone with random weights"),
        ({"input.windows": "[]"}, r"input\.windows"),
        ({"input.windows": '[{"level": 40, "width": 0}]'}, "width must be above 0"),
    ],
)
def test_an_override_that_makes_no_sense_is_refused(assignment: dict[str, str], complaint: str) -> None:
    with pytest.raises(RecipeError, match=complaint):
        PAPER.override(assignment)


@pytest.mark.parametrize(
    ("assignment", "complaint"),
    [
        ({"fit.epochs": "2"}, r"no such field: fit\.epochs; there are gate, kind, name, subtypes, title"),
        ({"gate.fit.lr": "2"}, r"no such field: gate\.fit\.lr"),
        ({"gate.population.slices": "positives"}, "gate: `any` cannot be learnt from positives alone"),
        (
            {"gate.population.slices": "positives", "gate.classes": '["subdural"]'},
            "the gate is of positives: it has never seen a slice without hemorrhage",
        ),
        ({"gate.classes": '["subdural"]'}, "gate: of all slices any hemorrhage is told too"),
        ({"gate.classes": json.dumps(SUBTYPES)}, "the gate must name `any`, it names epidural"),
        ({"subtypes.population.slices": "all"}, "the second stage .* is of all slices"),
        ({"subtypes.classes": '["subdural", "any"]'}, "subtypes: `any` cannot be learnt from positives alone"),
        (
            {"gate.population.without": '["epidural"]', "gate.classes": '["any"]', "gate.synthetic": "null"},
            "leave out different subtypes",
        ),
        (
            {"subtypes.input.neighbours": "2", "subtypes.input.neighbour_spacing": "7.5"},
            r"the gate every 5 mm, the second stage every 7\.5 mm",
        ),
    ],
)
def test_a_cascade_that_makes_no_sense_is_refused(assignment: dict[str, str], complaint: str) -> None:
    with pytest.raises(RecipeError, match=complaint):
        recipes.find("cascade").recipe.override(assignment)


def test_a_cascade_keeps_what_its_stages_are() -> None:
    cascade = recipes.find("cascade").recipe
    assert isinstance(cascade, CascadeRecipe)
    assert cascade.classes == CLASSES
    assert cascade.population.slices == "all"
    assert cascade.stages == {"gate": cascade.gate, "subtypes": cascade.subtypes}
    changed = cascade.override({"gate.fit.epochs": "2", "subtypes.input.neighbours": "2"})
    assert (changed.gate.fit.epochs, changed.subtypes.fit) == (2, cascade.subtypes.fit)
    assert changed.fingerprint() != cascade.fingerprint()
    assert changed.derive(gate=cascade.gate, subtypes=cascade.subtypes) == cascade
    three = recipes.find("paper_model_3").of_one_model
    gate = cascade.gate.derive(classes=["any"], synthetic=None, **{"population.without": ["epidural"]})
    without_epidural = cascade.derive(gate=gate, subtypes=three)
    assert without_epidural.classes == (*SUBTYPES[1:], Subtype.ANY)


def test_a_cascade_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        '"""Mine."""\nfrom ichnos.recipes.cascade import RECIPE as BASE\n'
        'RECIPE = BASE.derive(name="mine", **{"gate.fit.epochs": 3})\n'
    )
    found = recipes.find(str(path))
    assert (found.recipe.kind, found.recipe.stages["gate"].fit.epochs) == ("cascade", 3)
    with pytest.raises(RecipeError, match="mine is a cascade; a recipe of one model is wanted"):
        _ = found.of_one_model


def test_any_can_be_a_class_where_there_are_negatives() -> None:
    changed = PAPER.override({"classes": '["epidural", "any"]', "population.slices": "all"})
    assert changed.classes == (Subtype.EPIDURAL, Subtype.ANY)


def test_overrides_are_validated_and_leave_the_rest() -> None:
    changed = PAPER.override({"fit.learning_rate": "3e-4", "fit.patience": "null", "input.size": "128"})
    assert (changed.fit.learning_rate, changed.fit.patience, changed.input.size) == (3e-4, None, 128)
    assert changed.fingerprint() != PAPER.fingerprint()
    assert changed.derive(**{"fit.learning_rate": 1e-4, "fit.patience": 3, "input.size": 224}) == PAPER


def test_a_head_may_do_without_a_hidden_layer() -> None:
    assert PAPER.override({"network.head.hidden": "0"}) == PAPER.override({"network.head.hidden": "null"})
    assert PAPER.override({"network.head.hidden": "0"}).network.head.hidden is None


def test_other_networks_take_other_sizes() -> None:
    small = PAPER.override({"network.backbone": "small-cnn", "network.init": "random", "input.size": "48"})
    assert (small.network.backbone, small.input.size) == ("small-cnn", 48)
    anyhow = PAPER.override({"network.backbone": "timm:vit", "network.init": "random", "input.size": "100"})
    assert anyhow.network.facts is None


def test_an_optional_part_can_be_switched_on() -> None:
    one = recipes.find("paper_model_1").of_one_model.override({"augmentation.rotation": "5"})
    assert one.augmentation is not None
    assert (one.augmentation.rotation, one.augmentation.p) == (5, 0.5)


def test_masks_can_be_switched_on_and_change_nothing_where_they_are_off() -> None:
    """Fingerprints and files of recipes from before the field was there hold on."""
    assert "segmentation" not in PAPER.model_dump(mode="json")
    assert "segmentation" not in PAPER.model_dump_json()
    on = PAPER.override({"segmentation.weight": "0.5"})
    assert on.segmentation is not None
    assert (on.segmentation.weight, on.segmented) == (0.5, PAPER.classes)
    assert on.override({"segmentation.classes": '["any"]'}).segmented == (Subtype.ANY,)
    assert type(on).model_validate_json(on.model_dump_json()) == on
    assert on.fingerprint() != PAPER.fingerprint() == on.override({"segmentation": "null"}).fingerprint()
    cascade = recipes.find("cascade").recipe
    changed = cascade.override({"gate.segmentation.loss": "dice"})
    assert changed.stages["gate"].segmentation is not None
    assert "segmentation" not in changed.model_dump(mode="json")["subtypes"]
    with pytest.raises(RecipeError, match="named twice"):
        PAPER.override({"segmentation.classes": '["any", "any"]'})
    with pytest.raises(RecipeError, match=r"segmentation\.weight"):
        PAPER.override({"segmentation.weight": "0"})


def test_a_frozen_backbone_cannot_start_from_random_weights() -> None:
    with pytest.raises(RecipeError, match="frozen backbone"):
        recipes.find("paper_model_1_frozen").recipe.override({"network.init": "random"})


def test_the_cache_does_not_depend_on_what_comes_after_it() -> None:
    plain = PAPER.override({"input.normalisation": "unit"})
    assert plain.input.fingerprint() == PAPER.input.fingerprint()
    assert PAPER.override({"input.size": "128"}).input.fingerprint() != PAPER.input.fingerprint()
    assert PAPER.override({"input.merge": "stack"}).input.fingerprint() != PAPER.input.fingerprint()


def test_a_road_without_raw_hu_is_written_as_before_there_were_any() -> None:
    """So fingerprints, caches and bundles that are there stay valid."""
    assert "raw_hu" not in PAPER.model_dump_json()
    assert PAPER.input.fingerprint() == "6536cc8f82aa98d9"
    raw = PAPER.override({"input.raw_hu": "true"})
    assert (raw.input.planes, raw.input.channels, raw.input.raw_channels) == (3, 4, (3,))
    assert raw.input.fingerprint() != PAPER.input.fingerprint()
    assert type(raw).model_validate_json(raw.model_dump_json()) == raw
    assert raw.override({"input.raw_hu": "false"}) == PAPER
    two = raw.derive(**{"input.merge": "stack", "input.neighbours": 1})
    assert (two.input.planes, two.input.channels, two.input.raw_channels) == (4, 9, (2, 5, 8))
    with pytest.raises(RecipeError, match="the stem of raw HU begins at zero"):
        recipes.find("paper_model_1_frozen").recipe.override({"input.raw_hu": "true"})


def test_a_file_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        '"""Mine."""\nfrom ichnos.recipes.paper_model_2 import RECIPE as BASE\n'
        'RECIPE = BASE.derive(name="mine", **{"fit.epochs": 3})\n'
    )
    found = recipes.find(str(path))
    assert (found.recipe.name, found.of_one_model.fit.epochs, found.docstring) == ("mine", 3, "Mine.")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("RECIPE = 3", "has no RECIPE"),
        ("import nowhere_to_be_found", "ModuleNotFoundError"),
        ("def", "SyntaxError"),
        (
            "from ichnos.recipes.paper_model_2 import RECIPE as B\nRECIPE = B.derive(**{'fit.lr': 1})",
            r"no such field: fit\.lr",
        ),
    ],
)
def test_a_file_that_is_no_recipe_says_why(tmp_path: Path, content: str, complaint: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(content)
    with pytest.raises(RecipeError, match=complaint):
        recipes.find(str(path))


def test_a_name_that_is_none_lists_those_there_are() -> None:
    with pytest.raises(RecipeError, match=r"there are .*paper_model_1"):
        recipes.find("paper_model_4")


def test_all_slices_have_any_hemorrhage_told_of_them() -> None:
    reader = recipes.find("reader").of_one_model
    with pytest.raises(RecipeError, match="of all slices any hemorrhage is told too"):
        reader.override({"classes": '["epidural","subdural"]'})
    assert reader.derive(classes=SUBTYPES).classes == SUBTYPES
    with pytest.raises(RecipeError, match="a lesion that is drawn is of one subtype"):
        reader.override({"synthetic.subtypes": '["any"]'})
    mixed = '["any","intraparenchymal","intraventricular","subarachnoid","subdural"]'
    with pytest.raises(RecipeError, match=r"name usual\.classes in their order: intraparenchymal, "):
        recipes.find("epidural_anomaly").recipe.override({"usual.classes": mixed})
