"""First weights: random, a checkpoint of ours, and the common PyTorch form."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from ichnos.ct.windows import BLOOD, BRAIN
from ichnos.errors import WeightsError
from ichnos.models import SliceClassifier, save_checkpoint
from ichnos.models.initial_weights import initialise
from ichnos.models.phantom_weights import FILES, phantom_card, phantom_weights
from ichnos.recipe import InputSpec, SliceRecipe, WindowMerge
from ichnos.subtypes import CLASSES, SUBTYPES, Subtype


def same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    other = second.state_dict()
    return all(torch.equal(value, other[key]) for key, value in first.state_dict().items())


def test_random_is_the_seed(recipe: SliceRecipe):
    classifier = SliceClassifier.seeded(recipe, 1)
    weights = initialise(classifier, "random", seed=4)
    assert (weights.backbone, weights.head) == ("random", "random")
    assert same(classifier, SliceClassifier.seeded(recipe, 4))


def test_common_form_matches_every_feature_tensor(recipe: SliceRecipe, released: dict[str, Tensor], tmp_path: Path):
    path = tmp_path / "b0.pth"
    torch.save(released, path)
    classifier = SliceClassifier(recipe)
    weights = initialise(classifier, str(path), seed=0)
    assert (weights.backbone, weights.head) == ("b0.pth", "random")
    assert same(classifier.backbone, SliceClassifier.seeded(recipe, 7).backbone)
    assert same(classifier.head, SliceClassifier.seeded(recipe, 0).head)


def test_common_form_without_step_counts(recipe: SliceRecipe, released: dict[str, Tensor], tmp_path: Path):
    path = tmp_path / "b0.pth"
    torch.save({key: value for key, value in released.items() if not key.endswith("num_batches_tracked")}, path)
    initialise(SliceClassifier(recipe), str(path), seed=0)


def test_common_form_for_two_planes(recipe: SliceRecipe, released: dict[str, Tensor], tmp_path: Path):
    path = tmp_path / "b0.pth"
    torch.save(released, path)
    spec = InputSpec(windows=(BRAIN, BLOOD), merge=WindowMerge.STACK, size=32)
    classifier = SliceClassifier(recipe.derive(input=spec))
    initialise(classifier, str(path), seed=0)
    assert classifier.backbone._conv_stem.weight.shape[1] == 2


def test_raw_hu_change_nothing_until_their_stem_has_learnt(recipe: SliceRecipe):
    raw = SliceClassifier(recipe.derive(**{"input.raw_hu": True}))
    without = SliceClassifier(recipe)
    for classifier in (raw, without):
        initialise(classifier, "phantom", seed=3)
        classifier.eval()
    planes = torch.randint(0, 16, (2, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    assert torch.equal(raw.backbone._conv_stem.weight[:, :3], without.backbone._conv_stem.weight)
    assert torch.equal(raw.backbone(raw.channels(planes)), without.backbone(without.channels(planes[:, :1])))
    raw(planes).sum().backward()
    assert raw.backbone._conv_stem.weight.grad[:, 3].abs().sum() > 0


def test_a_stem_of_raw_hu_that_has_learnt_is_taken_over(recipe: SliceRecipe, tmp_path: Path):
    source = SliceClassifier(recipe.derive(**{"input.raw_hu": True}))
    with torch.no_grad():
        source.backbone._conv_stem.weight[:, 3] = 0.5
    save_checkpoint(tmp_path / "raw.safetensors", source, {})
    stacked = recipe.derive(**{"input.raw_hu": True, "input.merge": "stack"})
    classifier = SliceClassifier(stacked)
    initialise(classifier, str(tmp_path / "raw.safetensors"), seed=0)
    assert (classifier.backbone._conv_stem.weight[:, 2] == 0.5).all()
    plain = SliceClassifier(recipe)
    initialise(plain, str(tmp_path / "raw.safetensors"), seed=0)
    assert torch.equal(plain.backbone._conv_stem.weight, source.backbone._conv_stem.weight[:, :3])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.pop("_blocks.5._bn1.weight"), "lacks 1 tensors"),
        (lambda table: table.update(extra=torch.zeros(1)), "unknown 1 tensors, such as extra"),
        (lambda table: table.update({"_bn0.bias": torch.zeros(5)}), "_bn0.bias has shape"),
        (lambda table: table.update(epoch=3), "no plain table of tensors"),
    ],
)
def test_common_form_that_does_not_fit(
    recipe: SliceRecipe, released: dict[str, Tensor], tmp_path: Path, change, message: str
):
    change(released)
    torch.save(released, tmp_path / "b0.pth")
    with pytest.raises(WeightsError, match=message):
        initialise(SliceClassifier(recipe), str(tmp_path / "b0.pth"), seed=0)


def test_no_pickled_code_runs(recipe: SliceRecipe, tmp_path: Path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"a": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match="cannot be read"):
        initialise(SliceClassifier(recipe), str(tmp_path / "evil.pth"), seed=0)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04 torn"])
def test_damaged_file(recipe: SliceRecipe, tmp_path: Path, content: bytes):
    (tmp_path / "b0.pth").write_bytes(content)
    with pytest.raises(WeightsError, match="cannot be read"):
        initialise(SliceClassifier(recipe), str(tmp_path / "b0.pth"), seed=0)


def test_absent_file(recipe: SliceRecipe, tmp_path: Path):
    with pytest.raises(WeightsError, match="no file at"):
        initialise(SliceClassifier(recipe), str(tmp_path / "absent.pth"), seed=0)


def test_own_checkpoint_gives_head_where_classes_agree(recipe: SliceRecipe, tmp_path: Path):
    path = tmp_path / "best.safetensors"
    source = SliceClassifier.seeded(recipe, 9)
    save_checkpoint(path, source, {})
    classifier = SliceClassifier(recipe)
    assert initialise(classifier, str(path), seed=0).head == "best.safetensors"
    assert same(classifier, source)

    four = SliceClassifier(recipe.derive(classes=SUBTYPES[1:]))
    weights = initialise(four, str(path), seed=0)
    assert weights.head == "random"
    assert "its classes are epidural" in weights.remark
    assert same(four.backbone, source.backbone)


def test_phantom_is_a_backbone_in_the_package(recipe: SliceRecipe):
    classifier = SliceClassifier(recipe)
    weights = initialise(classifier, "phantom", seed=3)
    assert (weights.backbone, weights.head) == ("phantom", "random")
    assert same(classifier.head, SliceClassifier.seeded(recipe, 3).head)
    assert not same(classifier.backbone, SliceClassifier.seeded(recipe, 3).backbone)
    assert all(torch.isfinite(tensor).all() for tensor in classifier.backbone.state_dict().values())


@pytest.mark.parametrize("name", ["phantom-2.5d", "phantom-160"])
def test_weights_of_any_bring_their_head_where_the_classes_agree(recipe: SliceRecipe, name: str):
    six = SliceClassifier(recipe.derive(classes=CLASSES, **{"population.slices": "all"}))
    weights = initialise(six, name, seed=3)
    assert (weights.backbone, weights.head) == (name, name)
    assert not same(six.head, SliceClassifier.seeded(six.recipe, 3).head)
    five = SliceClassifier(recipe)
    assert initialise(five, name, seed=3).head == "random"
    assert same(five.backbone, six.backbone)


@pytest.mark.parametrize(
    ("name", "classes"), [("phantom", SUBTYPES), ("phantom-2.5d", CLASSES), ("phantom-160", CLASSES)]
)
def test_the_phantom_weights_say_how_they_were_made(name: str, classes: tuple[Subtype, ...]):
    card = phantom_card(FILES[name])
    assert "no patient's data" in card["trained_on"]
    assert SliceRecipe.model_validate(card["recipe"]).classes == classes
    assert 0.5 < card["validation"]["mean_auc"] < 1
    assert FILES[name].stat().st_size < 10e6


def test_damaged_phantom_weights(tmp_path: Path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(FILES["phantom"].read_bytes()[:1000])
    with pytest.raises(WeightsError, match="install ichnos again"):
        phantom_weights(path)
