"""What comparing many methods meets in the wild: a clear error, or a stated, correct result.

Each case and the tests of it, here and elsewhere, stand in COVERED.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ichnos.ct import LabelledExam
from ichnos.data.preparing import prepare
from ichnos.data.set import PreparedSet
from ichnos.data.sources import ExamReference
from ichnos.data.splits import Part, split, stored_splits
from ichnos.errors import BundleError, InputError, TrainingError, UsageError
from ichnos.inference import load_bundle
from ichnos.predictions import Predictions
from ichnos.progress import SILENT
from ichnos.readout import POINTS, Readout
from ichnos.recipe import CascadeRecipe, Fit, SliceRecipe
from ichnos.recipes.cascade import RECIPE as CASCADE
from ichnos.recipes.reader import RECIPE as READER
from ichnos.subtypes import CLASSES
from ichnos.workflows.folds import study_folds
from ichnos.workflows.measured import EvaluationOptions
from ichnos.workflows.train import train_model
from ichnos.workflows.validate import evaluate_bundle
from tests.data.in_memory import InMemorySource
from tests.inference.test_bundle import rewrite
from tests.stories.running import ichnos
from tests.workflows.bright import bright_bundle, bright_set

ROOT = Path(__file__).parents[2]

COVERED = {
    "an ensemble of unequal classes": [
        "tests/test_ensemble_recipes.py::test_an_ensemble_of_unequal_classes_is_refused"
    ],
    "a cascade whose gate never fires": [
        "tests/stories/test_cascade.py::test_a_gate_that_never_fires_is_said_on_the_card_and_in_every_reading",
        "tests/evaluation/test_calibration.py::test_a_gate_that_never_fires_is_said_and_stays_finite",
        "tests/models/test_cascade.py::test_a_gate_that_never_fires_leaves_all_but_nothing",
    ],
    "a fold without positives": [
        "tests/stories/test_field_bad_input.py::test_folds_without_positives_are_measured_together_and_said",
        "tests/stories/test_field_bad_input.py::test_a_recipe_of_positives_is_not_trained_on_a_fold_without_any",
        "tests/stories/test_field_bad_input.py::test_a_cascade_says_which_stage_has_nothing_to_learn_from",
        "tests/stories/test_field_bad_input.py::test_epochs_that_auc_is_to_choose_are_told_of_before_anything_is_trained",
    ],
    "an exam of one slice": [
        "tests/workflows/test_validate.py::test_exams_of_one_slice",
        "tests/evaluation/test_levels.py::test_one_patient_of_one_exam_of_one_slice_has_no_interval",
        "tests/inference/test_exam_network.py::test_an_exam_of_one_slice_and_no_places",
        "tests/models/test_trees.py::test_an_exam_of_one_slice_is_its_own_neighbour",
        "tests/training/test_exam_training.py::test_an_exam_of_one_slice_is_never_thinned_away",
    ],
    "missing neighbours": [
        "tests/test_inputs.py::test_neighbours_are_found_by_place",
        "tests/models/test_trees.py::test_missing_neighbours_are_the_nearest_that_there_are",
        "tests/models/test_trees.py::test_beyond_the_ends_the_last_slice_stands_in_and_height_says_where_they_are",
    ],
    "a mask of another size": [
        "tests/evaluation/test_localisation.py::test_a_mask_of_another_size_and_an_empty_one_are_refused",
        "tests/data/sources/test_ct_ich.py::test_a_mask_of_another_size_than_its_volume_is_refused",
        "tests/training/test_segmentation.py::test_masks_that_do_not_fit_are_refused",
    ],
    "NaN probabilities": [
        "tests/stories/test_field_bad_input.py::test_predictions_that_are_no_probabilities_are_refused",
        "tests/workflows/test_evaluate.py::test_weights_that_give_no_numbers_are_an_error_that_names_slices",
        "tests/test_predictions.py::test_rows_that_are_no_probabilities_are_named",
        "tests/inference/test_exam.py::test_a_network_that_gives_no_numbers",
        "tests/evaluation/test_levels.py::test_bad_numbers_are_refused",
        "tests/training/test_refusals.py::test_outputs_that_are_not_finite_in_validation",
    ],
    "a threshold outside 0-1": [
        "tests/stories/test_field_bad_input.py::test_a_bundle_with_a_threshold_that_is_none_is_not_opened",
        "tests/stories/test_field_bad_input.py::test_a_scorecard_with_a_threshold_that_is_none_calls_nothing",
        "tests/evaluation/test_levels.py::test_thresholds_outside_0_to_1_are_refused",
        "tests/workflows/test_evaluate.py::test_a_threshold_that_cannot_be_is_refused",
    ],
    "an external set without some classes": [
        "tests/stories/test_field_bad_input.py::test_classes_that_nobody_of_an_external_set_has_are_not_measured",
        "tests/workflows/test_validate.py::test_classes_without_labels_are_said_to_have_none",
        "tests/workflows/test_evaluate.py::test_a_class_that_the_set_does_not_label_counts_nowhere",
        "tests/workflows/test_evaluate.py::test_any_is_the_sets_own_where_it_tells_no_subtypes",
        "tests/workflows/test_evaluate.py::test_a_prevalence_of_what_is_not_measured_is_refused",
    ],
}

FIT = Fit(learning_rate=1e-3, batch_size=16, epochs=1, patience=None)
TINY: SliceRecipe = READER.derive(
    fit=FIT, **{"network.init": "random", "input.size": 32, "augmentation": None, "synthetic": None}
)


@dataclass(frozen=True)
class OneBleeds(InMemorySource):
    """Of all patients one has a hemorrhage."""

    def read(self, reference: ExamReference) -> LabelledExam:
        exam = super().read(reference)
        if exam.patient == "p000":
            return exam
        return replace(exam, slices=tuple(replace(one, labels=np.zeros(5, np.bool_)) for one in exam.slices))


@pytest.fixture(scope="module")
def one_bleeds(tmp_path_factory: pytest.TempPathFactory) -> PreparedSet:
    made = prepare(OneBleeds(exams=18, slices=3), tmp_path_factory.mktemp("few") / "set", SILENT, workers=1)
    split(made, seed=0, folds=3)
    return made


def fold_of(prepared: PreparedSet, part: Part) -> int:
    """The fold in whose part the patient is who bleeds."""
    splits = stored_splits(prepared)
    return next(k for k in range(3) if prepared.labels[splits.rows_of_fold(k, part)].any())


def test_every_case_is_tested_where_it_is_said_to_be() -> None:
    for case, tests in COVERED.items():
        for path, _, name in (test.partition("::") for test in tests):
            assert f"\ndef {name}(" in (ROOT / path).read_text(), f"{case}: no {name} in {path}"


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_folds_without_positives_are_measured_together_and_said(one_bleeds: PreparedSet, tmp_path: Path) -> None:
    scorecard = study_folds(TINY, one_bleeds.path, tmp_path, SILENT, device="cpu")
    assert len(scorecard["folds"]) == 3
    unmeasured = [fold for fold in scorecard["folds"] if fold["validation_auc"]["slices"]["any"] is None]
    assert len(unmeasured) == 2, "one of three folds validates on the patient who bleeds"
    for fold in unmeasured:
        assert any(note.startswith("any: slice thresholds of 0.5") for note in fold["notes"])
    some = scorecard["slices"]["classes"]["any"]
    assert (some["positive_patients"], some["descriptive_only"]) == (1, True)
    assert some["auc_mean_of_folds"]["note"] == (
        "of the 1 of 3 folds that define it; no interval: a fold rests on one positive patient"
    )
    assert scorecard["slices"]["classes"]["subarachnoid"]["auc"]["value"] is None
    text = (tmp_path / "scorecard.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text


def test_a_recipe_of_positives_is_not_trained_on_a_fold_without_any(one_bleeds: PreparedSet, tmp_path: Path) -> None:
    positives = TINY.derive(**{"population.slices": "positives", "classes": [c.value for c in CLASSES[:-1]]})
    for has, lacks in ((Part.TRAIN, "validation"), (Part.VALIDATION, "training")):
        fold = fold_of(one_bleeds, has)
        with pytest.raises(TrainingError, match=rf"the {lacks} part has 0 slices.*use a larger set, another split"):
            train_model(positives, one_bleeds.path, tmp_path / has, SILENT, fold=fold, device="cpu")
        assert not list((tmp_path / has).glob("*.safetensors"))


def test_epochs_that_auc_is_to_choose_are_told_of_before_anything_is_trained(
    one_bleeds: PreparedSet, tmp_path: Path
) -> None:
    """After hours of other folds it would be late."""
    by_auc = TINY.derive(**{"fit.best": "auc"})
    lacks = next(k for k in range(3) if k != fold_of(one_bleeds, Part.VALIDATION))
    with pytest.raises(UsageError, match=rf"no class has slices with it and without it .* of fold {lacks}; give fit"):
        study_folds(by_auc, one_bleeds.path, tmp_path / "study", SILENT, device="cpu")
    with pytest.raises(UsageError, match="chooses its epoch by AUC"):
        train_model(by_auc, one_bleeds.path, tmp_path / "run", SILENT, fold=lacks, device="cpu")
    with pytest.raises(UsageError, match="so there is nothing to average: give more epochs or an earlier start"):
        train_model(TINY.derive(**{"fit.averaging": {"kind": "swa"}}), one_bleeds.path, tmp_path, SILENT, device="cpu")
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.slow
def test_a_cascade_says_which_stage_has_nothing_to_learn_from(one_bleeds: PreparedSet, tmp_path: Path) -> None:
    stages = {"gate": TINY, "subtypes": CASCADE.subtypes.derive(fit=FIT, network=TINY.network, input=TINY.input)}
    recipe = CascadeRecipe(name="tiny", title="Tiny", **stages)
    fold = fold_of(one_bleeds, Part.TEST)
    with pytest.raises(TrainingError, match="the training part has 0 slices"):
        train_model(recipe, one_bleeds.path, tmp_path, SILENT, fold=fold, device="cpu")
    done = ichnos("evaluate", str(tmp_path), "--data", str(one_bleeds.path), "--out", str(tmp_path / "out"))
    assert done.exit_code == 1
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -0.1, 1.1])
def test_predictions_that_are_no_probabilities_are_refused(tmp_path: Path, bad: float) -> None:
    names = np.array(["a", "b"])
    said = np.full((2, 6), 0.5)
    good = Predictions(CLASSES, names, names, names, np.zeros(2), said, np.zeros((2, 6), np.bool_), "validation")
    with pytest.raises(InputError, match=r"probabilities must be numbers in \[0, 1\]"):
        replace(good, probabilities=np.where(np.arange(6) == 3, bad, said))
    good.write_parquet(tmp_path / "good.parquet")
    frame = pl.read_parquet(tmp_path / "good.parquet")
    frame.with_columns(p_subdural=pl.Series([0.5, bad])).write_parquet(tmp_path / "bad.parquet")
    out = tmp_path / "out"
    done = ichnos("compare", str(tmp_path / "good.parquet"), str(tmp_path / "bad.parquet"), "--out", str(out))
    assert done.exit_code == 1
    assert "probabilities must be numbers in [0, 1]" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not out.exists()


@pytest.mark.parametrize("threshold", [-0.01, 1.01, None, "high"])
def test_a_bundle_with_a_threshold_that_is_none_is_not_opened(tmp_path: Path, threshold: object) -> None:
    path = bright_bundle(tmp_path / "b.ichnos")
    rewrite(path, lambda tree: tree["readout"]["exams"]["any"]["balanced"].update(threshold=threshold))
    with pytest.raises(BundleError, match=r"readout\.exams\.any\.balanced\.threshold") as raised:
        load_bundle(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("form", ["ichnos-evaluation", "ichnos-folds"])
@pytest.mark.parametrize("threshold", [-0.01, 1.01, float("nan"), None, "high"])
def test_a_scorecard_with_a_threshold_that_is_none_calls_nothing(tmp_path: Path, form: str, threshold: object) -> None:
    names = np.array([f"{k:02}" for k in range(12)])
    labels = np.tile((np.arange(12) % 2 == 0)[:, None], (1, 6))
    table = Predictions(CLASSES, names, names, names, np.zeros(12), labels * 0.5 + 0.25, labels, "test")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for kind in ("predictions", "slices"):
            table.write_parquet(tmp_path / name / f"{kind}.parquet")
        (tmp_path / name / "scorecard.json").write_text(json.dumps(scorecard_of(table, form)))
    tables = [str(tmp_path / name / "slices.parquet") for name in ("a", "b")]
    asked = ("compare", *tables, "--resamples", "100", "--out")
    whole = ichnos(*asked, str(tmp_path / "whole"))
    assert whole.exit_code == 0, whole.stderr
    card = scorecard_of(table, form)
    if form == "ichnos-folds":
        card["folds"][0]["readout"]["slices"]["any"]["balanced"]["threshold"] = threshold
    else:
        card["levels"]["slice"]["classes"]["any"]["operating_points"]["balanced"]["threshold"] = threshold
    (tmp_path / "b" / "scorecard.json").write_text(json.dumps(card))
    done = ichnos(*asked, str(tmp_path / "out"))
    assert done.exit_code == 1
    assert "scorecard.json is damaged" in done.stderr
    assert "any" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def scorecard_of(table: Predictions, form: str) -> dict[str, Any]:
    """What an evaluation or a study of one fold leaves beside a table of slices, as far as calls are read from it."""
    half = {point: {"threshold": 0.5} for point in POINTS}
    positives = int(table.labels[:, 0].sum())
    row = {"labelled": True, "positives": positives, "operating_points": half}
    levels = {"slice": {"n": len(table), "classes": {c.value: row for c in CLASSES}}}
    readout = Readout.uncalibrated(CLASSES).model_dump(mode="json")
    folds = [{"test_slices": len(table), "readout": readout}]
    return json.loads(json.dumps({"form": form, "model": {"kind": "bundle"}, "levels": levels, "folds": folds}))


@pytest.mark.slow
def test_classes_that_nobody_of_an_external_set_has_are_not_measured(tmp_path: Path) -> None:
    bundle = bright_bundle(tmp_path / "b.ichnos", "0123456789abcdef")
    four = bright_set(tmp_path / "four", exams=8)
    card = evaluate_bundle(bundle, four, tmp_path / "out", SILENT, EvaluationOptions(resamples=20))
    absent = [c for c, tree in card["levels"]["exam"]["classes"].items() if tree.get("positives") == 0]
    assert absent, "four patients do not have every subtype"
    for c in absent:
        assert card["levels"]["exam"]["classes"][c]["auc"]["value"] is None
    assert "NaN" not in json.dumps(card)
