"""One run on two sets: measured on each one's own test patients, exported with both or one, never on what it learnt."""

from pathlib import Path

import numpy as np
import pytest

from ichnos import recipes
from ichnos.data.preparing import prepare
from ichnos.data.set import PreparedSet
from ichnos.data.splits import Part, split, stored_splits
from ichnos.errors import InputError, UsageError
from ichnos.inference.bundle import read_bundle
from ichnos.models.checkpoint import load_checkpoint
from ichnos.predictions import Predictions
from ichnos.progress import SILENT
from ichnos.recipe import EnsembleRecipe, ExamRecipe, SliceRecipe
from ichnos.recipes.model_2_any import RECIPE as MODEL_2_ANY
from ichnos.workflows.evaluate import evaluate_run
from ichnos.workflows.export import ExportOptions, export_runs
from ichnos.workflows.field import FieldOptions
from ichnos.workflows.folds import FoldOptions, open_folds, study_folds
from ichnos.workflows.measured import EvaluationOptions
from ichnos.workflows.seen import unseen
from ichnos.workflows.train import open_data, train_model
from ichnos.workflows.validate import evaluate_bundle
from tests.data.in_memory import InMemorySource, Messages

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = EvaluationOptions(resamples=20)


def hospital(folder: Path, twins: dict[int, int]) -> PreparedSet:
    made = prepare(InMemorySource(exams=24, slices=3, twins=twins), folder, SILENT, workers=1)
    split(made, seed=0, folds=3)
    return made


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> list[PreparedSet]:
    """Two hospitals, each with a training exam that is a test exam of the other."""
    root = tmp_path_factory.mktemp("several")
    first = hospital(root / "first", {})
    parts = stored_splits(first)
    exams = {
        part: [int(e[1:]) for e in dict.fromkeys(first.index["exam"].to_numpy()[parts.rows(part)].tolist())]
        for part in Part
    }
    shown = {n: 1000 + n for n in range(24)}
    shown[exams[Part.TRAIN][0]], shown[exams[Part.TEST][0]] = exams[Part.TEST][0], exams[Part.TRAIN][0]
    return [first, hospital(root / "second", shown)]


@pytest.fixture(scope="module")
def recipe() -> SliceRecipe:
    return MODEL_2_ANY.derive(
        network={"backbone": "small-cnn", "init": "random"},
        augmentation=None,
        **{"input.size": 32, "fit": {"epochs": 1, "batch_size": 8, "steps_per_epoch": 2, "patience": None}},
    )


@pytest.fixture(scope="module")
def run(sets: list[PreparedSet], recipe: SliceRecipe) -> Path:
    out, said = sets[0].path.parent / "run", Messages()
    train_model(recipe, [each.path for each in sets], out, said, device="cpu")
    assert any("slices of 2 patients left out: another set has the same patients" in text for text in said.texts)
    return out


def test_the_run_names_every_set_and_its_split(sets: list[PreparedSet], run: Path) -> None:
    origin = load_checkpoint(run / "best.safetensors").metadata["origin"]
    assert [each["set"] for each in origin["sets"]] == [each.header.fingerprint for each in sets]
    assert {(each["split_seed"], each["folds"], each["fold"]) for each in origin["sets"]} == {(0, 3, None)}


@pytest.mark.slow
def test_it_is_measured_on_each_sets_own_test_patients(sets: list[PreparedSet], run: Path, tmp_path: Path) -> None:
    for number, each in enumerate(sets):
        out = tmp_path / str(number)
        card = evaluate_run(run, each.path, out, SILENT, QUICK, device="cpu")
        assert not card["external"]
        assert card["model"]["operating_points"].startswith("fixed before: chosen on the run's")
        assert sum(card["parts"].values()) == each.header.patients
        measured = f"{card['parts']['test']} patients"
        assert f"held-out test patients: {measured}" in (out / "report.html").read_text()
        table = Predictions.read_parquet(out / "predictions.parquet")
        wanted = each.index["name"].to_numpy()[stored_splits(each).rows(Part.TEST)]
        assert sorted(table.slice_name.tolist()) == sorted(wanted.tolist())
        with pytest.raises(UsageError, match="another split of this set"):
            evaluate_run(run, each.path, tmp_path / "no", SILENT, QUICK, fold=1, device="cpu")


def test_each_set_is_known_to_the_run_by_its_own_split(sets: list[PreparedSet], run: Path) -> None:
    for each in sets:
        _, external = unseen([run / "best.safetensors"], open_data(each.path))
        assert not external
        with pytest.raises(UsageError, match=r"another split of this set \(the one split then, fold 1 now\)"):
            unseen([run / "best.safetensors"], open_data(each.path, fold=1))


def test_a_run_on_one_set_equals_a_run_on_that_set_alone(
    sets: list[PreparedSet], recipe: SliceRecipe, tmp_path: Path
) -> None:
    train_model(recipe, sets[0].path, tmp_path / "a", SILENT, device="cpu")
    train_model(recipe, [sets[0].path], tmp_path / "b", SILENT, device="cpu")
    assert (tmp_path / "a" / "best.safetensors").read_bytes() == (tmp_path / "b" / "best.safetensors").read_bytes()


@pytest.mark.slow
def test_a_bundle_of_both_names_both_and_is_measured_on_neither(
    sets: list[PreparedSet], run: Path, tmp_path: Path
) -> None:
    both = tuple(each.path for each in sets)
    for name, data in (("both", both), ("one", both[1])):
        export_runs([run], tmp_path / name, SILENT, ExportOptions(data=data), device="cpu")
        manifest = read_bundle(tmp_path / name).manifest
        assert manifest.data is not None
        assert set(manifest.data.fingerprint.split("+")) == {each.header.fingerprint for each in sets}
        assert manifest.fitted_on is not None
        for each in both:
            with pytest.raises(UsageError, match="made of this very set"):
                evaluate_bundle(tmp_path / name, each, tmp_path / "m", SILENT, QUICK)
    with pytest.raises(InputError, match="validated on other slices"):
        export_runs([run], tmp_path / "c", SILENT, ExportOptions(data=both[0], fold=1), device="cpu")


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_folds_of_several_sets(sets: list[PreparedSet], recipe: SliceRecipe, tmp_path: Path) -> None:
    data = [each.path for each in sets]
    options = FoldOptions(recipe="model_2_any", folds=3, split_seed=5)
    card = study_folds(recipe, data, tmp_path / "folds", SILENT, options, device="cpu")
    assert card["counts"]["slices"] == 144
    assert f"--data {data[0]} --data {data[1]}" in card["command"]
    table = Predictions.read_parquet(tmp_path / "folds" / "out_of_fold.parquet")
    assert len(np.unique(table.exam)) == 48
    with pytest.raises(UsageError, match="drawn for several sets together"):
        evaluate_run(tmp_path / "folds" / "fold-0", data[0], tmp_path / "m", SILENT, QUICK, device="cpu")


def test_the_command_of_a_field_study_names_every_set() -> None:
    words = FieldOptions(("reader",)).command([Path("a"), Path("b")], Path("o"))
    assert words == "ichnos study field --data a --data b --out o --recipes reader"


def test_folds_that_do_not_go_together(tmp_path: Path, sets: list[PreparedSet]) -> None:
    strangers = InMemorySource(exams=24, slices=3, twins={n: 2000 + n for n in range(24)})
    other = prepare(strangers, tmp_path / "other", SILENT, workers=1)
    split(other, seed=1, folds=4)
    both = [sets[0].path, other.path]
    with pytest.raises(UsageError, match=r"\(first: 3 folds, seed 0, other: 4 folds, seed 1\): give"):
        open_folds(both, None, None)
    with pytest.raises(UsageError, match=r"unlike seeds \(first: .*\): give --split-seed"):
        open_folds(both, None, 4)
    assert open_folds(both, 5, 4)[1] == [0, 1, 2, 3]
    assert open_folds(both, None, 1)[1] == [None]


def over_slices(name: str, recipe: SliceRecipe, **changes: object) -> ExamRecipe:
    """That exam recipe of the package, small."""
    made = recipes.find(name).recipe
    assert isinstance(made, ExamRecipe)
    return made.derive(slices=recipe, **changes)


@pytest.mark.slow
def test_a_network_of_exams_of_both_becomes_a_bundle_with_one(
    sets: list[PreparedSet], recipe: SliceRecipe, tmp_path: Path
) -> None:
    small = over_slices("bigru", recipe, **{"fit.epochs": 1, "fit.patience": None})
    train_model(small, [each.path for each in sets], tmp_path / "run", SILENT, device="cpu")
    export_runs([tmp_path / "run"], tmp_path / "one", SILENT, ExportOptions(data=sets[1].path), device="cpu")
    assert read_bundle(tmp_path / "one").exam_network is not None
    with pytest.raises(InputError, match="validated on other slices"):
        export_runs([tmp_path / "run"], tmp_path / "c", SILENT, ExportOptions(data=sets[1].path, fold=1), device="cpu")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["trees", "stacking"])
def test_what_was_fitted_on_several_sets_together_is_calibrated_on_all_of_them(
    kind: str, sets: list[PreparedSet], recipe: SliceRecipe, tmp_path: Path
) -> None:
    whole = over_slices("eleventh_place", recipe, **{"head.rounds": 3, "head.patients": 2})
    if kind == "stacking":
        members = {"a": recipe, "b": recipe.derive(**{"fit.learning_rate": 1e-3})}
        whole = EnsembleRecipe(name="both", title="Both", combine="stacking", members=members)
    both = tuple(each.path for each in sets)
    train_model(whole, both, tmp_path / "run", SILENT, device="cpu")
    export_runs([tmp_path / "run"], tmp_path / "all", SILENT, ExportOptions(data=both), device="cpu")
    with pytest.raises(InputError, match="fitted on the validation patients of several sets together"):
        export_runs([tmp_path / "run"], tmp_path / "one", SILENT, ExportOptions(data=both[0]), device="cpu")
    few = EvaluationOptions(resamples=20)
    card = evaluate_run(tmp_path / "run", both[0], tmp_path / "measured", SILENT, few, device="cpu")
    assert not card["external"]
    assert card["model"]["operating_points"].startswith("0.5: the run was fitted on the validation patients of several")
