"""Train a gate and a second stage a little, measure them as one, export one bundle, read an exam with it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ichnos.data.set import PreparedSet
from ichnos.data.sources.phantom import PhantomSource
from ichnos.data.splits import Part, stored_splits
from ichnos.dicom.exams import read_exam
from ichnos.errors import BundleError
from ichnos.findings import ExamFindings
from ichnos.inference import ExamClassifier, load_bundle, read_bundle
from ichnos.models import load_checkpoint, load_classifier, save_checkpoint
from ichnos.phantom import RAISED_PREVALENCE, CohortSettings
from ichnos.predictions import Predictions
from ichnos.progress import SILENT
from ichnos.readout import AnyRule, Readout
from ichnos.recipe import CascadeRecipe
from ichnos.subtypes import CLASSES, Subtype
from ichnos.workflows.phantom import write_cohort
from ichnos.workflows.prepare import prepare_set
from tests.stories.running import Ran, ichnos

SETTINGS = CohortSettings(exams=10, seed=8, prevalence=dict(RAISED_PREVALENCE), matrix=128, slices=(10, 12))

SHORT = ("fit.epochs=1", "fit.steps_per_epoch=2", "fit.batch_size=4", "fit.patience=null")
SHORT += ("network.backbone=small-cnn", "network.init=random")  # test_every_recipe.py has the recipe's own networks
CHANGES = tuple(f"{stage}.{change}" for stage in ("gate", "subtypes") for change in SHORT)
CHANGES += ("gate.input.size=64", "subtypes.input.size=96", 'gate.classes=["any"]')


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cascade")
    cohort = write_cohort(SETTINGS, root / "cohort", SILENT, workers=1)
    prepare_set(PhantomSource(cohort), root / "set", SILENT, workers=1)
    return root / "set"


def trained(prepared: Path, run: Path, *more: str, recipe: str = "cascade") -> Ran:
    words = [word for change in (*(CHANGES if recipe == "cascade" else SHORT), *more) for word in ("--set", change)]
    return ichnos("train", recipe, "--data", str(prepared), "--out", str(run), "--device", "cpu", *words)


@pytest.fixture(scope="module")
def run(prepared: Path) -> Path:
    out = prepared.parent / "run"
    done = trained(prepared, out)
    assert done.exit_code == 0, done.stderr
    assert "reader: best epoch 1 of 1" in done.stderr
    assert "cascade_subtypes: best epoch 1 of 1" in done.stderr
    return out


@pytest.fixture(scope="module")
def bundle(prepared: Path, run: Path) -> Path:
    out = prepared.parent / "cascade.ichnos"
    done = ichnos("export", str(run), "--out", str(out), "--data", str(prepared), "--json")
    assert done.exit_code == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["agreement"] <= 1e-4
    assert summary["readout"]["calibrated"]
    return out


def test_a_run_holds_both_stages_and_goes_on(prepared: Path, run: Path) -> None:
    recipe = CascadeRecipe.model_validate_json((run / "recipe.json").read_bytes())
    assert (recipe.gate.input.size, recipe.subtypes.input.size) == (64, 96)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("best.safetensors")}
    assert len(before) == 2
    assert trained(prepared, run).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in run.rglob("best.safetensors")} == before
    other = trained(prepared, run, "subtypes.fit.epochs=2")
    assert other.exit_code == 1
    assert "holds a run of another recipe (fit.epochs: 1 there, 2 here)" in other.stderr


def test_it_is_measured_as_one_on_all_slices(prepared: Path, run: Path, tmp_path: Path) -> None:
    done = ichnos("evaluate", str(run), "--data", str(prepared), "--out", str(tmp_path / "m"), "--json")
    assert done.exit_code == 0, done.stderr
    table = Predictions.read_parquet(tmp_path / "m" / "predictions.parquet")
    assert table.classes == CLASSES
    made = PreparedSet(prepared)
    assert len(table) == len(stored_splits(made).rows(Part.TEST))
    assert not table.labels[:, -1].all(), "slices without hemorrhage are measured too"
    assert (table.probabilities[:, -1:] >= table.probabilities[:, :-1]).all()
    assert not json.loads(done.stdout)["external"]
    other = ichnos("evaluate", str(run), "--data", str(prepared), "--out", str(tmp_path / "n"), "--fold", "1")
    assert other.exit_code == 2
    assert "another split" in other.stderr


def test_stages_of_other_folds_are_not_measured_together(prepared: Path, run: Path, tmp_path: Path) -> None:
    mixed = tmp_path / "mixed"
    shutil.copytree(run, mixed)
    changed = load_checkpoint(run / "gate" / "best.safetensors")
    metadata = changed.metadata | {"origin": changed.metadata["origin"] | {"fold": 1}}
    classifier, _, _ = load_classifier(run / "gate" / "best.safetensors")
    save_checkpoint(mixed / "gate" / "best.safetensors", classifier, metadata)
    done = ichnos("evaluate", str(mixed), "--data", str(prepared), "--out", str(tmp_path / "m"))
    assert done.exit_code == 2
    assert "trained on different sets, splits or folds" in done.stderr


@pytest.mark.slow
def test_the_bundle_says_that_it_is_a_cascade(run: Path, bundle: Path) -> None:
    read = read_bundle(bundle)
    assert read.manifest.version == 4, "3 is of cascades of EfficientNet-B0 alone"
    assert read.manifest.recipe == CascadeRecipe.model_validate_json((run / "recipe.json").read_bytes())
    assert (read.manifest.readout.classes, read.manifest.readout.any_rule) == (CLASSES, AnyRule.EXPLICIT)
    assert "slices with and without hemorrhage (the gate)" in read.manifest.population
    assert "A cascade, recipe `cascade`" in read.card
    assert "- Gate: small-cnn at 64 pixels" in read.card
    assert "- Second stage: small-cnn at 96 pixels" in read.card
    assert "Not for exams" not in read.card


@pytest.mark.slow
def test_an_exam_is_read(bundle: Path, tmp_path: Path) -> None:
    cohort = CohortSettings(exams=1, seed=77, prevalence=dict(RAISED_PREVALENCE), matrix=128, slices=(20, 20))
    images = write_cohort(cohort, tmp_path / "cohort", SILENT, workers=1) / "stage_2_train"
    done = ichnos("predict", str(images), "--bundle", str(bundle), "--out", str(tmp_path / "out"), "--json")
    assert done.exit_code == 0, done.stderr
    findings = ExamFindings.model_validate_json((tmp_path / "out" / "exam-001" / "findings.json").read_text())
    for each in findings.slices:
        assert each.probabilities[Subtype.ANY] >= max(each.probabilities.values())
    reading = load_bundle(bundle).read(read_exam(images))
    assert reading.outputs == CLASSES
    assert reading.maps.shape == (20, 6, 6, 6), "the gate's map of 4×4 is brought to the second stage's size"
    assert reading.features.shape == (20, 512)


@pytest.mark.slow
def test_two_runs_trained_apart_become_the_same_network(run: Path, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "apart.ichnos"
    done = ichnos("export", str(run / "gate"), str(run / "subtypes"), "--out", str(out))
    assert done.exit_code == 0, done.stderr
    apart, together = read_bundle(out), read_bundle(bundle)
    assert apart.network == together.network
    assert isinstance(apart.manifest.recipe, CascadeRecipe)
    assert isinstance(together.manifest.recipe, CascadeRecipe)
    assert apart.manifest.recipe.stages == together.manifest.recipe.stages
    both = (
        "Reader (any and five subtypes, neighbours as channels)",
        "Second stage (five subtypes of a positive slice)",
    )
    assert apart.manifest.title == ", then ".join(both)


@pytest.fixture
def dead(prepared: Path, run: Path, tmp_path: Path) -> Path:
    """A bundle of a gate that gives every slice P(any) = σ(−30), calibrated on validation patients."""
    shutil.copytree(run, tmp_path / "run")
    classifier, _, metadata = load_classifier(run / "gate" / "best.safetensors")
    with torch.no_grad():
        classifier.head.output.weight.zero_()
        classifier.head.output.bias.fill_(-30)
    save_checkpoint(tmp_path / "run" / "gate" / "best.safetensors", classifier, metadata)
    out = tmp_path / "dead.ichnos"
    done = ichnos("export", str(tmp_path / "run"), "--out", str(out), "--data", str(prepared), "--json")
    assert done.exit_code == 0, done.stderr
    assert any(note.startswith("any: never fires") for note in json.loads(done.stdout)["notes"])
    return out


@pytest.mark.slow
def test_a_gate_that_never_fires_is_said_on_the_card_and_in_every_reading(dead: Path, tmp_path: Path) -> None:
    shown = ichnos("bundle", "show", str(dead))
    assert "- any: never fires: before calibration no slice reaches 0.5" in shown.stdout
    cohort = CohortSettings(exams=1, seed=77, prevalence=dict(RAISED_PREVALENCE), matrix=128, slices=(20, 20))
    images = write_cohort(cohort, tmp_path / "cohort", SILENT, workers=1) / "stage_2_train"
    done = ichnos("predict", str(images), "--bundle", str(dead), "--out", str(tmp_path / "out"), "--json")
    assert done.exit_code == 0, done.stderr
    findings = ExamFindings.model_validate_json((tmp_path / "out" / "exam-001" / "findings.json").read_text())
    assert any(doubt.startswith("any: never fires") for doubt in findings.doubts)
    of_any = {each.probabilities[Subtype.ANY] for each in findings.slices}
    assert len(of_any) == 1, "calibrated, it is how common a hemorrhage is, whatever the slice shows"
    for each in findings.slices:
        assert each.probabilities[Subtype.ANY] >= max(each.probabilities.values())
    read = read_bundle(dead)
    raw = read.manifest.model_copy(update={"readout": Readout.uncalibrated(CLASSES), "fitted_on": None})
    plain = ExamClassifier(replace(read, manifest=raw)).classify(read_exam(images))
    assert not plain.urgent
    assert not any(found.present for found in (plain.any, *plain.subtypes))
    assert plain.any.probability < 1e-6, "as it is, the gate lets nothing through"


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (("subtypes", "gate"), "given in this order, but here the gate is of positives"),
        (("", "gate"), "run is a cascade's run, which becomes a bundle by itself"),
        (("gate",), "names `any` alone, and a bundle names at least one subtype"),
        (("gate", "subtypes", "subtypes"), "first one that names `any` on all slices, then one of positives"),
    ],
)
def test_runs_that_make_no_cascade(run: Path, tmp_path: Path, given: tuple[str, ...], complaint: str) -> None:
    done = ichnos("export", *(str(run / each) for each in given), "--out", str(tmp_path / "b"))
    assert done.exit_code in (1, 2)
    assert complaint in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_second_stage_alone_reads_no_exam_but_says_what_it_is_good_for(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "positives.ichnos"
    assert ichnos("export", str(run / "subtypes"), "--out", str(out)).exit_code == 0
    assert "It can be the second stage of a cascade" in read_bundle(out).card
    with pytest.raises(BundleError, match=r"never seen a normal slice.*ichnos export GATE_RUN SUBTYPE_RUN"):
        load_bundle(out)


def test_the_two_kinds_do_not_share_a_folder(prepared: Path, run: Path) -> None:
    one = trained(prepared, run, recipe="paper_model_2")
    assert one.exit_code == 1
    assert "holds a run of a cascade, this recipe is of one model" in one.stderr
    two = trained(prepared, run / "gate")
    assert two.exit_code == 1
    assert "holds a run of one model, this recipe is of a cascade" in two.stderr


def test_a_cascade_that_is_half_trained(run: Path, tmp_path: Path) -> None:
    for stage in ("gate", "subtypes"):
        (tmp_path / "half" / stage).mkdir(parents=True)
        (tmp_path / "half" / stage / "best.safetensors").write_bytes((run / stage / "best.safetensors").read_bytes())
    done = ichnos("export", str(tmp_path / "half"), "--out", str(tmp_path / "b"))
    assert done.exit_code == 1
    assert "whose training has not ended" in done.stderr
    (tmp_path / "half" / "recipe.json").write_text("{}")
    done = ichnos("export", str(tmp_path / "half"), "--out", str(tmp_path / "b"))
    assert done.exit_code == 1
    assert "does not fit the run" in done.stderr
