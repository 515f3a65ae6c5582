"""Whole stories: from a cohort to the report by the commands a user types."""

import html
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ichnos.evaluation import slice_metrics
from ichnos.predictions import Predictions
from ichnos.subtypes import SUBTYPES
from tests.stories.running import ichnos

SHORT = ("--set", "input.size=32", "--set", "fit.epochs=2", "--set", "fit.steps_per_epoch=3", "--init", "random")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small cohort, prepared, and the study run on it."""
    folder = tmp_path_factory.mktemp("story")
    many = ",".join(f"{s.value}=0.5" for s in SUBTYPES)
    cohort = ("--exams", "14", "--seed", "3", "--matrix", "64", "--slices", "10-12", "--prevalence", many)
    assert ichnos("phantom", *cohort, "--out", str(folder / "cohort")).exit_code == 0
    prepared = ichnos("prepare", "phantom", str(folder / "cohort"), "--out", str(folder / "set"), "--json")
    assert prepared.exit_code == 0
    assert json.loads(prepared.stdout)["source"] == "phantom"
    study = ichnos("study", "paper", "--data", str(folder / "set"), "--out", str(folder / "study"), *SHORT)
    assert study.exit_code == 0, study.stderr
    return folder


def test_the_study_writes_all_that_it_promises(folder: Path) -> None:
    study = folder / "study"
    card = json.loads((study / "scorecard.json").read_text())
    assert list(card["models"]) == ["paper_model_1", "paper_model_2", "paper_model_3"]
    assert card["models"]["paper_model_3"]["classes"] == [s.value for s in SUBTYPES[1:]]
    page = html.unescape((study / "report.html").read_text())
    for words in (
        "Research use only. Not a medical device.",
        "Phantom results are phantom results",
        "Not the study's data",
        "too short to learn from",
        "Like for like",
    ):
        assert words in page, words
    names = {p.name for p in (study / "figures").iterdir()}
    assert {f"figure_{k}_paper_model_{k}.{kind}" for k in (1, 2, 3) for kind in ("svg", "png")} <= names


def test_the_scorecard_is_of_the_predictions_beside_it(folder: Path) -> None:
    import polars as pl

    study = folder / "study"
    card = json.loads((study / "scorecard.json").read_text())["models"]["paper_model_2"]["test"]
    frame = pl.read_parquet(study / "predictions.parquet").filter(
        (pl.col("model") == "paper_model_2") & (pl.col("part") == "test") & pl.col("best_of_epochs").is_null()
    )
    labels = frame.select([f"y_{s.value}" for s in SUBTYPES]).to_numpy().astype(bool)
    probabilities = frame.select([f"p_{s.value}" for s in SUBTYPES]).to_numpy()
    metrics = slice_metrics(probabilities, labels, SUBTYPES)
    assert card["exact_match"]["value"] == pytest.approx(metrics.exact_match)
    assert card["loss_sum"]["value"] == pytest.approx(metrics.loss_sum)
    assert labels.any(axis=1).all(), "the study measures positive slices only"


def test_all_models_are_measured_on_one_split(folder: Path) -> None:
    import polars as pl

    frame = pl.read_parquet(folder / "study" / "predictions.parquet")
    patients = {
        (model, part): set(frame.filter((pl.col("model") == model) & (pl.col("part") == part))["patient"])
        for model in ("paper_model_1", "paper_model_2", "paper_model_3")
        for part in ("validation", "test")
    }
    assert patients["paper_model_1", "test"] == patients["paper_model_2", "test"]
    assert patients["paper_model_3", "test"] <= patients["paper_model_2", "test"]
    assert not patients["paper_model_2", "test"] & patients["paper_model_2", "validation"]


@pytest.mark.usefixtures("undrawn")
def test_the_same_command_again_trains_nothing_and_gives_the_same_numbers(folder: Path) -> None:
    card = folder / "study" / "scorecard.json"
    before = json.loads(card.read_text())
    journal = folder / "study" / "runs" / "paper_model_1" / "journal.jsonl"
    written = journal.read_text()
    again = ichnos("study", "paper", "--data", str(folder / "set"), "--out", str(folder / "study"), *SHORT)
    assert again.exit_code == 0, again.stderr
    assert journal.read_text() == written
    assert json.loads(card.read_text()) == before


def test_another_recipe_does_not_overwrite_a_study(folder: Path) -> None:
    other = ichnos(
        "study", "paper", "--data", str(folder / "set"), "--out", str(folder / "study"), *SHORT, "--set", "fit.seed=9"
    )
    assert other.exit_code == 1
    assert "fit.seed: 0 there, 9 here" in other.stderr


@pytest.mark.usefixtures("undrawn")
def test_train_and_evaluate_one_model_on_a_fold(folder: Path) -> None:
    run, out = folder / "run", folder / "measured"
    words = ("paper_model_3", "--data", str(folder / "set"), "--out", str(run), "--fold", "1")
    short = [w for w in SHORT if w not in ("--init", "random")]
    trained = ichnos("train", *words, *short, "--set", "network.init=random", "--json")
    assert trained.exit_code == 0, trained.stderr
    assert json.loads(trained.stdout)["epochs"] == 2
    measured = ichnos("evaluate", str(run), "--data", str(folder / "set"), "--out", str(out), "--json")
    assert measured.exit_code == 0, measured.stderr
    card = json.loads(measured.stdout)
    assert (card["fold"], card["external"]) == (1, False), "a run is measured on its own fold"
    predictions = Predictions.read_parquet(out / "predictions.parquet")
    assert predictions.classes == SUBTYPES[1:]
    leaking = ichnos("evaluate", str(run), "--data", str(folder / "set"), "--out", str(folder / "x"), "--fold", "0")
    assert leaking.exit_code == 2
    assert "fold 1 then, fold 0 now" in leaking.stderr
    assert not (folder / "x").exists()
    again = ichnos("evaluate", str(run), "--data", str(folder / "set"), "--out", str(out), "--fold", "1")
    assert again.exit_code == 1
    assert "holds a scorecard already" in again.stderr


@pytest.mark.slow
def test_a_checkpoint_of_ours_can_be_where_another_begins(folder: Path) -> None:
    start = folder / "study" / "runs" / "paper_model_2" / "best.safetensors"
    words = ("paper_model_2", "--data", str(folder / "set"), "--out", str(folder / "second"))
    short = [w for w in SHORT if w not in ("--init", "random")]
    begun = ichnos("train", *words, *short, "--set", f"network.init={start}", "--set", "fit.seed=5")
    assert begun.exit_code == 0, begun.stderr
    assert "best.safetensors" in begun.stderr


def test_imagenet_weights_that_cannot_be_had_end_in_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICHNOS_CACHE", str(folder / "no-cache"))
    nowhere = "http://127.0.0.1:9/efficientnet-b0-355c32eb.pth"
    monkeypatch.setattr("ichnos.models.initial_weights._released_at", lambda network: nowhere)
    words = ("train", "paper_model_1", "--data", str(folder / "set"), "--out", str(folder / "third"))
    caches = sorted((folder / "set" / "caches").iterdir())
    result = ichnos(*words, "--set", "input.size=64")
    assert result.exit_code == 1
    assert sorted((folder / "set" / "caches").iterdir()) == caches, "told before an hour of work, not after it"
    assert "give network.init as random" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    as_told = ichnos(*words, *SHORT[:-2], "--set", "network.init=random")
    assert as_told.exit_code == 0, as_told.stderr


@pytest.mark.slow
def test_a_run_is_not_gone_on_with_from_other_weights(folder: Path) -> None:
    start, out = folder / "start.safetensors", folder / "fifth"
    best = folder / "study" / "runs"
    words = ("train", "paper_model_2", "--data", str(folder / "set"), "--out", str(out), *SHORT[:-2])
    start.write_bytes((best / "paper_model_1" / "best.safetensors").read_bytes())
    assert ichnos(*words, "--set", f"network.init={start}").exit_code == 0
    start.write_bytes((best / "paper_model_2" / "best.safetensors").read_bytes())
    other = ichnos(*words, "--set", f"network.init={start}")
    assert other.exit_code == 1
    assert "began from other weights" in other.stderr


def test_the_readmes_python_for_sets_runs(folder: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (Path(__file__).parents[2] / "README.md").read_text(), re.DOTALL)
    (block,) = [each for each in blocks if "PreparedSet" in each]
    names: dict[str, Any] = {}
    exec(block.replace("sets/rsna", str(folder / "set")), names)
    assert names["hu"].dtype == np.int16
    assert names["labels"].shape == (5,)


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_another_set_is_external(folder: Path) -> None:
    cohort = ("--exams", "8", "--seed", "4", "--matrix", "64", "--slices", "10-12", "--prevalence", "raised")
    assert ichnos("phantom", *cohort, "--out", str(folder / "cohort-2")).exit_code == 0
    assert ichnos("prepare", "phantom", str(folder / "cohort-2"), "--out", str(folder / "set-2")).exit_code == 0
    run = folder / "study" / "runs" / "paper_model_2"
    measured = ichnos("evaluate", str(run), "--data", str(folder / "set-2"), "--out", str(folder / "ext"), "--json")
    assert measured.exit_code == 0, measured.stderr
    assert json.loads(measured.stdout)["external"] is True


def test_a_frozen_backbone_with_random_weights_is_refused(folder: Path) -> None:
    words = ("train", "paper_model_1_frozen", "--data", str(folder / "set"), "--out", str(folder / "fourth"))
    result = ichnos(*words, "--set", "network.init=random")
    assert result.exit_code == 2
    assert "frozen backbone with random weights cannot learn" in result.stderr
