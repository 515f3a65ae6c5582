"""A curve by training patients: whom its points learn from, that it goes on, and what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ichnos.data.preparing import prepare
from ichnos.data.set import PreparedSet
from ichnos.data.splits import Part, split, stored_splits
from ichnos.errors import OutputError, UsageError
from ichnos.models.checkpoint import load_checkpoint
from ichnos.predictions import Predictions
from ichnos.progress import SILENT
from ichnos.recipe import EXAM, ExamFit, Fit, Recipe, SliceRecipe, exam_networks, join
from ichnos.recipes.bigru import RECIPE as BIGRU
from ichnos.recipes.ensemble_field import RECIPE as ENSEMBLE_FIELD
from ichnos.recipes.from_scratch import RECIPE as FROM_SCRATCH
from ichnos.recipes.model_2_any import RECIPE as MODEL_2_ANY
from ichnos.recipes.reader import RECIPE as READER
from ichnos.reporting.patients import TRAINED_ONCE
from ichnos.subtypes import Subtype
from ichnos.training.sampling import BatchOrder
from ichnos.workflows.patients import study_patients
from ichnos.workflows.seen import unseen
from ichnos.workflows.shares import Equal, PatientsOptions, draw_points, equal_words, held_equal, of_repeat
from ichnos.workflows.train import open_data
from ichnos.workflows.trained_model import fitted_on_these
from tests.data.in_memory import InMemorySource

pytestmark = pytest.mark.usefixtures("one_thread", "undrawn")

TINY = {
    "network": {"backbone": "small-cnn", "init": "random"},
    "input.size": 32,
    "augmentation": None,
    "classes": ["epidural", "intraparenchymal", "any"],
    "fit": {"epochs": 1, "batch_size": 8, "patience": None},
}
SHARES = (0.25, 0.5, 1.0)
ENDS = (0.25, 1.0)
"""Two points: each is a training."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedSet:
    """Of 30 patients with two exams each: 15 with both of two subtypes, 15 healthy."""
    made = prepare(InMemorySource(exams=60, slices=3), tmp_path_factory.mktemp("patients") / "set", SILENT, workers=1)
    split(made, seed=0, folds=3)
    return made


@pytest.fixture(scope="module")
def recipe() -> SliceRecipe:
    return MODEL_2_ANY.derive(**TINY)


@pytest.fixture(scope="module")
def studied(prepared: PreparedSet, recipe: SliceRecipe) -> Path:
    out = prepared.path.parent / "curve"
    study_patients(recipe, prepared.path, out, SILENT, options(), device="cpu")
    return out


def options(**changes: object) -> PatientsOptions:
    return replace(PatientsOptions(recipe="tiny", shares=ENDS, resamples=50), **changes)


def patients_of(prepared: PreparedSet, part: Part, fold: int | None = None) -> set[str]:
    splits = stored_splits(prepared)
    rows = splits.rows(part) if fold is None else splits.rows_of_fold(fold, part)
    return set(prepared.index["patient"].to_numpy()[rows].tolist())


@pytest.mark.parametrize("fold", [None, 1])
def test_points_are_nested_stratified_and_of_the_training_part_alone(
    prepared: PreparedSet, recipe: SliceRecipe, fold: int | None
) -> None:
    points = draw_points(open_data(prepared.path, fold), recipe, SHARES[::-1], repeats=2, seed=3)
    training = patients_of(prepared, Part.TRAIN, fold)
    assert [point.share for point in points] == list(SHARES), "the smallest first"
    assert [point.patients for point in points] == [int(share * len(training) + 0.5) for share in SHARES]
    for repeat in range(2):
        drawn = [set(point.draws[repeat].patients) for point in points]
        assert drawn[0] < drawn[1] < drawn[2] == training
        assert not training & (patients_of(prepared, Part.VALIDATION, fold) | patients_of(prepared, Part.TEST, fold))
        whole = points[-1].draws[repeat].positives[Subtype.ANY]
        for point in points:
            assert abs(point.draws[repeat].positives[Subtype.ANY] - point.share * whole) <= 1
    assert points[0].draws[0].patients != points[0].draws[1].patients


def test_runs_learn_from_their_patients_and_are_measured_on_the_same(prepared: PreparedSet, studied: Path) -> None:
    card = json.loads((studied / "scorecard.json").read_bytes())
    order = pl.read_parquet(studied / "training_patients.parquet").sort("place")["patient"].to_list()
    tested = prepared.index["name"].to_numpy()[stored_splits(prepared).rows(Part.TEST)]
    assert set(order) == patients_of(prepared, Part.TRAIN)
    for point in card["points"]:
        (run,) = point["runs"]
        own = prepared.index.filter(pl.col("patient").is_in(order[: point["patients"]]))
        assert (run["slices"], run["exams"]) == (len(own), own["exam"].n_unique())
        for c in ("epidural", "intraparenchymal"):
            assert run["positive_patients"][c] == own.filter(pl.col(c))["patient"].n_unique()
        assert run["steps"] == -(-len(own) // 8), "an epoch of the recipe"
        metadata = load_checkpoint(studied / run["folder"] / "best.safetensors").metadata
        assert metadata["origin"]["training_patients"] == point["patients"]
        table = Predictions.read_parquet(studied / run["folder"] / "predictions.parquet")
        assert sorted(table.slice_name.tolist()) == sorted(tested.tolist())
        opened, external = unseen([studied / run["folder"] / "best.safetensors"], open_data(prepared.path))
        assert not external
        assert opened.fold is None


def test_the_scorecard_and_the_page_say_what_was_done(prepared: PreparedSet, studied: Path) -> None:
    card = json.loads((studied / "scorecard.json").read_bytes())
    assert card["command"].startswith("ichnos study patients tiny --data ")
    assert card["command"].endswith("--shares 0.25,1 --resamples 50")
    assert (card["equal"], card["repeats"], card["fold"]) == ("epochs", 1, None)
    assert set(card["levels"]) == {"slice", "exam", "patient"}
    for tree in card["levels"].values():
        for point in tree["points"]:
            assert set(point) == {"mean", "epidural", "intraparenchymal", "any"}
            values = [point[c]["auc"]["value"] for c in tree["mean_over"]]
            assert point["mean"]["auc"]["value"] == pytest.approx(np.mean(values))
        first, last = tree["points"][0], tree["points"][-1]
        difference = last["any"]["auc"]["value"] - first["any"]["auc"]["value"]
        assert first["any"]["gain_of_the_largest"]["value"] == pytest.approx(difference)
        assert last["any"]["gain_of_the_largest"] is None
        assert first["any"]["gain_of_the_largest"]["bootstrap_p"] is None, "fewer than ten test patients have it"
    page, text = (studied / "report.html").read_text(), (studied / "report.md").read_text()
    for words in ("Mean of the classes", "Epochs are held equal", "descriptive only", "For a manuscript", "run-0"):
        assert words in page
        assert words in text
    assert text.count(TRAINED_ONCE) == page.count(TRAINED_ONCE) == 3, "under each level's differences"
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert {path.name for path in (studied / "figures").iterdir()} == {"auc_by_patients.svg", "auc_by_patients.png"}


def test_it_goes_on_and_adds_points(prepared: PreparedSet, recipe: SliceRecipe, studied: Path) -> None:
    before = (studied / "scorecard.json").read_bytes()
    (studied / "scorecard.json").unlink()
    kept = {path: path.stat().st_mtime_ns for path in studied.rglob("patients-*/run-0/*.safetensors")}
    said = {path: path.stat().st_mtime_ns for path in studied.rglob("patients-*/run-0/predictions.parquet")}
    assert len(said) == len(ENDS)
    study_patients(recipe, prepared.path, studied, SILENT, options(), device="cpu")
    assert (studied / "scorecard.json").read_bytes() == before
    card = study_patients(recipe, prepared.path, studied, SILENT, options(shares=(0.5, 1.0)), device="cpu")
    assert [point["share"] for point in card["points"]] == [0.5, 1.0]
    assert {path: path.stat().st_mtime_ns for path in (*kept, *said)} == kept | said, "nothing is made twice"


def test_a_folder_of_something_else_is_refused(
    prepared: PreparedSet, recipe: SliceRecipe, studied: Path, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("")
    for out, said in ((tmp_path, "holds other files already"), (tmp_path / "file", "is a file; give --out a folder")):
        with pytest.raises(OutputError, match=said):
            study_patients(recipe, prepared.path, out, SILENT, options(), device="cpu")
    for other, asked, said in (
        (recipe.derive(**{"fit.epochs": 2}), options(), "another study: other recipe"),
        (recipe, options(fold=1), "another study: other fold"),
        (recipe, options(seed=1), "another study: other seed"),
        (recipe, options(equal=Equal.STEPS), "another study: other recipe"),
    ):
        with pytest.raises(OutputError, match=said):
            study_patients(other, prepared.path, studied, SILENT, asked, device="cpu")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "study.json").write_text("{")
    with pytest.raises(OutputError, match=r"study\.json is damaged"):
        study_patients(recipe, prepared.path, tmp_path / "damaged", SILENT, options(), device="cpu")


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ((0.0, 1.0), r"above 0 and at most 1, got 0$"),
        ((0.5, 1.5), r"above 0 and at most 1, got 1\.5"),
        ((float("nan"), 1.0), "above 0 and at most 1, got nan"),
        ((0.5, 0.5), "given twice"),
        ((1.0,), "two shares or more"),
    ],
)
def test_shares_that_are_none_are_refused(shares: tuple[float, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        PatientsOptions(shares=shares)


def test_shares_that_leave_no_positives_are_refused_before_anything_is_written(
    prepared: PreparedSet, recipe: SliceRecipe, tmp_path: Path
) -> None:
    whole = draw_points(open_data(prepared.path), recipe, (0.5, 1.0), 1, 0)[-1].draws[0]
    n, positive = whole.count, whole.positives[Subtype.ANY]
    leaves = (
        f"the share 0.01 is 0 patients of {n} in the training part, .* leaves no positive of .*any hemorrhage "
        rf"\({positive} of all have it\); give no share below 0\.0"
    )
    for share, said in ((0.01, leaves), (0.99, f"shares 0.99 and 1 are both {n} patients of {n}")):
        with pytest.raises(UsageError, match=said):
            study_patients(recipe, prepared.path, tmp_path / "out", SILENT, options(shares=(share, 1.0)))
    with pytest.raises(UsageError, match="no fold 7: this set has folds 0 to 2"):
        study_patients(recipe, prepared.path, tmp_path / "out", SILENT, options(fold=7))
    healthy = prepare(InMemorySource(exams=24, bleeding=False), tmp_path / "set", SILENT, workers=1)
    split(healthy, folds=3)
    with pytest.raises(UsageError, match="none of them has a hemorrhage"):
        study_patients(recipe, healthy.path, tmp_path / "out", SILENT, options())
    assert not (tmp_path / "out").exists()


def test_equal_steps_are_those_of_the_whole_training_part(prepared: PreparedSet, recipe: SliceRecipe) -> None:
    data = open_data(prepared.path)
    whole = BatchOrder(data.slices(recipe, Part.TRAIN, SILENT), recipe.sampling, recipe.fit).steps
    held = held_equal(recipe, data, Equal.STEPS)
    assert held.stages[""].fit.steps_per_epoch == whole
    assert held_equal(recipe, data, Equal.EPOCHS) == recipe
    few = draw_points(data, recipe, SHARES, 1, 0)[0].draws[0].patients
    part = replace(data, patients=few).slices(recipe, Part.TRAIN, SILENT)
    assert BatchOrder(part, held.stages[""].sampling, held.stages[""].fit).steps == whole
    assert f"{whole} an epoch at every point" in equal_words(held, Equal.STEPS)
    assert "the recipe's own number of optimiser steps" in equal_words(FROM_SCRATCH, Equal.EPOCHS).lower()
    drawn = READER.derive(**{"fit.batch_size": 20, "synthetic.share": 0.25})
    slices = len(data.rows(drawn.population, Part.TRAIN))
    assert held_equal(drawn, data, Equal.STEPS).stages[""].fit.steps_per_epoch == -(-slices // 15), "5 of 20 are drawn"


def test_every_repeat_has_seeds_of_its_own() -> None:
    assert of_repeat(BIGRU, 0) == BIGRU
    other = of_repeat(BIGRU, 2)
    assert isinstance(other, type(BIGRU))
    assert (other.fit.seed, other.slices.stages[""].fit.seed) == (
        BIGRU.fit.seed + 2,
        BIGRU.slices.stages[""].fit.seed + 2,
    )
    ensemble = of_repeat(ENSEMBLE_FIELD, 2)
    seeds = {name: fit.seed for name, fit in _fits(ensemble).items()}
    assert seeds == {name: fit.seed + 2 for name, fit in _fits(ENSEMBLE_FIELD).items()}
    assert "members/bigru/exam" in seeds
    assert "The network of exams has its recipe's epochs" in equal_words(ENSEMBLE_FIELD, Equal.STEPS)


def _fits(recipe: Recipe) -> dict[str, Fit | ExamFit]:
    """How every network of a recipe is trained, by its folder."""
    fits: dict[str, Fit | ExamFit] = {path: stage.fit for path, stage in recipe.stages.items()}
    return fits | {join(path, EXAM): each.fit for path, each in exam_networks(recipe).items()}


def test_what_was_fitted_on_validation_patients_was_fitted_on_them_however_few_were_trained_on(
    prepared: PreparedSet, recipe: SliceRecipe
) -> None:
    """Or what a stacking says of them would flatter its calibration."""
    whole = open_data(prepared.path)
    few = replace(whole, patients=draw_points(whole, recipe, SHARES, 1, 0)[0].draws[0].patients)
    for fitted in (whole, few):
        for asked in (whole, few):
            assert fitted_on_these({"origin": json.loads(json.dumps(fitted.origin))}, asked, "r")
    assert not fitted_on_these({"origin": json.loads(json.dumps(few.origin))}, replace(whole, fold=1), "r")


@pytest.mark.slow
def test_repeats_are_averaged_and_more_of_them_added(
    prepared: PreparedSet, recipe: SliceRecipe, tmp_path: Path
) -> None:
    asked = options(shares=(0.25, 1.0), equal=Equal.STEPS)
    one = study_patients(recipe, prepared.path, tmp_path, SILENT, asked, device="cpu")
    card = study_patients(recipe, prepared.path, tmp_path, SILENT, replace(asked, repeats=2), device="cpu")
    assert {run["steps"] for point in card["points"] for run in point["runs"]} == {
        card["points"][-1]["runs"][0]["steps"]
    }
    for k, point in enumerate(card["levels"]["slice"]["points"]):
        runs = point["any"]["runs"]
        assert runs[0] == one["levels"]["slice"]["points"][k]["any"]["auc"]["value"], "the first run is kept"
        assert runs[0] != runs[1], "other patients or another seed"
        assert point["any"]["auc"]["value"] == pytest.approx(np.mean(runs))
    assert "Runs, lowest to highest" in (tmp_path / "report.md").read_text()
    assert TRAINED_ONCE not in (tmp_path / "report.md").read_text()
    assert set(pl.read_parquet(tmp_path / "training_patients.parquet")["repeat"]) == {0, 1}
