"""Train the members of an ensemble a little, measure them as one, export one bundle, read an exam with it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ichnos import recipes
from ichnos.data.sources.phantom import PhantomSource
from ichnos.data.splits import Part
from ichnos.dicom.exams import read_exam
from ichnos.evaluation.combination import FittedCombination
from ichnos.findings import ExamFindings
from ichnos.inference import load_bundle, read_bundle
from ichnos.inference.engine import Engine
from ichnos.inputs import to_matrix
from ichnos.phantom import RAISED_PREVALENCE, CohortSettings
from ichnos.predictions import Predictions
from ichnos.progress import SILENT
from ichnos.readout import logit, sigmoid
from ichnos.recipe import EnsembleRecipe
from ichnos.subtypes import CLASSES
from ichnos.workflows.folds import FoldOptions, study_folds
from ichnos.workflows.phantom import write_cohort
from ichnos.workflows.prepare import prepare_set
from ichnos.workflows.train import open_data
from ichnos.workflows.trained import open_run
from tests.stories.running import Ran, ichnos

pytestmark = pytest.mark.slow

SETTINGS = CohortSettings(exams=10, seed=8, prevalence=dict(RAISED_PREVALENCE), matrix=128, slices=(10, 12))
UNSEEN = CohortSettings(exams=1, seed=77, prevalence=dict(RAISED_PREVALENCE), matrix=128, slices=(20, 20))

SMALL = {"network.backbone": "small-cnn", "network.init": "random", "fit.epochs": 1, "fit.steps_per_epoch": 2}
SMALL |= {"fit.batch_size": 4, "fit.reestimate_batchnorm": True, "input.size": 64}

MINE = f'''"""Three members, the last of which is a cascade."""
from ichnos.recipe import EnsembleRecipe
from ichnos.recipes.cascade import RECIPE as CASCADE
from ichnos.recipes.neighbours import RECIPE as NEIGHBOURS
from ichnos.recipes.three_windows import RECIPE as THREE_WINDOWS
SMALL = {SMALL!r}
STAGES = {{f"{{stage}}.{{field}}": value for stage in ("gate", "subtypes") for field, value in SMALL.items()}}
RECIPE = EnsembleRecipe(
    name="mine",
    title="Mine",
    members={{
        "near": NEIGHBOURS.derive(**SMALL),
        "wide": THREE_WINDOWS.derive(**SMALL | {{"input.size": 128}}),
        "two": CASCADE.derive(**STAGES, **{{"gate.synthetic": None}}),
    }},
)
'''


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ensemble")
    cohort = write_cohort(SETTINGS, root / "cohort", SILENT, workers=1)
    prepare_set(PhantomSource(cohort), root / "set", SILENT, workers=1)
    (root / "mine.py").write_text(MINE)
    return root / "set"


def trained(prepared: Path, run: Path, *changes: str) -> Ran:
    words = [word for change in changes for word in ("--set", change)]
    recipe = str(prepared.parent / "mine.py")
    return ichnos("train", recipe, "--data", str(prepared), "--out", str(run), "--device", "cpu", *words)


@pytest.fixture(scope="module")
def run(prepared: Path) -> Path:
    out = prepared.parent / "run"
    done = trained(prepared, out)
    assert done.exit_code == 0, done.stderr
    assert "neighbours: best epoch 1 of 1" in done.stderr
    assert "cascade_subtypes: best epoch 1 of 1" in done.stderr
    return out


@pytest.fixture(scope="module")
def joined(prepared: Path, run: Path) -> dict[str, Path]:
    """The same members, joined in other ways: copies, as training does not train them again."""
    runs = {"mean": run}
    for combine in ("rank", "stacking"):
        runs[combine] = run.parent / combine
        shutil.copytree(run, runs[combine])
        assert trained(prepared, runs[combine], f"combine={combine}").exit_code == 0
    return runs


def test_one_bundle_of_all_members_reads_an_exam(prepared: Path, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "ensemble.ichnos"
    done = ichnos("export", str(run), "--out", str(out), "--data", str(prepared), "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["agreement"] <= 1e-4
    read = read_bundle(out)
    assert (read.manifest.version, read.manifest.map_side) == (5, 8)
    assert read.manifest.recipe == EnsembleRecipe.model_validate_json((run / "recipe.json").read_bytes())
    assert "An ensemble, recipe `mine`: 3 members" in read.card
    assert "- `near`: small-cnn at 64 pixels" in read.card
    assert "- `two`, second stage: small-cnn at 64 pixels" in read.card
    images = write_cohort(UNSEEN, tmp_path / "cohort", SILENT, workers=1) / "stage_2_train"
    done = ichnos("predict", str(images), "--bundle", str(out), "--out", str(tmp_path / "out"), "--json")
    assert done.exit_code == 0, done.stderr
    findings = ExamFindings.model_validate_json((tmp_path / "out" / "exam-001" / "findings.json").read_text())
    assert len(findings.slices) == 20
    reading = load_bundle(out).read(read_exam(images))
    assert reading.outputs == CLASSES
    assert reading.maps is not None
    assert reading.maps.shape == (20, 6, 8, 8), "every member's map is brought to the finest one's size"


def test_a_weighted_mean_is_trained_exported_and_reads_an_exam(prepared: Path, run: Path, tmp_path: Path) -> None:
    """Three parts of `near` to one of each of the others: what the members say by themselves is the measure."""
    weighed, out = tmp_path / "weighed", tmp_path / "weighed.ichnos"
    shutil.copytree(run, weighed)
    assert trained(prepared, weighed, 'weights={"near": 3}').exit_code == 0
    data = open_data(prepared)
    members = [open_run(weighed / "members" / name) for name in ("near", "wide", "two")]
    said = [logit(m.predict(data, Part.TEST, SILENT, device="cpu").probabilities, certain=1e-15) for m in members]
    measured = open_run(weighed).predict(data, Part.TEST, SILENT, device="cpu").probabilities
    np.testing.assert_allclose(measured, sigmoid(np.average(said, axis=0, weights=(3, 1, 1))), atol=1e-9)
    assert not np.allclose(measured, sigmoid(np.mean(said, axis=0)), atol=1e-4), "the weights change something"

    done = ichnos("export", str(weighed), "--out", str(out), "--data", str(prepared), "--json")
    assert done.exit_code == 0, done.stderr
    images = write_cohort(UNSEEN, tmp_path / "cohort", SILENT, workers=1) / "stage_2_train"
    hu = np.stack([to_matrix(each) for each in read_exam(images).hu])
    answers = sigmoid(Engine(read_bundle(out)).run(hu).logits.astype(np.float64))
    np.testing.assert_allclose(
        answers, sigmoid(np.average([m.logits(hu) for m in members], axis=0, weights=(3, 1, 1))), atol=1e-4
    )
    done = ichnos("predict", str(images), "--bundle", str(out), "--out", str(tmp_path / "out"))
    assert done.exit_code == 0, done.stderr
    findings = ExamFindings.model_validate_json((tmp_path / "out" / "exam-001" / "findings.json").read_text())
    assert len(findings.slices) == 20


@pytest.mark.parametrize("combine", ["rank", "stacking"])
def test_what_is_fitted_is_fitted_on_validation_patients_and_exported(
    combine: str, prepared: Path, joined: dict[str, Path], tmp_path: Path
) -> None:
    fitted = FittedCombination.model_validate_json((joined[combine] / "combination.json").read_bytes())
    assert not (joined["mean"] / "combination.json").exists()
    data = open_data(prepared)
    rows = data.rows(open_run(joined[combine]).recipe.population, Part.VALIDATION)
    assert fitted.fitted_on["slices"] == len(rows)
    assert fitted.members == ("near", "wide", "two")
    done = ichnos("export", str(joined[combine]), "--out", str(tmp_path / "b"), "--data", str(prepared), "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["agreement"] <= 1e-4


def test_it_is_measured_as_its_members_joined(prepared: Path, joined: dict[str, Path]) -> None:
    data = open_data(prepared)
    members = [open_run(joined["mean"] / "members" / name) for name in ("near", "wide", "two")]
    said = [logit(m.predict(data, Part.TEST, SILENT, device="cpu").probabilities, certain=1e-15) for m in members]
    whole = {how: open_run(run).predict(data, Part.TEST, SILENT, device="cpu") for how, run in joined.items()}
    np.testing.assert_allclose(whole["mean"].probabilities, sigmoid(np.mean(said, axis=0)), atol=1e-9)
    digests = {open_run(run).digest() for run in joined.values()}
    assert len(digests) == 3, "a scorecard names how the members are joined, too"
    done = ichnos("evaluate", str(joined["rank"]), "--data", str(prepared), "--out", str(prepared.parent / "m"))
    assert done.exit_code == 0, done.stderr
    table = Predictions.read_parquet(prepared.parent / "m" / "predictions.parquet")
    np.testing.assert_allclose(table.probabilities, whole["rank"].probabilities, atol=1e-9)


def test_a_run_goes_on_and_joins_anew_what_is_trained_anew(prepared: Path, joined: dict[str, Path]) -> None:
    files = {path: path.stat().st_mtime_ns for path in joined["stacking"].rglob("best.safetensors")}
    written = (joined["stacking"] / "combination.json").stat().st_mtime_ns
    assert trained(prepared, joined["stacking"], "combine=stacking").exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert (joined["stacking"] / "combination.json").stat().st_mtime_ns == written
    tree = json.loads((joined["stacking"] / "combination.json").read_text())
    (joined["stacking"] / "combination.json").write_text(json.dumps(tree | {"checkpoints": "of others"}))
    assert trained(prepared, joined["stacking"], "combine=stacking").exit_code == 0
    assert json.loads((joined["stacking"] / "combination.json").read_text()) == tree


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda run: (run / "recipe.json").unlink(), "is an ensemble whose training has not ended"),
        (lambda run: (run / "combination.json").unlink(), "lacks combination.json"),
        (
            lambda run: (run / "combination.json").write_text(
                json.dumps(json.loads((run / "combination.json").read_text()) | {"checkpoints": "of others"})
            ),
            "was fitted on other weights than the members'",
        ),
        (lambda run: (run / "combination.json").write_text("{}"), "combination.json is damaged"),
        (lambda run: (run / "recipe.json").write_text("{}"), "does not fit the run"),
        (lambda run: (run / "members" / "near" / "best.safetensors").unlink(), "no checkpoint at"),
    ],
)
def test_a_run_that_is_not_whole_is_refused(
    joined: dict[str, Path], tmp_path: Path, damage: Callable[[Path], None], complaint: str
) -> None:
    shutil.copytree(joined["rank"], tmp_path / "run")
    damage(tmp_path / "run")
    done = ichnos("export", str(tmp_path / "run"), "--out", str(tmp_path / "b"))
    assert done.exit_code == 1
    assert complaint in done.stderr


def test_runs_of_other_kinds_do_not_share_its_folder(prepared: Path, run: Path) -> None:
    one = ichnos("train", "model_2_any", "--data", str(prepared), "--out", str(run))
    assert one.exit_code == 1
    assert "holds a run of an ensemble, this recipe is of one model" in one.stderr
    two = ichnos("export", str(run), str(run / "members" / "near"), "--out", str(run / "b"))
    assert two.exit_code == 1
    assert "is an ensemble's run, which becomes a bundle by itself" in two.stderr


@pytest.mark.usefixtures("undrawn")
def test_folds_fit_it_out_of_fold_for_the_final_model(prepared: Path, tmp_path: Path) -> None:
    recipe = recipes.find(str(prepared.parent / "mine.py")).recipe
    assert isinstance(recipe, EnsembleRecipe)
    two = EnsembleRecipe(
        name="two", title="Two", combine="stacking", members={n: recipe.members[n] for n in ("near", "wide")}
    )
    options = FoldOptions(folds=3, bundle=tmp_path / "b.ichnos")
    card = study_folds(two, prepared, tmp_path / "study", SILENT, options, device="cpu")
    assert card["folds"][0]["best_epoch"] == {"members/near": 1, "members/wide": 1}
    each = FittedCombination.model_validate_json((tmp_path / "study/fold-0/combination.json").read_bytes())
    final = FittedCombination.model_validate_json((tmp_path / "study/final/combination.json").read_bytes())
    assert final.fitted_on["slices"] == card["slices"]["n"]
    assert final.combination != each.combination
    assert read_bundle(tmp_path / "b.ichnos").manifest.scorecard_is_of == "the procedure"
