"""Train a little on a synthetic cohort, export a bundle, open it, read an exam that it has not seen."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import ichnos as package
from ichnos.data.set import PreparedSet
from ichnos.data.sources.phantom import PhantomSource
from ichnos.errors import BundleError, InputError, UsageError
from ichnos.findings import ExamFindings
from ichnos.inference import read_bundle
from ichnos.phantom import RAISED_PREVALENCE, CohortSettings, make_exam
from ichnos.predictions import OUT_OF_FOLD, Predictions
from ichnos.progress import SILENT
from ichnos.subtypes import CLASSES, SUBTYPES, Subtype
from ichnos.workflows.export import ExportOptions, export_runs
from ichnos.workflows.phantom import write_cohort
from ichnos.workflows.predict import classify, write_findings
from ichnos.workflows.prepare import prepare_set
from tests.inference.networks import brightness
from tests.stories.running import ichnos

SETTINGS = CohortSettings(exams=10, seed=8, prevalence=dict(RAISED_PREVALENCE), matrix=128, slices=(10, 12))

SHORT = ("input.size=64", "population.slices=all", "network.init=phantom", "fit.epochs=1", "fit.steps_per_epoch=2")
SHORT += ("fit.batch_size=4", "sampling=natural")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bundle")
    cohort = write_cohort(SETTINGS, root / "cohort", SILENT, workers=1)
    prepare_set(PhantomSource(cohort), root / "set", SILENT, workers=1)
    return root / "set"


def head() -> NDArray[np.int16]:
    return make_exam(CohortSettings(1, 99, matrix=128, slices=(20, 20)), 0).hu


def trained(prepared: Path, name: str, *changes: str) -> Path:
    run = prepared.parent / name
    words = [word for change in (*SHORT, *changes) for word in ("--set", change)]
    done = ichnos("train", "paper_model_2", "--data", str(prepared), "--out", str(run), "--device", "cpu", *words)
    assert done.exit_code == 0, done.stderr
    return run


@pytest.fixture(scope="module")
def run(prepared: Path) -> Path:
    return trained(prepared, "run", f"classes={json.dumps([c.value for c in CLASSES])}")


SMALL = (f"classes={json.dumps([c.value for c in CLASSES])}", "network.backbone=small-cnn", "network.init=random")
"""For what holds of any network: this one is exported in a fraction of the time."""


@pytest.fixture(scope="module")
def small(prepared: Path) -> Path:
    return trained(prepared, "small", *SMALL)


@pytest.fixture(scope="module")
def bundle(prepared: Path, run: Path) -> Path:
    out = prepared.parent / "small.ichnos"
    done = ichnos("export", str(run), "--out", str(out), "--data", str(prepared), "--title", "Small", "--json")
    assert done.exit_code == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["agreement"] <= 1e-4
    assert summary["readout"]["calibrated"]
    return out


def test_the_bundle_says_what_it_was_made_of(prepared: Path, bundle: Path) -> None:
    manifest = read_bundle(bundle).manifest
    header = PreparedSet(prepared).header
    assert manifest.data is not None
    assert (manifest.data.source, manifest.data.fingerprint) == ("phantom", header.fingerprint)
    assert manifest.readout.classes == CLASSES
    assert manifest.licence == manifest.data.licence == "Apache-2.0", "the phantom's own"
    assert manifest.fitted_on is not None
    assert 0 < manifest.fitted_on.slices < header.slices / 2, "calibrated on the validation part alone"
    assert manifest.scorecard is None
    shown = ichnos("bundle", "show", str(bundle))
    assert shown.exit_code == 0
    for words in ("# Small", "Not a medical device", "synthetic images", "quality was not measured", "Epidural"):
        assert words in shown.stdout
    assert json.loads(ichnos("bundle", "show", str(bundle), "--json").stdout)["title"] == "Small"


def test_an_unseen_exam_is_read(bundle: Path, tmp_path: Path) -> None:
    exam = make_exam(CohortSettings(exams=1, seed=99, prevalence=dict(RAISED_PREVALENCE), slices=(20, 20)), 0)
    offsets = np.arange(len(exam.hu)) * 7.5
    words = {"pixel_spacing": exam.pixel_spacing, "name": "exam 1", "doubts": ["made up"]}
    findings = package.load_bundle(bundle).classify(exam.hu, offsets, **words)
    assert [each.subtype for each in findings.subtypes] == list(SUBTYPES)
    assert len(findings.slices) == 20
    assert findings.slices[-1].offset_mm == offsets[-1]
    assert findings.doubts == ("made up",)
    assert findings.any.probability >= max(each.probability for each in findings.subtypes)
    assert classify(exam.hu, offsets, bundle=bundle, **words) == findings
    path = write_findings(findings, tmp_path / "out")
    assert ExamFindings.model_validate_json(path.read_text()) == findings


def test_weights_in_16_bits_make_half_a_file_and_the_same_findings(prepared: Path, run: Path, bundle: Path) -> None:
    out = prepared.parent / "half.ichnos"
    words = ("--data", str(prepared), "--title", "Small", "--weights", "int16", "--json")
    done = ichnos("export", str(run), "--out", str(out), *words)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["agreement"] <= 1e-4
    assert out.stat().st_size < 0.55 * bundle.stat().st_size
    assert "stored in 16 bits" in ichnos("bundle", "show", str(out)).stdout
    assert "stored in 16 bits" not in ichnos("bundle", "show", str(bundle)).stdout
    full, half = (package.load_bundle(each).classify(head()) for each in (bundle, out))
    said = [[e.probability for e in (f.any, *f.subtypes)] for f in (full, half)]
    np.testing.assert_allclose(said[1], said[0], atol=1e-4)


def test_reading_needs_no_torch(bundle: Path) -> None:
    heavy = ("torch", "scipy", "sklearn", "polars", "matplotlib", "blosc2", "onnx", "monai")
    program = (
        f"import sys, ichnos; from ichnos.phantom import CohortSettings, make_exam;"
        f"e = make_exam(CohortSettings(1, 99, matrix=128, slices=(20, 20)), 0).hu;"
        f"print(ichnos.load_bundle({str(bundle)!r}).classify(e).any.probability);"
        f"print(*[m for m in {heavy!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    assert 0 <= float(done.stdout.splitlines()[0]) <= 1
    assert done.stdout.splitlines()[1:] == [""]
    assert done.stderr == ""


@pytest.mark.slow
def test_two_exports_are_the_same_bytes_and_none_is_replaced_unasked(
    prepared: Path, small: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "small.ichnos"
    words = ("export", str(small), "--out", str(bundle), "--data", str(prepared), "--title", "Small")
    assert ichnos(*words).exit_code == 0
    before = bundle.read_bytes()
    refused = ichnos(*words)
    assert refused.exit_code == 1
    assert "--force" in refused.stderr
    assert ichnos(*words, "--force").exit_code == 0
    assert bundle.read_bytes() == before


@pytest.mark.slow
def test_without_data_it_is_not_calibrated_and_says_so(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "raw.ichnos"
    done = ichnos("export", str(small), "--out", str(out))
    assert done.exit_code == 0
    assert "not calibrated" in done.stderr
    assert "Not calibrated" in read_bundle(out).card
    assert read_bundle(out).manifest.licence == "not stated"
    findings = classify(head(), bundle=out)
    assert "not calibrated" in findings.doubts[-1]
    assert not findings.source.calibrated


@pytest.mark.slow
def test_a_run_and_its_bundle_submit_alike(prepared: Path, small: Path, tmp_path: Path) -> None:
    raw, files = tmp_path / "raw.ichnos", [tmp_path / "run.csv", tmp_path / "bundle.csv"]
    assert ichnos("export", str(small), "--out", str(raw)).exit_code == 0
    for model, file in zip((small, raw), files, strict=True):
        done = ichnos("submit", str(model), "--data", str(prepared), "--out", str(file), "--allow-seen")
        assert done.exit_code == 0, done.stderr
    one, two = ([line.rsplit(",", 1) for line in file.read_text().splitlines()[1:]] for file in files)
    assert [name for name, _ in one] == [name for name, _ in two]
    assert len(one) == 6 * PreparedSet(prepared).header.slices
    differences = [abs(float(p) - float(q)) for (_, p), (_, q) in zip(one, two, strict=True)]
    assert max(differences) < 1e-3, "an uncalibrated bundle says what its network says"


@pytest.mark.slow
def test_a_scorecard_is_embedded(prepared: Path, small: Path, tmp_path: Path) -> None:
    measured = ichnos("evaluate", str(small), "--data", str(prepared), "--out", str(tmp_path / "measured"))
    assert measured.exit_code == 0
    card = str(tmp_path / "measured" / "scorecard.json")
    told = json.loads(Path(card).read_text())
    assert list(told["levels"]) == ["slice", "exam", "patient"]
    assert "validation patients" in told["model"]["operating_points"]
    assert "held-out test patients" in (tmp_path / "measured" / "report.html").read_text()
    out = tmp_path / "measured.ichnos"
    assert ichnos("export", str(small), "--out", str(out), "--data", str(prepared), "--scorecard", card).exit_code == 0
    read = read_bundle(out)
    assert read.manifest.scorecard_is_of == "this model"
    assert read.manifest.scorecard is not None
    assert read.manifest.scorecard["part"] == "test"
    assert "slice AUC" in read.card
    tree = json.loads(Path(card).read_text())
    Path(card).write_text(json.dumps(tree | {"checkpoint": "0" * 64}))
    other = tmp_path / "other.ichnos"
    assert ichnos("export", str(small), "--out", str(other), "--scorecard", card).exit_code == 0
    assert read_bundle(other).manifest.scorecard_is_of == "the procedure", "a run of the same name is another model"


@pytest.mark.slow
def test_five_subtypes_derive_any(prepared: Path, tmp_path: Path) -> None:
    five = trained(prepared, "small-five", *SMALL[1:])
    out = tmp_path / "five.ichnos"
    assert ichnos("export", str(five), "--out", str(out), "--data", str(prepared)).exit_code == 0
    readout = read_bundle(out).manifest.readout
    assert readout.any_rule in ("noisy-or", "max")
    findings = classify(head(), bundle=out)
    assert findings.any.subtype is Subtype.ANY


@pytest.mark.slow
def test_positives_only_can_be_exported_but_not_used_on_exams(prepared: Path, tmp_path: Path) -> None:
    positives = trained(prepared, "positives", *SMALL[1:], "population.slices=positives")
    out = tmp_path / "positives.ichnos"
    done = ichnos("export", str(positives), "--out", str(out), "--data", str(prepared))
    assert done.exit_code == 0, done.stderr
    assert "**Not for exams.**" in read_bundle(out).card
    with pytest.raises(BundleError, match="has never seen a normal slice"):
        classify(head(), bundle=out)
    refused = ichnos("predict", str(prepared), "--bundle", str(out), "--out", str(tmp_path / "refused"))
    assert refused.exit_code == 1
    assert "has never seen a normal slice" in refused.stderr
    assert not (tmp_path / "refused").exists()


def test_another_fold_than_the_runs_own_is_refused(prepared: Path, run: Path, tmp_path: Path) -> None:
    done = ichnos("export", str(run), "--out", str(tmp_path / "b"), "--data", str(prepared), "--fold", "1")
    assert done.exit_code == 1
    assert "may have learnt from them" in done.stderr
    assert not (tmp_path / "b").exists()


def test_runs_of_other_classes_do_not_go_together(prepared: Path, run: Path, tmp_path: Path) -> None:
    five = trained(prepared, "five")
    done = ichnos("export", str(run), str(five), "--out", str(tmp_path / "b"))
    assert done.exit_code == 1
    assert "export them one by one" in done.stderr


@pytest.mark.slow
def test_two_runs_become_one_bundle_calibrated_together(prepared: Path, small: Path, tmp_path: Path) -> None:
    other = trained(prepared, "other", *SMALL, "fit.seed=1")
    out = tmp_path / "two.ichnos"
    done = ichnos("export", str(small), str(other), "--out", str(out), "--data", str(prepared), "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["agreement"] <= 1e-4
    manifest = read_bundle(out).manifest
    assert manifest.networks == 2
    assert manifest.readout.calibrated


@pytest.mark.parametrize("line", ["", "x" * 121, "two\nlines"])
def test_a_line_that_a_bundle_cannot_hold_is_refused_before_the_work(run: Path, tmp_path: Path, line: str) -> None:
    with pytest.raises(UsageError, match=r"--demonstration wants one line of 1 to 120 characters, got \d+ character"):
        export_runs([run], tmp_path / "b", SILENT, ExportOptions(demonstration=line))
    with pytest.raises(UsageError, match="--title wants"):
        export_runs([run], tmp_path / "b", SILENT, ExportOptions(title=line or "x" * 200))


@pytest.mark.slow
def test_given_predictions_calibrate_instead(prepared: Path, small: Path, tmp_path: Path) -> None:
    measured = ichnos("evaluate", str(small), "--data", str(prepared), "--out", str(tmp_path / "m"), "--device", "cpu")
    assert measured.exit_code == 0
    table = tmp_path / "m" / "predictions.parquet"
    options = ExportOptions(calibration=table)
    with pytest.raises(InputError, match=r"predictions\.parquet holds predictions of test patients"):
        export_runs([small], tmp_path / "b", SILENT, options)
    test = Predictions.read_parquet(table)
    replace(test, part=None).write_parquet(table)
    with pytest.raises(InputError, match=r"predictions\.parquet does not say of which patients"):
        export_runs([small], tmp_path / "b", SILENT, options)
    assert not (tmp_path / "b").exists()
    replace(test, part=OUT_OF_FOLD).write_parquet(table)
    export_runs([small], tmp_path / "b", SILENT, options)
    manifest = read_bundle(tmp_path / "b").manifest
    assert manifest.fitted_on is not None
    assert manifest.fitted_on.origin == "predictions.parquet, out-of-fold, as given at export"
    assert manifest.fitted_on.slices == len(Predictions.read_parquet(table))
    assert manifest.data is None


def test_predictions_of_other_classes_calibrate_nothing(run: Path, tmp_path: Path) -> None:
    one = np.array(["a"])
    table = Predictions((Subtype.SUBDURAL,), one, one, one, np.zeros(1), np.full((1, 1), 0.5), np.ones((1, 1), bool))
    table.write_parquet(tmp_path / "p.parquet")
    done = ichnos("export", str(run), "--out", str(tmp_path / "b"), "--calibration", str(tmp_path / "p.parquet"))
    assert done.exit_code == 1
    assert "p.parquet is of the classes subdural, the runs are of epidural" in done.stderr
    (tmp_path / "p.parquet").write_bytes(b"torn")
    done = ichnos("export", str(run), "--out", str(tmp_path / "b"), "--calibration", str(tmp_path / "p.parquet"))
    assert done.exit_code == 1
    assert "cannot be read" in done.stderr


def test_a_scorecard_that_is_none(run: Path, tmp_path: Path) -> None:
    for content, complaint in (("[]", "is no scorecard"), ("{", "absent or damaged")):
        (tmp_path / "s.json").write_text(content)
        done = ichnos("export", str(run), "--out", str(tmp_path / "b"), "--scorecard", str(tmp_path / "s.json"))
        assert done.exit_code == 1
        assert complaint in done.stderr


def test_a_network_that_disagrees_is_not_written(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ichnos.workflows.export.exported", lambda _: brightness().SerializeToString())
    done = ichnos("export", str(run), "--out", str(tmp_path / "b"))
    assert done.exit_code == 1
    assert "no bundle was written" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_predict_reads_what_lies_under_a_folder(prepared: Path, bundle: Path, tmp_path: Path) -> None:
    cohort = CohortSettings(exams=2, seed=77, prevalence=dict(RAISED_PREVALENCE), matrix=128, slices=(20, 22))
    images = write_cohort(cohort, tmp_path / "cohort", SILENT, workers=1) / "stage_2_train"
    (images / "torn.dcm").write_bytes(next(images.glob("*.dcm")).read_bytes()[:300])
    out = tmp_path / "out"
    words = ("predict", str(images), "--bundle", str(bundle), "--out", str(out))
    done = ichnos(*words, "--json")
    assert done.exit_code == 3, done.stderr
    summary = json.loads(done.stdout)
    assert [exam["findings"] for exam in summary["exams"]] == ["exam-001/findings.json", "exam-002/findings.json"]
    (torn,) = summary["unreadable"]
    assert torn["reason"].startswith("it is cut short in its header")
    found = ExamFindings.model_validate_json((out / "exam-001" / "findings.json").read_text())
    assert len(found.slices) == summary["exams"][0]["geometry"]["slices"]
    assert json.loads((out / "summary.json").read_text()) == summary
    assert "ID_" not in done.stdout + done.stderr + (out / "exam-001" / "findings.json").read_text()

    again = ichnos(*words)
    assert again.exit_code == 1
    assert "--force" in again.stderr
    before = (out / "exam-001" / "findings.json").read_bytes()
    forced = ichnos(*words, "--force")
    assert forced.exit_code == 3
    assert "Not a medical device" in forced.stdout
    assert (out / "exam-001" / "findings.json").read_bytes() == before


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda root: None, "does not exist"),
        (lambda root: root.mkdir(), "no DICOM or NIfTI file is there"),
    ],
)
def test_predict_where_nothing_is(bundle: Path, tmp_path: Path, make, complaint: str) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path / "in")
    done = ichnos("predict", str(tmp_path / "in"), "--bundle", str(bundle), "--out", str(tmp_path / "out"))
    assert done.exit_code == 1
    assert complaint in done.stderr
    assert not (tmp_path / "out").exists()


def test_predict_refuses_a_chest(bundle: Path, tmp_path: Path, shared_data: Path) -> None:
    chest = shared_data / "transfer-syntaxes" / "CTImage.dcm"
    done = ichnos("predict", str(chest), "--bundle", str(bundle), "--out", str(tmp_path / "out"))
    assert done.exit_code == 1
    assert "not a head CT" in done.stdout
