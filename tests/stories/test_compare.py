"""Two models' predictions compared by the command."""

import json
from pathlib import Path

import numpy as np
import pytest

from ichnos.evaluation.delong import delong
from ichnos.predictions import Predictions
from ichnos.progress import SILENT
from ichnos.readout import Aggregator, Readout
from ichnos.subtypes import CLASSES, Subtype
from ichnos.workflows.measured import EvaluationOptions
from ichnos.workflows.validate import evaluate_bundle
from tests.evaluation.test_level_comparison import model
from tests.stories.running import ichnos
from tests.workflows.bright import bright_bundle, bright_set

HERE = {Subtype.ANY: 0.06}
"""The prevalence of any hemorrhage."""


@pytest.fixture
def tables(tmp_path: Path) -> tuple[str, str]:
    paths = [tmp_path / "poor.parquet", tmp_path / "good.parquet"]
    for path, skill in zip(paths, (0.2, 2.5), strict=True):
        model(skill, seed=int(skill)).write_parquet(path)
    return str(paths[0]), str(paths[1])


@pytest.mark.usefixtures("undrawn")
def test_a_comparison_says_which_is_better_and_how_surely(tables: tuple[str, str], tmp_path: Path) -> None:
    out = tmp_path / "compared"
    done = ichnos("compare", *tables, "--out", str(out), "--resamples", "200", "--json")
    assert done.exit_code == 0, done.stderr
    tree = json.loads(done.stdout)
    assert tree == json.loads((out / "comparison.json").read_text())
    assert tree["first"]["file"].endswith("/poor.parquet")
    assert len(tree["rows"]) == 6, "two classes at three levels"
    for row in tree["rows"]:
        assert row["auc_second"] > row["auc_first"]
        assert row["difference"]["low"] > 0
        assert (row["delong"] is None) == (row["level"] != "patient")
    report = (out / "report.md").read_text()
    assert tree["exam_score"] == "the largest of its slices, for both models"
    for words in (
        "hang together",
        "exams.parquet, as `ichnos evaluate` writes it, was not beside both tables",
        "several exams here, which DeLong's test would take for independent",
        "Holm",
        "Not a medical device",
        "| exam | any hemorrhage | 80 |",
    ):
        assert words in report, words
    assert tree["tested"] == {"bootstrap": 6, "delong": 2}
    for row in tree["rows"]:
        for rates in row["measures"]["operating_points"].values():
            why = "no threshold was stated for an exam's largest slice"
            why = "no scorecard.json beside the table states thresholds" if row["level"] == "slice" else why
            assert rates["thresholds"] == {"first": None, "second": None}
            assert rates["f1"]["difference"]["note"] == f"not defined ({why})"
    page = (out / "report.html").read_text()
    assert page.count("<img") == page.count("data:image/svg+xml;base64,") == 6, "curves and differences at three levels"
    assert "http" not in page.replace("http://www.w3.org", "")
    for words in (
        "Sensitivity, specificity, PPV, NPV, F1 and exact match of the second: not defined (no scorecard.json beside",
        "Differences of AUC alone are tested",
        "6 by the bootstrap are one family, 2 by DeLong",
        "not defined (it is of six classes; without EDH, IPH, IVH, SAH)",
    ):
        assert words in page, words
        assert words in report, words
    again = ichnos("compare", *tables, "--out", str(out))
    assert again.exit_code == 1
    assert "holds a comparison already" in again.stderr
    measured = tmp_path / "measured"
    measured.mkdir()
    (measured / "scorecard.json").write_text("{}")
    over = ichnos("compare", *tables, "--out", str(measured))
    assert over.exit_code == 1
    assert "holds a scorecard already" in over.stderr


@pytest.mark.usefixtures("undrawn")
def test_a_class_of_few_patients_is_described(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("poor", "good")]
    for folder, skill in zip(folders, (0.2, 2.5), strict=True):
        folder.mkdir()
        model(skill, seed=int(skill), patients=12).write_parquet(folder / "predictions.parquet")
    out = tmp_path / "compared"
    done = ichnos("compare", *map(str, folders), "--out", str(out), "--resamples", "100", "--json")
    assert done.exit_code == 0, done.stderr
    tree = json.loads(done.stdout)
    assert tree["first"]["file"] == "poor/predictions.parquet", "found in the folder"
    assert {row["positive_patients"] < 10 for row in tree["rows"]} == {True}
    assert {row["difference"]["bootstrap_p"] for row in tree["rows"]} == {None}
    text = (out / "report.md").read_text()
    of_exams = next(line for line in text.splitlines() if line.startswith("| exam | any hemorrhage"))
    assert of_exams.endswith("| descriptive only | – |")
    assert "fewer than ten positive or fewer than ten negative patients, so there is no p" in text


def test_what_cannot_be_compared_is_one_line(tables: tuple[str, str], tmp_path: Path) -> None:
    damaged, out = tmp_path / "damaged.parquet", str(tmp_path / "x")
    damaged.write_bytes(b"PAR1 no more")
    for other, code, words in (
        (tables[0], 2, "are one file"),
        (str(tmp_path / "absent.parquet"), 1, "no predictions at"),
        (str(damaged), 1, "damaged.parquet cannot be read"),
        (str(tmp_path), 1, "none of out_of_fold.parquet, predictions.parquet, exams.parquet"),
        (f"{tables[1]} --prevalence 6", 2, "a prevalence lies between 0 and 1, got 6 for any"),
        (f"{tables[1]} --prevalence epidural=0.01", 2, "given for epidural, which is not compared here"),
    ):
        done = ichnos("compare", tables[0], *other.split(), "--out", out)
        assert done.exit_code == code, done.stderr
        assert words in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
    assert not Path(out).exists()


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_exams_are_compared_by_what_their_evaluations_made_of_them(tmp_path: Path) -> None:
    """Of a set whose labels are of whole exams, by bundles that take the mean of an exam's two largest slices."""
    cq = bright_set(tmp_path / "set", exams=44, labels_of="exam")
    mean = Readout.uncalibrated(CLASSES).model_copy(update={"aggregator": Aggregator(kind="top-mean", k=2)})
    measured: list[Path] = []
    for name, gain in (("a", 0.01), ("b", -0.002)):
        bundle = bright_bundle(tmp_path / f"{name}.ichnos", "0123456789abcdef", gain=gain, readout=mean)
        measured.append(tmp_path / name)
        evaluate_bundle(bundle, cq, measured[-1], SILENT, EvaluationOptions(HERE, resamples=10))
    slices, exams = ([str(folder / f"{kind}.parquet") for folder in measured] for kind in ("predictions", "exams"))
    asked = ("--prevalence", "0.06", "--resamples", "100", "--json")
    done = ichnos("compare", *slices, "--out", str(tmp_path / "c"), *asked)
    assert done.exit_code == 0, done.stderr
    tree = json.loads(done.stdout)
    assert {row["level"] for row in tree["rows"]} == {"exam", "patient"}
    assert any("which do not say which slices bleed" in note for note in tree["notes"])
    assert not any("hang together" in note for note in tree["notes"])
    assert tree["first"]["exams"]["file"] == "a/exams.parquet"
    said = [Predictions.read_parquet(Path(path)) for path in exams]
    wanted = delong(said[0].probabilities[:, -1], said[1].probabilities[:, -1], said[0].labels[:, -1])
    found = next(row for row in tree["rows"] if (row["level"], row["class"]) == ("exam", "any"))
    assert wanted is not None
    assert found["difference"]["value"] == pytest.approx(wanted.difference)
    assert found["delong"] is None, "patients have two exams each"
    given = f"ichnos compare {slices[0]} {slices[1]} --out {tmp_path / 'c'} --prevalence any=0.06"
    assert tree["command"].startswith(given)
    itself = ichnos("compare", *exams, "--out", str(tmp_path / "e"), *asked)
    assert json.loads(itself.stdout)["rows"] == tree["rows"]
    assert "# Two models on the same exams" in (tmp_path / "e" / "report.md").read_text()
    cards = [json.loads((folder / "scorecard.json").read_text()) for folder in measured]
    for row in tree["rows"]:
        for point, rates in row["measures"]["operating_points"].items():
            assert rates["thresholds"] == {"first": 0.5, "second": 0.5}
            for side, card in zip(("first", "second"), cards, strict=True):
                stated = card["levels"][row["level"]]["classes"][row["class"]]["operating_points"][point]
                at = {"ppv_at_prevalence", "npv_at_prevalence"} if row["class"] == "any" else set[str]()
                assert set(stated) == at | {"threshold", "sensitivity", "specificity", "ppv", "npv", "f1"}
                for rate in set(stated) - {"threshold"}:
                    assert rates[rate][side]["value"] == stated[rate]["value"], "called as it was evaluated"
    for level, points in tree["exact_match"].items():
        for point, match in points.items():
            for side, card in zip(("first", "second"), cards, strict=True):
                assert match[side]["value"] == card["levels"][level]["exact_match"][point]["value"]
    page = (tmp_path / "c" / "report.html").read_text()
    assert "PPV at prevalence" in page
    assert "Exact match, balanced" in page
    assert tree["kaggle_loss"] is None, "there are no slices"
    rebuilt = json.loads((measured[0] / "scorecard.json").read_text())
    rebuilt["levels"]["exam"]["n"] += 1
    (measured[0] / "scorecard.json").write_text(json.dumps(rebuilt))
    other = ichnos("compare", *exams, "--out", str(tmp_path / "s"))
    assert other.exit_code == 1
    assert "is not of the exams.parquet beside it (45 and 44 exams, or other labels)" in other.stderr
    (measured[0] / "scorecard.json").write_text("{")
    broken = ichnos("compare", *exams, "--out", str(tmp_path / "broken"))
    assert broken.exit_code == 1
    assert "cannot be read as JSON" in broken.stderr
    (measured[0] / "scorecard.json").unlink()
    mixed = ichnos("compare", slices[0], exams[1], "--out", str(tmp_path / "m"))
    assert mixed.exit_code == 1
    assert "give predictions.parquet of both evaluations, or exams.parquet of both" in mixed.stderr
    Predictions.read_parquet(Path(exams[1])).select(np.arange(5)).write_parquet(Path(exams[1]))
    odd = ichnos("compare", *slices, "--out", str(tmp_path / "o"))
    assert odd.exit_code == 1
    assert "of two evaluations; move one of them away" in odd.stderr
