"""A run measured: which classes count, what is refused before a network runs, its maps, and what its page answers."""

import html
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ichnos.data.set import PreparedSet
from ichnos.data.splits import Part
from ichnos.errors import UsageError, WeightsError
from ichnos.evaluation.readout import Fitting
from ichnos.models import SliceClassifier, save_checkpoint
from ichnos.predictions import Predictions
from ichnos.progress import SILENT
from ichnos.recipe import Population, SliceRecipe
from ichnos.recipes.reader import RECIPE as READER
from ichnos.reporting.unfitted import LACKING
from ichnos.subtypes import CLASSES, SUBTYPES, Subtype
from ichnos.workflows.evaluate import evaluate_run
from ichnos.workflows.exam_data import said_of_exam
from ichnos.workflows.measured import EvaluationOptions
from ichnos.workflows.run_maps import RunMaps
from ichnos.workflows.stated_calls import AS_GIVEN, stated_calls, unmeasured
from ichnos.workflows.subgrouping import Subgrouping
from ichnos.workflows.train import open_data
from ichnos.workflows.trained import open_run
from tests.stories.running import ichnos
from tests.workflows.bright import bright_set

pytestmark = pytest.mark.usefixtures("one_thread", "undrawn")

FEW = EvaluationOptions(resamples=20)
TINY: SliceRecipe = READER.derive(
    network={"backbone": "separable", "init": "random"}, synthetic=None, augmentation=None, **{"input.size": 64}
)
ANOTHER_SET = {"source": "phantom", "set": "0123456789abcdef", "everyone": False}


def run_of(folder: Path, recipe: SliceRecipe = TINY, bias: float | None = None, **more: Any) -> Path:
    """As training on another set would leave it: of random weights. bias: of every output."""
    classifier = SliceClassifier.seeded(recipe, 1)
    if bias is not None:
        with torch.no_grad():
            classifier.head.output.bias.fill_(bias)
    told = {"epoch": 3, "validation_loss": 0.5, "origin": ANOTHER_SET} | more
    save_checkpoint(folder / "best.safetensors", classifier, told)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without labels of epidurals, with masks."""
    known = (*SUBTYPES[1:], Subtype.ANY)
    return bright_set(tmp_path_factory.mktemp("bright") / "set", exams=12, labelled=known, masks=True)


@pytest.fixture(scope="module")
def measured(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("measured")
    first = {"backbone": "imagenet", "head": "random", "digest": "0f0f0f0f", "learnt_from": []}
    run = run_of(folder / "run", first_weights=first)
    (run / "environment.json").write_text(json.dumps({"versions": {"torch": "9.8.7"}}))
    options = EvaluationOptions(prevalence={Subtype.ANY: 0.06}, resamples=20, thresholds={Subtype.ANY: 0.3})
    return folder / "out", evaluate_run(run, data, folder / "out", SILENT, options, device="cpu")


@pytest.mark.slow
def test_a_class_that_the_set_does_not_label_counts_nowhere(measured: tuple[Path, dict[str, Any]]) -> None:
    out, card = measured
    known = [c.value for c in CLASSES[1:]]
    assert card["external"]
    assert card["labelled"] == known
    assert card["levels"]["exam"]["classes"]["epidural"] == {"labelled": False}
    assert list(card["test"]["auc"]) == list(card["test"]["support"]) == known
    table = Predictions.read_parquet(out / "predictions.parquet").restrict(CLASSES[1:])
    matched = ((table.probabilities >= 0.5) == table.labels).all(axis=1).mean()
    assert card["test"]["exact_match"]["value"] == pytest.approx(matched), "epidurals are neither right nor wrong"


@pytest.mark.slow
def test_slices_and_exams_are_called_as_the_scorecard_says(measured: tuple[Path, dict[str, Any]]) -> None:
    """By who reads the tables and the thresholds afterwards, as `ichnos compare` does."""
    out, card = measured
    assert unmeasured(card) == {Subtype.EPIDURAL}
    for name, level in (("slices", "slice"), ("exams", "exam")):
        path = out / f"{name}.parquet"
        table = Predictions.read_parquet(path)
        stated = stated_calls(path, table, card)
        for point, called in stated.points.items():
            for k, c in enumerate(called.classes):
                told = card["levels"][level]["classes"][c.value]["operating_points"][point]
                positive = called.labels[:, k]
                assert stated.thresholds[point][c] == told["threshold"]
                found, false = (called.probabilities[rows, k].sum() for rows in (positive, ~positive))
                assert found == pytest.approx((told["sensitivity"]["value"] or 0) * positive.sum())
                assert false == pytest.approx((1 - told["specificity"]["value"]) * (~positive).sum())
    given = out / "predictions.parquet"
    assert stated_calls(given, Predictions.read_parquet(given), card).why_not == AS_GIVEN


@pytest.mark.slow
def test_what_validation_lacks_is_said_beside_the_numbers(data: Path, tmp_path: Path) -> None:
    """A run on its own set, whose few validation patients do not have every subtype."""
    opened = open_data(data, 0)
    out = tmp_path / "out"
    asked = replace(FEW, fitting=Fitting(0.8))
    card = evaluate_run(run_of(tmp_path / "run", origin=opened.origin), data, out, SILENT, asked, device="cpu")
    assert card["model"]["high_sensitivity"] == 0.8
    found = opened.prepared.labels_of(CLASSES)[opened.rows(Population(slices="all"), Part.VALIDATION)].any(axis=0)
    lacking = {c for k, c in enumerate(CLASSES) if not found[k] and c is not Subtype.EPIDURAL}
    assert lacking
    assert Subtype.ANY not in lacking
    for text in (card["model"]["operating_points"], card["model"]["uncalibrated"]):
        assert {c for c in CLASSES if c.display_name.lower() in text} == lacking, "epidurals are not measured at all"
    for c in lacking:
        assert card["levels"]["exam"]["classes"][c.value]["operating_points"]["balanced"]["threshold"] == 0.5
    thresholds, calibration = card["doubts"][-2:]
    assert thresholds.startswith("Thresholds of 0.5 that nobody chose")
    assert ": of slices and exams for " in thresholds
    page, text = html.unescape((out / "report.html").read_text()), (out / "report.md").read_text()
    assert "The high sensitivity point reached at least 80 % sensitivity on validation patients" in page
    for words in (thresholds, calibration):
        assert words in page
        assert words in text
    assert f"reliability diagrams, before and after; not calibrated {LACKING}" in text


@pytest.mark.slow
def test_any_is_the_sets_own_where_it_tells_no_subtypes(tmp_path: Path) -> None:
    untold = bright_set(tmp_path / "set", exams=8, labels_of="exam", labelled=(Subtype.ANY,), untold=True)
    recipe = TINY.derive(classes=SUBTYPES)
    card = evaluate_run(run_of(tmp_path / "run", recipe), untold, tmp_path / "out", SILENT, FEW, device="cpu")
    assert card["labelled"] == ["any"]
    row = card["levels"]["exam"]["classes"]["any"]
    assert (row["positives"], row["negative_patients"]) == (4, 2), "not the union of subtypes that nobody labelled"
    assert row["auc"]["value"] is not None
    assert "test" not in card, "none of the network's own classes is labelled"


@pytest.mark.slow
def test_calls_at_a_given_threshold_are_those_of_the_probability_alone(measured: tuple[Path, dict[str, Any]]) -> None:
    out, card = measured
    assert "--threshold any=0.3" in card["command"]
    table = Predictions.read_parquet(out / "exams.parquet")
    some, positive = (each[:, table.classes.index(Subtype.ANY)] for each in (table.probabilities, table.labels))
    told = card["levels"]["exam"]["classes"]["any"]["operating_points"]["given"]
    assert told["threshold"] == 0.3
    assert told["sensitivity"]["value"] == pytest.approx((some >= 0.3)[positive].mean())
    assert told["specificity"]["value"] == pytest.approx((some < 0.3)[~positive].mean())
    assert {"ppv_at_prevalence", "npv_at_prevalence"} <= told.keys()
    others = card["levels"]["exam"]["classes"]["subdural"]["operating_points"]
    assert others.keys() == {"high_sensitivity", "balanced"}
    page = (out / "report.html").read_text()
    assert page.count("calls at both operating points and at given thresholds") == len(card["levels"])


@pytest.mark.parametrize(
    ("threshold", "complaint"),
    [
        ("epidural=0.1", "--threshold is given for epidural, which is not measured here"),
        ("1.5", "a threshold is a probability from 0 to 1, got 1.5 for any"),
        ("subdural=-0.1", "a threshold is a probability from 0 to 1, got -0.1 for subdural"),
        ("nan", "a threshold is a probability from 0 to 1, got nan for any"),
        ("high", "--threshold wants a probability such as 0.3, or CLASS=NUMBER"),
    ],
)
def test_a_threshold_that_cannot_be_is_refused(data: Path, tmp_path: Path, threshold: str, complaint: str) -> None:
    run = run_of(tmp_path / "run")
    done = ichnos("evaluate", str(run), "--data", str(data), "--out", str(tmp_path / "out"), "--threshold", threshold)
    assert done.exit_code == 2
    assert complaint in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_prevalence_of_what_is_not_measured_is_refused(data: Path, tmp_path: Path) -> None:
    run = run_of(tmp_path / "run")
    words = ("evaluate", str(run), "--data", str(data), "--out", str(tmp_path / "out"))
    done = ichnos(*words, "--prevalence", "epidural=0.01")
    assert done.exit_code == 2
    assert "given for epidural, which is not measured here" in done.stderr
    assert "measured are intraparenchymal, intraventricular, subarachnoid, subdural, any" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_subgroups_of_exams_are_not_asked_of_a_run_that_judges_slices(tmp_path: Path) -> None:
    whole = bright_set(tmp_path / "set", exams=8)
    recipe = TINY.derive(classes=SUBTYPES, **{"population.slices": "positives"})
    options = EvaluationOptions(subgroups=Subgrouping("sex"), resamples=20)
    with pytest.raises(UsageError, match="--by makes subgroups of exams"):
        evaluate_run(run_of(tmp_path / "run", recipe), whole, tmp_path / "out", SILENT, options, device="cpu")


@pytest.mark.parametrize("fold", [-1, 5])
def test_a_fold_that_the_set_has_not_is_refused(tmp_path: Path, fold: int) -> None:
    whole = bright_set(tmp_path / "set", exams=12, slices=1)
    with pytest.raises(UsageError, match=f"no fold {fold}: this set has folds 0 to 4"):
        evaluate_run(run_of(tmp_path / "run"), whole, tmp_path / "out", SILENT, FEW, fold=fold, device="cpu")


def test_weights_that_give_no_numbers_are_an_error_that_names_slices(data: Path, tmp_path: Path) -> None:
    broken = run_of(tmp_path / "run", bias=float("nan"))
    with pytest.raises(WeightsError, match=r"reader gives no probabilities for 48 slices of 48 \(rows 0, 1, 2.* more"):
        evaluate_run(broken, data, tmp_path / "out", SILENT, FEW, device="cpu")
    assert not (tmp_path / "out").exists()


def test_a_run_of_any_alone_is_refused(data: Path, tmp_path: Path) -> None:
    gate = run_of(tmp_path / "run", TINY.derive(classes=(Subtype.ANY,)))
    with pytest.raises(UsageError, match=r"names `any` alone.*as the gate of a cascade"):
        evaluate_run(gate, data, tmp_path / "out", SILENT, FEW, device="cpu")


def test_maps_of_single_slices_are_those_of_the_whole_exam(data: Path, tmp_path: Path) -> None:
    """With the neighbours that the exam has, in whatever order they are asked for."""
    prepared, model = PreparedSet(data), open_run(run_of(tmp_path / "run"))
    maps = RunMaps(model, prepared, device="cpu")
    assert maps.side == 2
    rows = np.flatnonzero(prepared.exams == "e003")
    offsets = prepared.index["offset"].to_numpy()[rows]
    rows = rows[np.argsort(offsets)]
    hu = [prepared.hu(int(row)) for row in rows]
    _, _, whole = said_of_exam(model.graph(), model.recipe.widest, hu, np.sort(offsets), maps=True)
    assert whole is not None
    found, wanted = maps.of(rows[[3, 1]]) / whole.max(), whole[[3, 1]] / whole.max()
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert abs(wanted[0] - wanted[1]).max() > 0.01, "slices differ"
    heat = maps.heat(rows, 1, Subtype.SUBDURAL)
    assert heat.shape == (32, 32)


@pytest.mark.slow
def test_a_page_answers_what_is_known_and_no_more(measured: tuple[Path, dict[str, Any]]) -> None:
    out, card = measured
    assert card["localisation"]["classes"]["any"]["slices"] == 12, "marked slices, labelled or not"
    assert card["model"]["parameters"] == sum(p.numel() for p in SliceClassifier.seeded(TINY, 0).parameters())
    plain = (out / "report.md").read_text()
    for answer in (
        "windows L40 W80, L80 W200",
        "resized to 64×64",
        "3 slices 5 mm apart as channels",
        "backbone imagenet (SHA-256 0f0f0f0f…), head random",
        "epoch 3 of at most",
        "not augmented",
        f"{card['model']['parameters'] / 1e6:.2f} M",
        "none: one model |",
        "trained with torch 9.8.7",
        "class maps (Grad-CAM) of 2×2 cells, beside the errors and measured against masks",
        "the surest misses and false calls at the balanced point, by a slice an exam: Errors in report.html",
        "the model is not calibrated",
        "no labels of epidural",
    ):
        assert answer in plain, answer
    page = html.unescape((out / "report.html").read_text()).replace("\u00a0", " ")
    assert "Below each the class map over it" in page
    assert "point reached the sensitivity that was asked for" in page, "another set: no points were set"
    for level in ("slices", "exams", "patients"):
        assert f"as if so many of all {level} had the class: any hemorrhage 6 %" in page


@pytest.mark.parametrize(("source", "doubted"), [("folder", True), ("rsna", False)])
def test_another_set_of_the_same_source_is_doubted(data: Path, tmp_path: Path, source: str, doubted: bool) -> None:
    run = run_of(tmp_path / "run", origin=ANOTHER_SET | {"source": source})
    card = evaluate_run(run, data, tmp_path / "out", SILENT, FEW, device="cpu")
    assert card["external"]
    assert any("another set of the same source (folder)" in doubt for doubt in card["doubts"]) == doubted
