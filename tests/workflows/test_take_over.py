"""What another recipe of a field study has trained is not trained again: members, and weights asked otherwise."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ichnos.data.preparing import prepare
from ichnos.data.splits import Part, split
from ichnos.models.checkpoint import load_checkpoint
from ichnos.progress import SILENT
from ichnos.recipe import EnsembleRecipe, ExamRecipe, SliceRecipe, TestTime
from ichnos.recipes import find
from ichnos.workflows.field import _take_over
from ichnos.workflows.train import OpenData, open_data, train_stages
from ichnos.workflows.trained import open_run
from tests.data.in_memory import InMemorySource

pytestmark = pytest.mark.slow

TINY = {
    "network": {"backbone": "small-cnn", "init": "random"},
    "input.size": 32,
    "augmentation": None,
    "fit": {"epochs": 1, "batch_size": 8, "steps_per_epoch": 2, "patience": None},
}


@pytest.fixture(scope="module")
def recipe() -> SliceRecipe:
    return find("three_windows").of_one_model.derive(**TINY)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> OpenData:
    made = prepare(InMemorySource(exams=24, slices=3), tmp_path_factory.mktemp("taken") / "set", SILENT, workers=1)
    split(made, seed=0, folds=3)
    return replace(open_data(made.path), fold=0)


@pytest.fixture(scope="module")
def out(data: OpenData, recipe: SliceRecipe) -> Path:
    study = data.prepared.path.parent / "study"
    train_stages(recipe, data, study / "first" / "fold-0", SILENT, device="cpu")
    return study


def goes_on(recipe: SliceRecipe | EnsembleRecipe, data: OpenData, run: Path) -> bool:
    """Whether training finds nothing left to do."""
    before = {path: path.stat().st_mtime_ns for path in run.rglob("best.safetensors")}
    train_stages(recipe, data, run, SILENT, device="cpu")
    return bool(before) and before == {path: path.stat().st_mtime_ns for path in run.rglob("best.safetensors")}


def test_views_ask_the_same_weights(data: OpenData, recipe: SliceRecipe, out: Path) -> None:
    mirrored = recipe.derive(name="mirrored", title="Mirrored", test_time=TestTime())
    _take_over(mirrored, out, "mirrored", 1)
    run = out / "mirrored" / "fold-0"
    assert goes_on(mirrored, data, run)
    assert [stage.test_time for stage in open_run(run).recipe.stages.values()] == [TestTime()]
    one, two = (load_checkpoint(out / name / "fold-0" / "best.safetensors").tensors for name in ("first", "mirrored"))
    assert all(torch.equal(one[key], two[key]) for key in one)
    plain, both = (
        open_run(out / name / "fold-0").predict(data, Part.TEST, SILENT, device="cpu") for name in ("first", "mirrored")
    )
    assert abs(plain.probabilities - both.probabilities).max() > 0


def test_an_ensemble_takes_over_its_members(data: OpenData, recipe: SliceRecipe, out: Path) -> None:
    other = recipe.derive(name="other", **{"fit.seed": 5})
    ensemble = EnsembleRecipe(name="both", title="Both", combine="rank", members={"first": recipe, "other": other})
    _take_over(ensemble, out, "both", 1)
    run = out / "both" / "fold-0"
    assert (run / "members" / "first" / "last.safetensors").exists()
    assert not (run / "members" / "other").exists()
    taken = (run / "members" / "first" / "best.safetensors").stat().st_mtime_ns
    train_stages(ensemble, data, run, SILENT, device="cpu")
    assert (run / "members" / "first" / "best.safetensors").stat().st_mtime_ns == taken
    assert open_run(run).recipe == ensemble
    assert goes_on(ensemble, data, run)


def test_an_ensemble_takes_over_a_members_network_of_exams(data: OpenData, recipe: SliceRecipe, out: Path) -> None:
    head = find("bigru").recipe.derive(slices=recipe.model_dump(mode="json"), **{"head.hidden": 4, "fit.epochs": 2})
    assert isinstance(head, ExamRecipe)
    _take_over(head, out, "bigru", 1)
    alone = out / "bigru" / "fold-0"
    train_stages(head, data, alone, SILENT, device="cpu")
    slower = head.derive(**{"fit.learning_rate": 1e-5})
    members = {"first": recipe, "bigru": head, "slower": slower}
    ensemble = EnsembleRecipe(name="exams", title="Exams", members=members)
    _take_over(ensemble, out, "exams", 1)
    run = out / "exams" / "fold-0"
    taken = {path.name for path in (run / "members" / "bigru" / "exam").iterdir()}
    assert taken >= {
        "best.safetensors",
        "last.safetensors",
        "slices_train.safetensors",
        "slices_validation.safetensors",
    }
    assert not (run / "members" / "slower" / "exam").exists(), "it is trained in another way"
    before = (run / "members" / "bigru" / "exam" / "best.safetensors").stat().st_mtime_ns
    train_stages(ensemble, data, run, SILENT, device="cpu")
    assert (run / "members" / "bigru" / "exam" / "best.safetensors").stat().st_mtime_ns == before
    member = open_run(run / "members" / "bigru")
    said, wanted = (each.predict(data, Part.TEST, SILENT, device="cpu") for each in (member, open_run(alone)))
    assert (said.probabilities == wanted.probabilities).all()
