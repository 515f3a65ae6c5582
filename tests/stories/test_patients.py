"""Whole stories of a curve by training patients, by the command a user types."""

import html
import json
from pathlib import Path

import pytest

from ichnos.subtypes import SUBTYPES
from tests.stories.running import ichnos

CUT = ("--set", "network.backbone=small-cnn", "--set", "network.init=random", "--set", "input.size=32")
SHORT = (*CUT, "--set", "fit.epochs=2", "--set", "fit.patience=null", "--set", "fit.batch_size=16")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("patients")
    many = ",".join(f"{s.value}=0.3" for s in SUBTYPES)
    cohort = ("--exams", "40", "--seed", "5", "--matrix", "64", "--slices", "10-11", "--prevalence", many)
    assert ichnos("phantom", *cohort, "--out", str(folder / "cohort")).exit_code == 0
    assert ichnos("prepare", "phantom", str(folder / "cohort"), "--out", str(folder / "set")).exit_code == 0
    return folder / "set"


@pytest.mark.slow
def test_a_curve_from_a_cohort_to_its_page(prepared: Path, tmp_path: Path) -> None:
    out = tmp_path / "curve"
    words = ("study", "patients", "model_2_any", "--data", str(prepared), "--out", str(out), *SHORT)
    told = ichnos(*words, "--shares", "0.3,0.6,1", "--resamples", "200", "--json")
    assert told.exit_code == 0, told.stderr
    card = json.loads(told.stdout)
    assert card == json.loads((out / "scorecard.json").read_bytes())
    sizes = [point["patients"] for point in card["points"]]
    assert sizes == sorted(sizes)
    assert sizes[-1] == card["counts"]["train"]["patients"]
    assert all(
        count for point in card["points"] for run in point["runs"] for count in run["positive_patients"].values()
    )
    page = html.unescape((out / "report.html").read_text())
    for said in ("These slices are synthetic", "Mean of the classes", "--shares 0.3,0.6,1", "data:image/svg+xml"):
        assert said in page, said
    for kind in ("svg", "png"):
        assert (out / "figures" / f"auc_by_patients.{kind}").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--shares", "half,1"), 2, "--shares wants numbers with commas"),
        (("--shares", "0,1"), 2, "above 0 and at most 1, got 0"),
        (("--shares", "0.01,1"), 2, "leaves no positive of"),
        (("--equal", "slices"), 2, "--equal is epochs or steps, got 'slices'"),
    ],
)
def test_what_is_refused(prepared: Path, tmp_path: Path, words: tuple[str, ...], code: int, said: str) -> None:
    asked = ("study", "patients", "model_2_any", "--data", str(prepared), "--out", str(tmp_path / "out"), *words)
    told = ichnos(*asked)
    assert (told.exit_code, said in told.stderr) == (code, True), told.stderr
    assert not (tmp_path / "out").exists()
