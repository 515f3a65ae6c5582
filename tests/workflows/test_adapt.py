"""A run of one hospital, adapted to another: what changes, what is learnt from, and what it may be measured on."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch

from ichnos.data.preparing import prepare
from ichnos.data.set import PreparedSet
from ichnos.data.splits import Part, make_splits, split, stored_splits
from ichnos.errors import OutputError, UsageError
from ichnos.files import locked
from ichnos.models.checkpoint import load_checkpoint
from ichnos.predictions import Predictions
from ichnos.progress import SILENT
from ichnos.recipe import EnsembleRecipe, SliceRecipe
from ichnos.recipes.bigru import RECIPE as BIGRU
from ichnos.recipes.cascade import RECIPE as CASCADE
from ichnos.recipes.epidural_anomaly import RECIPE as ANOMALY
from ichnos.recipes.model_2_any import RECIPE as MODEL_2_ANY
from ichnos.reporting.checklist import answers
from ichnos.workflows import adapt
from ichnos.workflows.adapt import AdaptOptions, Method, adapt_run, check_adaptable
from ichnos.workflows.adaptation import AdaptationOptions, made_of, study_adaptation
from ichnos.workflows.evaluate import evaluate_run
from ichnos.workflows.export import ExportOptions, export_runs
from ichnos.workflows.measured import EvaluationOptions
from ichnos.workflows.seen import unseen
from ichnos.workflows.train import open_data, train_model
from ichnos.workflows.validate import evaluate_bundle
from tests.data.in_memory import InMemorySource

pytestmark = pytest.mark.usefixtures("one_thread", "undrawn")

QUICK = EvaluationOptions(resamples=20)
TINY = {
    "network": {"backbone": "separable", "init": "random"},
    "input.size": 32,
    "augmentation": None,
    "fit": {"epochs": 1, "batch_size": 8, "steps_per_epoch": 2, "patience": None},
}
SHORT = {"fit.epochs": "1", "fit.batch_size": "8"}


def hospital(folder: Path, first: int) -> PreparedSet:
    source = InMemorySource(exams=24, slices=3, twins={n: first + n for n in range(24)})
    made = prepare(source, folder, SILENT, workers=1)
    split(made, seed=0, folds=3)
    return made


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> PreparedSet:
    return hospital(tmp_path_factory.mktemp("adapt") / "old", 0)


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> PreparedSet:
    return hospital(tmp_path_factory.mktemp("adapt") / "new", 1000)


@pytest.fixture(scope="module")
def recipe() -> SliceRecipe:
    return MODEL_2_ANY.derive(**TINY)


@pytest.fixture(scope="module")
def run(old: PreparedSet, recipe: SliceRecipe) -> Path:
    out = old.path.parent / "run"
    train_model(recipe, old.path, out, SILENT, device="cpu")
    return out


def best(run: Path) -> Path:
    return run / "best.safetensors"


def test_batchnorm_changes_its_statistics_and_nothing_else(new: PreparedSet, run: Path, tmp_path: Path) -> None:
    adapt_run(run, new.path, tmp_path / "bn", AdaptOptions(Method.BATCHNORM), SILENT, device="cpu")
    before, after = load_checkpoint(best(run)), load_checkpoint(best(tmp_path / "bn"))
    theirs, ours = before.classifier_tensors(), after.classifier_tensors()
    changed = {name for name in theirs if not torch.equal(theirs[name], ours[name])}
    assert changed
    assert all(name.endswith(("running_mean", "running_var", "num_batches_tracked")) for name in changed)
    assert {name for name in theirs if name.endswith("running_mean")} <= changed
    assert after.recipe == before.recipe
    assert after.metadata["origin"]["set"] == new.header.fingerprint
    with pytest.raises(OutputError, match="holds something already"):
        adapt_run(run, new.path, tmp_path / "bn", AdaptOptions(Method.BATCHNORM), SILENT, device="cpu")


def test_weights_that_are_kept_come_together_and_a_stopped_call_begins_anew(
    new: PreparedSet, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, asked = tmp_path / "bn", AdaptOptions(Method.BATCHNORM)

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(adapt, "join_stages", stopped)
        with pytest.raises(KeyboardInterrupt):
            adapt_run(run, new.path, out, asked, SILENT, device="cpu")
    assert not best(out).exists()
    with locked(out), pytest.raises(OutputError, match="another process is at work"):
        adapt_run(run, new.path, out, asked, SILENT, device="cpu")
    assert best(out / ".unfinished").exists(), "what another process is at stays"
    adapt_run(run, new.path, out, asked, SILENT, device="cpu")
    assert best(out).exists()
    assert not (out / ".unfinished").exists()


def test_calibration_alone_leaves_every_weight_and_takes_the_new_sets_thresholds(
    new: PreparedSet, run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "calibrated"
    adapt_run(run, new.path, out, AdaptOptions(Method.CALIBRATE), SILENT, device="cpu")
    before, after = load_checkpoint(best(run)), load_checkpoint(best(out))
    theirs, ours = before.classifier_tensors(), after.classifier_tensors()
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(tensor, ours[name]) for name, tensor in theirs.items())
    as_it_was = evaluate_run(run, new.path, tmp_path / "before", SILENT, QUICK, device="cpu")
    card = evaluate_run(out, new.path, tmp_path / "after", SILENT, QUICK, device="cpu")
    assert as_it_was["external"], "and has thresholds of 0.5 there"
    assert not card["external"]
    assert "validation patients" in card["model"]["operating_points"]
    told = {item.topic.title: item.answer for item in answers(card, None)}
    assert "adapted to this set: calibration and thresholds alone; its weights stayed" in told["Model updating"]
    assert "that the model was adapted to" in told["External validation"]
    assert as_it_was["model"]["adapted"] is None
    raw = [Predictions.read_parquet(tmp_path / each / "predictions.parquet") for each in ("before", "after")]
    np.testing.assert_array_equal(raw[0].probabilities, raw[1].probabilities)
    told, known = (tree["levels"]["slice"]["classes"]["any"] for tree in (as_it_was, card))
    assert {point["threshold"] for point in told["operating_points"].values()} == {0.5}
    assert {point["threshold"] for point in known["operating_points"].values()} != {0.5}
    with pytest.raises(UsageError, match="of which --method calibrate uses nobody"):
        AdaptOptions(Method.CALIBRATE, patients=4)
    unlabelled = cast("PreparedSet", SimpleNamespace(header=SimpleNamespace(teaches=False)))
    with pytest.raises(UsageError, match="want labels of single slices"):
        check_adaptable(run, MODEL_2_ANY, replace(open_data(new.path), prepared=unlabelled), Method.CALIBRATE)


def test_batchnorm_looks_at_no_label(new: PreparedSet, run: Path, tmp_path: Path) -> None:
    source = InMemorySource(exams=24, slices=3, twins={n: 1000 + n for n in range(24)}, bleeding=False)
    unlabelled = prepare(source, tmp_path / "set", SILENT, workers=1)
    for name in ("splits.json", "splits.parquet"):
        (unlabelled.path / name).write_bytes((new.path / name).read_bytes())
    header = json.loads((unlabelled.path / "splits.json").read_bytes()) | {"set": unlabelled.header.fingerprint}
    (unlabelled.path / "splits.json").write_text(json.dumps(header))
    tensors = []
    for name, data in (("a", new.path), ("b", unlabelled.path)):
        adapt_run(run, data, tmp_path / name, AdaptOptions(Method.BATCHNORM), SILENT, device="cpu")
        tensors.append(load_checkpoint(best(tmp_path / name)).classifier_tensors())
    assert all(torch.equal(tensor, tensors[1][name]) for name, tensor in tensors[0].items())


def test_fine_tuning_learns_from_its_patients_alone(new: PreparedSet, run: Path, tmp_path: Path) -> None:
    options = AdaptOptions(Method.FINE_TUNE, patients=2, changes=SHORT)
    summary = adapt_run(run, new.path, tmp_path / "ft", options, SILENT, device="cpu")
    assert summary["patients"] == 2
    tuned = load_checkpoint(best(tmp_path / "ft"))
    assert tuned.metadata["origin"]["training_patients"] == 2
    assert tuned.metadata["first_weights"]["head"] == "best.safetensors", "the head comes along"
    assert tuned.recipe.fit.learning_rate == pytest.approx(0.1 * load_checkpoint(best(run)).recipe.fit.learning_rate)
    before = load_checkpoint(best(run)).classifier_tensors()
    assert any(not torch.equal(tensor, before[name]) for name, tensor in tuned.classifier_tensors().items())


@pytest.mark.parametrize("method", list(Method))
def test_an_adapted_run_knows_both_sets(
    old: PreparedSet, new: PreparedSet, run: Path, tmp_path: Path, method: Method
) -> None:
    changes = SHORT if method is Method.FINE_TUNE else {}
    patients = None if method is Method.CALIBRATE else 4
    adapt_run(run, new.path, tmp_path / "run", AdaptOptions(method, patients, changes=changes), SILENT, device="cpu")
    for each in (old, new):
        opened, external = unseen([best(tmp_path / "run")], open_data(each.path))
        assert not external
        assert opened.fold is None
        with pytest.raises(UsageError, match="another split of this set"):
            unseen([best(tmp_path / "run")], open_data(each.path, fold=1))


@pytest.mark.slow
def test_it_is_evaluated_and_exported_as_any_run(old: PreparedSet, new: PreparedSet, run: Path, tmp_path: Path) -> None:
    adapt_run(run, new.path, tmp_path / "bn", AdaptOptions(Method.BATCHNORM), SILENT, device="cpu")
    card = evaluate_run(tmp_path / "bn", new.path, tmp_path / "m", SILENT, QUICK, device="cpu")
    assert not card["external"]
    export_runs([tmp_path / "bn"], tmp_path / "b.ichnos", SILENT, ExportOptions(data=new.path), device="cpu")
    for each in (old, new):
        with pytest.raises(UsageError, match="made of this very set"):
            evaluate_bundle(tmp_path / "b.ichnos", each.path, tmp_path / "n", SILENT, QUICK)


def test_what_cannot_be_adapted(old: PreparedSet, new: PreparedSet, run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="BatchNorm's statistics are measured, not trained"):
        AdaptOptions(Method.BATCHNORM, changes=SHORT)
    with pytest.raises(UsageError, match="asked for 99 patients"):
        adapt_run(run, new.path, tmp_path / "a", AdaptOptions(Method.FINE_TUNE, 99), SILENT, device="cpu")
    with pytest.raises(UsageError, match="trained with this set"):
        study_adaptation(run, old.path, tmp_path / "s", AdaptationOptions(), SILENT, device="cpu")
    positives = MODEL_2_ANY.derive(**TINY | {"population.slices": "positives", "classes": ["subdural", "epidural"]})
    train_model(positives, old.path, tmp_path / "p", SILENT, device="cpu")
    with pytest.raises(UsageError, match="slices with hemorrhage alone"):
        adapt_run(tmp_path / "p", new.path, tmp_path / "q", AdaptOptions(Method.BATCHNORM), SILENT, device="cpu")


def test_a_study_does_not_write_over_another_commands_scorecard(new: PreparedSet, run: Path, tmp_path: Path) -> None:
    (tmp_path / "scorecard.json").write_text('{"form": "ichnos-evaluation"}')
    with pytest.raises(OutputError, match="holds the scorecard of another command"):
        study_adaptation(run, new.path, tmp_path, AdaptationOptions(), SILENT, device="cpu")
    assert (tmp_path / "scorecard.json").read_text() == '{"form": "ichnos-evaluation"}'
    assert "--resamples 200" in AdaptationOptions(resamples=200).command(run, new.path, tmp_path)


def test_what_batchnorm_refuses_is_refused_before_anything_is_written(
    old: PreparedSet, recipe: SliceRecipe, run: Path, tmp_path: Path
) -> None:
    data = open_data(old.path)
    without_labels = SimpleNamespace(header=SimpleNamespace(teaches=False))
    unlabelled = replace(data, prepared=cast("PreparedSet", without_labels))
    stacked = EnsembleRecipe(name="e", title="E", members={"a": recipe, "b": recipe}, combine="stacking")
    with pytest.raises(UsageError, match="without labels of single slices, has none"):
        check_adaptable(run, stacked, unlabelled, Method.BATCHNORM)
    check_adaptable(run, stacked, data, Method.BATCHNORM)
    check_adaptable(run, stacked.derive(combine="mean"), unlabelled, Method.BATCHNORM)
    with pytest.raises(UsageError, match="an anomaly detector, whose density"):
        check_adaptable(run, ANOMALY, data, Method.BATCHNORM)
    check_adaptable(run, ANOMALY, data, Method.FINE_TUNE)
    for method in Method:
        with pytest.raises(UsageError, match="adapt that stage"):
            check_adaptable(run, BIGRU, data, method)


def test_the_study_reuses_no_statistics_of_another_split(
    old: PreparedSet, new: PreparedSet, run: Path, tmp_path: Path
) -> None:
    adapt_run(run, new.path, tmp_path, AdaptOptions(Method.BATCHNORM), SILENT, device="cpu")
    opened = open_data(new.path)
    assert made_of(tmp_path, run, opened)
    assert not made_of(tmp_path, run, open_data(old.path))
    assert not made_of(tmp_path, run, replace(opened, splits=make_splits(new.index, seed=1, folds=3)))
    assert not made_of(tmp_path / "nothing", run, opened)


@pytest.mark.slow
def test_a_cascade_is_adapted_stage_by_stage(old: PreparedSet, new: PreparedSet, tmp_path: Path) -> None:
    changes = {f"{stage}.{name}": value for stage in ("gate", "subtypes") for name, value in TINY.items()}
    train_model(CASCADE.derive(**changes, **{"gate.synthetic": None}), old.path, tmp_path / "c", SILENT, device="cpu")
    for method, more in ((Method.BATCHNORM, {}), (Method.FINE_TUNE, SHORT)):
        adapt_run(tmp_path / "c", new.path, tmp_path / method, AdaptOptions(method, 4, changes=more), SILENT)
        for stage, changes_it in (("gate", True), ("subtypes", method is Method.FINE_TUNE)):
            before, after = (load_checkpoint(best(tmp_path / each / stage)) for each in ("c", method))
            theirs = before.classifier_tensors()
            changed = any(not torch.equal(tensor, theirs[name]) for name, tensor in after.classifier_tensors().items())
            assert changed is changes_it, "which slices are positives, labels say: BatchNorm leaves that stage"
        evaluate_run(tmp_path / method, new.path, tmp_path / "m" / method, SILENT, QUICK, device="cpu")


@pytest.mark.slow
def test_the_study_measures_every_way_on_the_new_test_patients(new: PreparedSet, run: Path, tmp_path: Path) -> None:
    options = AdaptationOptions((2, 4), changes=SHORT, resamples=20)
    card = study_adaptation(run, new.path, tmp_path, options, SILENT, device="cpu")
    assert [way["name"] for way in card["ways"]] == [
        "as it was",
        "BatchNorm",
        "fine-tuned, 2 patients",
        "fine-tuned, 4 patients",
    ]
    tests = new.index["name"].to_numpy()[stored_splits(new).rows(Part.TEST)]
    for folder in ("as-it-was", "batchnorm", "fine-tune-2", "fine-tune-4"):
        table = Predictions.read_parquet(tmp_path / folder / "predictions.parquet")
        assert sorted(table.slice_name.tolist()) == sorted(tests.tolist())
    assert card["counts"]["test_slices"] == len(tests)
    assert not card["ways"][0]["gains"]
    by_class = card["ways"][1]["gains"][0]
    first = card["ways"][0]["levels"]["slice"][by_class["class"]]["value"]
    second = card["ways"][1]["levels"]["slice"][by_class["class"]]["value"]
    assert by_class["difference"]["value"] == pytest.approx(second - first)
    few = [gain for way in card["ways"] for gain in way["gains"] if gain["positive_patients"] < 10]
    assert few
    assert {(gain["difference"]["bootstrap_p"], gain["difference"]["holm_p"]) for gain in few} == {(None, None)}
    assert "| descriptive only | descriptive only |" in (tmp_path / "report.md").read_text()
    assert "fine-tuned, 4 patients" in (tmp_path / "report.md").read_text()
    assert "<table" in (tmp_path / "report.html").read_text()
    trained = best(tmp_path / "fine-tune-2").stat().st_mtime_ns
    again = study_adaptation(run, new.path, tmp_path, options, SILENT, device="cpu")
    assert again == card
    assert best(tmp_path / "fine-tune-2").stat().st_mtime_ns == trained, "it goes on where it stopped"
    assert np.isfinite(first)
