"""Grow trees over a slice stage that was trained a little, measure them as one, export one bundle, read an exam."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ichnos.data.sources.phantom import PhantomSource
from ichnos.data.splits import Part
from ichnos.dicom.exams import read_exam
from ichnos.findings import ExamFindings
from ichnos.inference import load_bundle, read_bundle
from ichnos.phantom import RAISED_PREVALENCE, CohortSettings
from ichnos.predictions import Predictions
from ichnos.progress import SILENT
from ichnos.readout import logit
from ichnos.recipe import ExamRecipe
from ichnos.subtypes import CLASSES, Subtype
from ichnos.workflows.folds import FoldOptions, study_folds
from ichnos.workflows.phantom import write_cohort
from ichnos.workflows.prepare import prepare_set
from ichnos.workflows.train import open_data
from ichnos.workflows.trained import open_run
from ichnos.workflows.trained_trees import TrainedTrees, TreesRecord
from tests.stories.running import Ran, ichnos

pytestmark = pytest.mark.slow

SETTINGS = CohortSettings(exams=24, seed=8, prevalence=dict(RAISED_PREVALENCE), matrix=128, slices=(10, 12))

CHANGES = ("network.init=random", "network.backbone=small-cnn", "input.size=64", "synthetic=null", "fit.epochs=1")
CHANGES += ("fit.steps_per_epoch=2", "fit.batch_size=4", "fit.reestimate_batchnorm=true", "fit.patience=null")
CHANGES = tuple(f"slices.{change}" for change in CHANGES)
CHANGES += ("head.rounds=20", "head.patients=2", "head.leaf=3", "head.learning_rate=0.3")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trees")
    cohort = write_cohort(SETTINGS, root / "cohort", SILENT, workers=1)
    prepare_set(PhantomSource(cohort), root / "set", SILENT, workers=1)
    return root / "set"


def trained(prepared: Path, run: Path, *more: str) -> Ran:
    words = [word for change in (*CHANGES, *more) for word in ("--set", change)]
    return ichnos("train", "eleventh_place", "--data", str(prepared), "--out", str(run), "--device", "cpu", *words)


@pytest.fixture(scope="module")
def run(prepared: Path) -> Path:
    out = prepared.parent / "run"
    done = trained(prepared, out)
    assert done.exit_code == 0, done.stderr
    assert "reader: best epoch 1 of 1" in done.stderr
    return out


@pytest.fixture(scope="module")
def bundle(prepared: Path, run: Path) -> Path:
    out = prepared.parent / "trees.ichnos"
    done = ichnos("export", str(run), "--out", str(out), "--data", str(prepared), "--json")
    assert done.exit_code == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["agreement"] <= 1e-4
    assert summary["readout"]["calibrated"]
    return out


def test_a_run_holds_the_trees_and_says_how_they_came_to_be_and_goes_on(prepared: Path, run: Path) -> None:
    record = TreesRecord.found(run / "exam")
    assert record is not None
    assert record.classes == CLASSES
    assert record.rounds[Subtype.ANY] > 0, "nothing was grown: the test shows nothing"
    assert record.fitted_on["of"] == "the run's validation patients"
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*.*")}
    assert trained(prepared, run).exit_code == 0
    after = {path: path.stat().st_mtime_ns for path in run.rglob("*.*")}
    assert {path for path in after if after[path] != before.get(path)} <= {run / "recipe.json"}
    again = prepared.parent / "again"
    shutil.copytree(run, again)
    assert trained(prepared, again, "head.rounds=3").exit_code == 0, "other trees over the same slice stage"
    other = TreesRecord.found(again / "exam")
    assert other is not None
    assert max(other.rounds.values()) <= 3


def test_validation_patients_are_told_what_trees_say_that_have_not_seen_them(prepared: Path, run: Path) -> None:
    data, model = open_data(prepared), open_run(run)
    assert isinstance(model, TrainedTrees)
    for part in (Part.VALIDATION, Part.TEST):
        before = model.slices.predict(data, part, SILENT, device="cpu")
        after = model.predict(data, part, SILENT, device="cpu")
        assert after.slice_name.tolist() == before.slice_name.tolist()
        assert np.abs(after.probabilities - before.probabilities).max() > 0.01, "trees add nothing"
        exam = after.exam[0]
        offsets = after.offset[after.exam == exam]
        graph = run / "exam" / "trees.onnx"
        said = _answers(graph, logit(before.probabilities[before.exam == exam], 1e-15), offsets)
        same = np.allclose(said, logit(after.probabilities[after.exam == exam], 1e-15), atol=1e-4)
        assert same == (part is Part.TEST), "what calibrates is not what the trees were fitted to"


def _answers(graph: Path, logits: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    import onnxruntime as ort

    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    given = {"features": np.zeros((len(logits), 3)), "logits": logits, "offsets": offsets - offsets.min()}
    return session.run(None, {name: value.astype(np.float32) for name, value in given.items()})[0]


def test_it_is_measured_and_read_by_one_bundle(prepared: Path, run: Path, bundle: Path, tmp_path: Path) -> None:
    done = ichnos("evaluate", str(run), "--data", str(prepared), "--out", str(tmp_path / "m"), "--resamples", "20")
    assert done.exit_code == 0, done.stderr
    assert Predictions.read_parquet(tmp_path / "m" / "predictions.parquet").classes == CLASSES
    read = read_bundle(bundle)
    assert read.manifest.version == 5
    assert read.manifest.recipe == ExamRecipe.model_validate_json((run / "recipe.json").read_bytes())
    assert read.exam_network == (run / "exam" / "trees.onnx").read_bytes()
    assert "Over it stand boosted trees (`exam.onnx`), recipe `eleventh_place`: at most 20 trees a class" in read.card
    cohort = CohortSettings(exams=1, seed=77, prevalence=dict(RAISED_PREVALENCE), matrix=128, slices=(20, 20))
    images = write_cohort(cohort, tmp_path / "cohort", SILENT, workers=1) / "stage_2_train"
    done = ichnos("predict", str(images), "--bundle", str(bundle), "--out", str(tmp_path / "out"), "--json")
    assert done.exit_code == 0, done.stderr
    findings = ExamFindings.model_validate_json((tmp_path / "out" / "exam-001" / "findings.json").read_text())
    assert len(findings.slices) == 20
    exam = read_exam(images)
    engine = load_bundle(bundle)._engine
    whole, alone = engine.run(exam.hu, exam.offsets), engine.run(exam.hu[5:6], exam.offsets[5:6])
    assert alone.logits.shape == (1, 6)
    assert np.isfinite(alone.logits).all(), "an exam of one slice"
    assert np.abs(alone.logits[0] - whole.logits[5]).max() > 1e-3, "what lies beside a slice counts"


def test_trees_over_another_slice_stage_and_damaged_ones_are_not_opened(run: Path, tmp_path: Path) -> None:
    mixed = tmp_path / "mixed"
    shutil.copytree(run, mixed)
    shutil.copyfile(run / "slices" / "last.safetensors", mixed / "slices" / "best.safetensors")
    done = ichnos("export", str(mixed), "--out", str(tmp_path / "b"))
    assert done.exit_code == 1
    assert "were grown over another slice stage" in done.stderr
    shutil.copyfile(run / "slices" / "best.safetensors", mixed / "slices" / "best.safetensors")
    (mixed / "exam" / "trees.onnx").write_bytes((run / "exam" / "trees.onnx").read_bytes()[:-1])
    done = ichnos("export", str(mixed), "--out", str(tmp_path / "b"))
    assert done.exit_code == 1
    assert "has no trees yet, or they are damaged" in done.stderr


@pytest.mark.usefixtures("undrawn")
def test_folds_grow_the_final_trees_out_of_fold(prepared: Path, run: Path, tmp_path: Path) -> None:
    recipe = ExamRecipe.model_validate_json((run / "recipe.json").read_bytes())
    study_folds(
        recipe, prepared, tmp_path, SILENT, FoldOptions(folds=3, bundle=tmp_path / "final.ichnos"), device="cpu"
    )
    record = TreesRecord.found(tmp_path / "final" / "exam")
    assert record is not None
    everyone = Predictions.read_parquet(tmp_path / "out_of_fold.parquet")
    of = "all patients, each by the fold that has not seen them"
    assert record.fitted_on == {"of": of, "patients": len(np.unique(everyone.patient)), "slices": len(everyone)}
    assert read_bundle(tmp_path / "final.ichnos").exam_network is not None
