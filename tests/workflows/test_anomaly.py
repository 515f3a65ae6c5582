"""A detector of what it has never seen, from a set to a bundle, on a tiny set with random weights."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from lightning_fabric import Fabric

from ichnos.data.preparing import prepare
from ichnos.data.set import PreparedSet
from ichnos.data.splits import Part, split, stored_splits
from ichnos.errors import RecipeError, TrainingError, WeightsError
from ichnos.inference.bundle import read_bundle
from ichnos.progress import SILENT
from ichnos.recipe import AnomalyRecipe
from ichnos.recipes.epidural_anomaly import RECIPE as EPIDURAL_ANOMALY
from ichnos.subtypes import CLASSES, Subtype
from ichnos.training.devices import choose
from ichnos.workflows.anomaly import DENSITY, TrainedAnomaly, fit_anomaly, read_density, scales_of_folds
from ichnos.workflows.evaluate import evaluate_run
from ichnos.workflows.export import ExportOptions, export_runs
from ichnos.workflows.measured import EvaluationOptions
from ichnos.workflows.train import open_data, train_model
from ichnos.workflows.trained import open_run
from tests.data.in_memory import InMemorySource

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedSet:
    made = prepare(InMemorySource(exams=24, slices=3), tmp_path_factory.mktemp("anomaly") / "set", SILENT, workers=1)
    split(made, seed=0, folds=3)
    return made


@pytest.fixture(scope="module")
def recipe() -> AnomalyRecipe:
    changes = {
        "network": {"backbone": "small-cnn", "init": "random"},
        "input.size": 32,
        "augmentation": None,
        "fit": {"epochs": 1, "batch_size": 8, "steps_per_epoch": 2, "patience": None},
    }
    return EPIDURAL_ANOMALY.derive(**{f"usual.{name}": value for name, value in changes.items()})


@pytest.fixture(scope="module")
def run(prepared: PreparedSet, recipe: AnomalyRecipe) -> Path:
    out = prepared.path.parent / "run"
    train_model(recipe, prepared.path, out, SILENT, device="cpu")
    return out


def test_it_answers_for_every_slice_and_class(prepared: PreparedSet, run: Path) -> None:
    model = open_run(run)
    assert isinstance(model, TrainedAnomaly)
    data = open_data(prepared.path)
    table = model.predict(data, Part.TEST, SILENT, device="cpu")
    assert table.classes == CLASSES
    rows = stored_splits(prepared).rows(Part.TEST)
    assert len(table) == len(rows)
    assert (table.labels == prepared.labels_of(CLASSES)[rows]).all()
    assert table.restrict((Subtype.EPIDURAL,)).labels.any(), "slices with what it has never seen are measured"
    alone = model.slices.predict(data, Part.TEST, SILENT, population=model.recipe.population, device="cpu")
    others = table.restrict(alone.classes)
    assert others.probabilities == pytest.approx(alone.probabilities, abs=1e-6)


def test_the_density_has_seen_no_epidural(
    prepared: PreparedSet, recipe: AnomalyRecipe, run: Path, tmp_path: Path
) -> None:
    """Where epidural slices show something else, network and density stay the same."""
    bleeding = np.unique(prepared.exams[prepared.labels_of((Subtype.EPIDURAL,))[:, 0]])
    twins = {int(exam[1:]): 5000 + int(exam[1:]) for exam in bleeding.tolist()}
    source = InMemorySource(exams=24, slices=3, twins=twins)
    other = prepare(source, tmp_path / "set", SILENT, workers=1)
    split(other, seed=0, folds=3)
    train_model(recipe, other.path, tmp_path / "a", SILENT, device="cpu")
    one, two = read_density(tmp_path / "a")[0], read_density(run)[0]
    assert (one.means == two.means).all()
    assert (one.whitening == two.whitening).all()
    assert (one.centre, one.spread) == (two.centre, two.spread)


def test_it_goes_on_and_tells_what_is_not_whole(
    prepared: PreparedSet, recipe: AnomalyRecipe, run: Path, tmp_path: Path
) -> None:
    before = (run / DENSITY).stat().st_mtime_ns
    train_model(recipe, prepared.path, run, SILENT, device="cpu")
    assert (run / DENSITY).stat().st_mtime_ns == before
    (tmp_path / "usual").mkdir()
    for name in ("recipe.json", "usual/best.safetensors"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    with pytest.raises(WeightsError, match="lacks density"):
        open_run(tmp_path)
    (tmp_path / DENSITY).write_bytes(b"no")
    with pytest.raises(WeightsError, match="damaged"):
        open_run(tmp_path)


def test_another_grouping_or_training_part_is_another_density(
    prepared: PreparedSet, recipe: AnomalyRecipe, run: Path, tmp_path: Path
) -> None:
    model, data = cast("TrainedAnomaly", open_run(run)).slices, open_data(prepared.path)
    by_class = read_density(run)[0]
    shutil.copytree(run, tmp_path / "run")
    one = recipe.derive(groups="one")
    train_model(one, prepared.path, tmp_path / "run", SILENT, device="cpu")
    assert len(read_density(tmp_path / "run")[0].means) == 1 < len(by_class.means)
    (tmp_path / "run" / DENSITY).write_bytes((run / DENSITY).read_bytes())
    with pytest.raises(WeightsError, match="another network or recipe"):
        open_run(tmp_path / "run")
    fewer = replace(data, patients=tuple(np.unique(prepared.index["patient"].to_numpy().astype(str)).tolist()[::2]))
    fit_anomaly(recipe, model, fewer, tmp_path / "run", SILENT, device="cpu")
    assert not np.array_equal(read_density(tmp_path / "run")[0].means, by_class.means)
    (tmp_path / "run" / DENSITY).write_bytes(b"no")
    fit_anomaly(recipe, model, data, tmp_path / "run", SILENT, device="cpu")
    anew, made_of = read_density(tmp_path / "run")
    assert np.array_equal(anew.means, by_class.means), "a damaged one is made anew"
    assert made_of == read_density(run)[1]


def test_with_everyone_in_training_the_scale_is_the_folds(
    prepared: PreparedSet, recipe: AnomalyRecipe, run: Path, tmp_path: Path
) -> None:
    model, data = cast("TrainedAnomaly", open_run(run)).slices, open_data(prepared.path)
    runs = [tmp_path / str(fold) for fold in range(3)]
    for fold, folder in enumerate(runs):
        folder.mkdir()
        fit_anomaly(recipe, model, replace(data, fold=fold), folder, SILENT, device="cpu")
    densities = [read_density(folder)[0] for folder in runs]
    scale = scales_of_folds(recipe, runs)[""]
    assert scale.centre == sorted(density.centre for density in densities)[1]
    assert scale.spread == sorted(density.spread for density in densities)[1]
    everyone = replace(data, everyone=True)
    fit_anomaly(recipe, model, everyone, tmp_path, SILENT, given=scale, device="cpu")
    density = read_density(tmp_path)[0]
    assert (density.centre, density.spread) == scale
    with pytest.raises(TrainingError, match="hands the folds' scale over"):
        fit_anomaly(recipe, model, everyone, tmp_path, SILENT, device="cpu")


def test_its_digest_is_of_the_scale_too_and_an_empty_part_is_no_crash(
    prepared: PreparedSet, recipe: AnomalyRecipe, run: Path, tmp_path: Path
) -> None:
    model, data = cast("TrainedAnomaly", open_run(run)), open_data(prepared.path)
    for change in ({"centre": 0.5}, {"spread": 2.5}):
        assert replace(model, density=replace(model.density, **change)).digest() != model.digest()
    everyone = replace(data, everyone=True)
    assert model.predict(everyone, Part.TEST, SILENT, device="cpu").probabilities.shape == (0, len(CLASSES))
    with pytest.raises(TrainingError, match="train part has 0 slices without epidural"):
        fit_anomaly(recipe, model.slices, replace(data, patients=()), tmp_path, SILENT, device="cpu")


def test_its_distances_are_single_precision_wherever_it_runs(
    prepared: PreparedSet, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []

    def spied(device: str, precision: str | None = None) -> Fabric:
        asked.append(precision)
        return choose(device, precision)

    monkeypatch.setattr("ichnos.workflows.anomaly.choose", spied)
    open_run(run).predict(open_data(prepared.path), Part.TEST, SILENT, device="cpu")
    assert asked == ["32-true"]


@pytest.mark.slow
def test_it_is_measured_and_becomes_a_bundle_that_agrees(prepared: PreparedSet, run: Path, tmp_path: Path) -> None:
    card = evaluate_run(run, prepared.path, tmp_path / "m", SILENT, EvaluationOptions(resamples=20), device="cpu")
    assert card["levels"]["slice"]["classes"]["epidural"]["auc"]["value"] is not None
    done = export_runs([run], tmp_path / "a.ichnos", SILENT, ExportOptions(data=prepared.path), device="cpu")
    assert done["agreement"] <= 1e-4
    bundle = read_bundle(tmp_path / "a.ichnos")
    assert (bundle.manifest.version, bundle.manifest.has_maps) == (5, False)
    assert "no slice that it was trained on has epidural hemorrhage" in bundle.card


def test_a_network_that_has_seen_it_is_no_detector() -> None:
    with pytest.raises(RecipeError, match="must see all slices but epidural ones"):
        EPIDURAL_ANOMALY.override({"usual.population.without": "[]"})
    with pytest.raises(RecipeError, match="distances are of a slice as it is"):
        EPIDURAL_ANOMALY.override({"usual.test_time": "{}"})
    with pytest.raises(RecipeError, match="would show it as a neighbour"):
        EPIDURAL_ANOMALY.override({"usual.input.neighbours": "1"})
    with pytest.raises(RecipeError, match=r"usual: synthetic\.subtypes draws lesions that .* leaves out: epidural"):
        EPIDURAL_ANOMALY.override({"usual.synthetic": "{}"})
    with pytest.raises(RecipeError, match="one subtype, not `any`"):
        EPIDURAL_ANOMALY.override({"of": "any"})
