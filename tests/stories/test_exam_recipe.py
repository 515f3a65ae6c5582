"""Train a slice stage and a network of exams a little, measure them as one, export one bundle, read an exam with it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ichnos.data.set import PreparedSet
from ichnos.data.sources.phantom import PhantomSource
from ichnos.data.splits import Part, stored_splits
from ichnos.dicom.exams import read_exam
from ichnos.findings import ExamFindings
from ichnos.inference import load_bundle, read_bundle
from ichnos.phantom import RAISED_PREVALENCE, CohortSettings
from ichnos.predictions import Predictions
from ichnos.progress import SILENT
from ichnos.recipe import ExamRecipe
from ichnos.subtypes import CLASSES
from ichnos.workflows.phantom import write_cohort
from ichnos.workflows.prepare import prepare_set
from tests.stories.running import Ran, ichnos

SETTINGS = CohortSettings(exams=10, seed=8, prevalence=dict(RAISED_PREVALENCE), matrix=128, slices=(10, 12))

CHANGES = ("input.size=64", "synthetic=null", "fit.epochs=1", "fit.steps_per_epoch=2")
CHANGES += ("fit.batch_size=4", "fit.patience=null")
CHANGES = (*(f"slices.{change}" for change in CHANGES), "fit.epochs=2", "head.hidden=4")

pytestmark = pytest.mark.slow
"""Laws, training, export and the engine have quick tests of their own: models/, training/ and inference/test_exam_*."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("exam")
    cohort = write_cohort(SETTINGS, root / "cohort", SILENT, workers=1)
    prepare_set(PhantomSource(cohort), root / "set", SILENT, workers=1)
    return root / "set"


def trained(prepared: Path, run: Path, *more: str, recipe: str = "bigru") -> Ran:
    words = [word for change in (*CHANGES, *more) for word in ("--set", change)]
    return ichnos("train", recipe, "--data", str(prepared), "--out", str(run), "--device", "cpu", *words)


@pytest.fixture(scope="module")
def run(prepared: Path) -> Path:
    out = prepared.parent / "run"
    done = trained(prepared, out)
    assert done.exit_code == 0, done.stderr
    assert "reader: best epoch 1 of 1" in done.stderr
    assert "bigru, exam: best epoch" in done.stderr
    return out


@pytest.fixture(scope="module")
def bundle(prepared: Path, run: Path) -> Path:
    out = prepared.parent / "exam.ichnos"
    done = ichnos("export", str(run), "--out", str(out), "--data", str(prepared), "--json")
    assert done.exit_code == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["agreement"] <= 1e-4
    assert summary["readout"]["calibrated"]
    return out


def test_a_run_holds_the_slice_stage_and_the_head_and_goes_on(prepared: Path, run: Path) -> None:
    recipe = ExamRecipe.model_validate_json((run / "recipe.json").read_bytes())
    assert (recipe.slices.stages[""].input.size, recipe.head.hidden) == (64, 4)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*.safetensors")}
    assert {path.parent.name for path in before} == {"slices", "exam"}
    assert trained(prepared, run).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*.safetensors")} == before
    other = trained(prepared, run, "fit.epochs=3")
    assert other.exit_code == 1
    assert "holds a run of another recipe (fit.epochs: 2 there, 3 here)" in other.stderr


def test_it_is_measured_on_whole_exams(prepared: Path, run: Path, tmp_path: Path) -> None:
    done = ichnos("evaluate", str(run), "--data", str(prepared), "--out", str(tmp_path / "m"), "--json")
    assert done.exit_code == 0, done.stderr
    table = Predictions.read_parquet(tmp_path / "m" / "predictions.parquet")
    made = PreparedSet(prepared)
    rows = stored_splits(made).rows(Part.TEST)
    assert table.classes == CLASSES
    assert table.slice_name.tolist() == made.index["name"].to_numpy()[np.sort(rows)].tolist()
    np.testing.assert_array_equal(table.labels, made.labels_of(CLASSES)[np.sort(rows)])
    other = ichnos("evaluate", str(run), "--data", str(prepared), "--out", str(tmp_path / "n"), "--fold", "1")
    assert (other.exit_code, "another split" in other.stderr) == (2, True)


def test_a_head_over_another_slice_stage_is_not_opened(prepared: Path, run: Path, tmp_path: Path) -> None:
    mixed = tmp_path / "mixed"
    shutil.copytree(run, mixed)
    shutil.rmtree(mixed / "slices")
    done = ichnos("export", str(mixed), "--out", str(tmp_path / "b"))
    assert done.exit_code == 1
    shutil.copytree(run / "slices", mixed / "slices")
    shutil.copyfile(run / "slices" / "last.safetensors", mixed / "slices" / "best.safetensors")
    done = ichnos("export", str(mixed), "--out", str(tmp_path / "b"))
    assert done.exit_code == 1
    assert "was trained over another slice stage" in done.stderr


def test_the_bundle_says_that_it_has_an_exam_network(run: Path, bundle: Path) -> None:
    read = read_bundle(bundle)
    assert read.manifest.version == 5
    assert read.manifest.recipe == ExamRecipe.model_validate_json((run / "recipe.json").read_bytes())
    assert read.exam_network is not None
    assert "Over it stands a network of whole exams (`exam.onnx`), recipe `bigru`: GRU in both directions" in read.card


def test_an_exam_is_read(bundle: Path, tmp_path: Path) -> None:
    cohort = CohortSettings(exams=1, seed=77, prevalence=dict(RAISED_PREVALENCE), matrix=128, slices=(20, 20))
    images = write_cohort(cohort, tmp_path / "cohort", SILENT, workers=1) / "stage_2_train"
    done = ichnos("predict", str(images), "--bundle", str(bundle), "--out", str(tmp_path / "out"), "--json")
    assert done.exit_code == 0, done.stderr
    findings = ExamFindings.model_validate_json((tmp_path / "out" / "exam-001" / "findings.json").read_text())
    assert len(findings.slices) == 20
    reading = load_bundle(bundle).read(read_exam(images))
    assert (reading.maps.shape, reading.features.shape) == ((20, 6, 2, 2), (20, 1280))


def test_the_kinds_do_not_share_a_folder(prepared: Path, run: Path) -> None:
    done = ichnos("train", "paper_model_2", "--data", str(prepared), "--out", str(run), "--device", "cpu")
    assert done.exit_code == 1
    assert "holds a run of an exam network, this recipe is of one model" in done.stderr
