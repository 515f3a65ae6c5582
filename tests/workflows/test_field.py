"""Many recipes on the same folds: one report, nothing trained twice, differences that are paired."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ichnos.data.preparing import prepare
from ichnos.data.splits import split
from ichnos.errors import InputError, UsageError
from ichnos.evaluation.multiplicity import holm
from ichnos.evaluation.readout import Fitting
from ichnos.models.classifier import SliceClassifier
from ichnos.models.cost import parameters_of
from ichnos.predictions import Predictions
from ichnos.progress import SILENT
from ichnos.readout import Bound
from ichnos.recipes import find
from ichnos.subtypes import CLASSES, SUBTYPES, Subtype
from ichnos.workflows import cost
from ichnos.workflows.compare import FOLDS_ARE_CALIBRATED, FOLDS_ARE_POOLED, LARGEST_SLICE, compare_predictions
from ichnos.workflows.field import FieldOptions, study_field
from ichnos.workflows.subgrouping import Subgrouping
from tests.data.in_memory import InMemorySource

pytestmark = pytest.mark.usefixtures("one_thread", "undrawn", "unexported")

TINY = '''"""{title}."""
from ichnos.recipes.{base} import RECIPE as BASE
RECIPE = BASE.derive(name="{name}", title="{title}", **{changes})
'''
SLICE = {
    "network": {"backbone": "small-cnn", "init": "random"},
    "input.size": 32,
    "augmentation": None,
    "synthetic": None,
    "fit": {"epochs": 2, "batch_size": 8, "steps_per_epoch": 2, "patience": None},
}


def recipe_file(folder: Path, name: str, base: str, **changes: object) -> str:
    path = folder / f"{name}.py"
    path.write_text(TINY.format(title=f"Tiny {name}", base=base, name=name, changes=repr(changes)))
    return str(path)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = prepare(InMemorySource(exams=48, slices=3), tmp_path_factory.mktemp("field") / "set", SILENT, workers=1)
    split(made, seed=0, folds=3)
    return made.path


@pytest.fixture(scope="module")
def options(data: Path) -> FieldOptions:
    folder = data.parent
    gate, second = ({f"{stage}.{name}": value for name, value in SLICE.items()} for stage in ("gate", "subtypes"))
    return FieldOptions(
        (
            recipe_file(folder, "single", "reader", **SLICE | {"input.neighbours": 0}),
            recipe_file(folder, "three", "reader", **SLICE),
            recipe_file(folder, "two_stages", "cascade", **gate, **second),
            recipe_file(folder, "positives", "paper_model_2", **SLICE),
        ),
        against={"two_stages": "single"},
        title="Tiny field",
    )


@pytest.fixture(scope="module")
def studied(data: Path, options: FieldOptions) -> Path:
    out = data.parent / "out"
    study_field(data, out, options, SILENT, device="cpu")
    return out


def test_every_recipe_is_measured_on_the_same_patients(studied: Path) -> None:
    card = json.loads((studied / "scorecard.json").read_text())
    assert list(card["recipes"]) == ["single", "three", "two_stages", "positives"]
    assert {card["recipes"][name]["exams"]["n"] for name in ("single", "three", "two_stages")} == {48}
    assert [(step["recipe"], step["against"]) for step in card["steps"]] == [
        ("three", "single"),
        ("two_stages", "single"),
        ("positives", "two_stages"),
    ]
    assert card["command"].startswith("ichnos study field --data ")


def test_a_gain_is_the_difference_of_what_is_reported(studied: Path) -> None:
    card = json.loads((studied / "scorecard.json").read_text())
    aucs = {
        name: card["recipes"][name]["slices"]["classes"]["any"]["auc_mean_of_folds"]["value"]
        for name in ("single", "three")
    }
    gain = card["steps"][0]["gains"]["slices"]["any"]["difference"]
    assert gain["value"] == pytest.approx(aucs["three"] - aucs["single"])
    assert gain["low"] <= gain["value"] <= gain["high"]
    assert gain["holm_p"] >= gain["bootstrap_p"]


def test_every_difference_that_is_printed_is_corrected_in_one_family(studied: Path) -> None:
    card = json.loads((studied / "scorecard.json").read_text())
    printed = [
        gains[c][which]
        for step in card["steps"]
        for gains in step["gains"].values()
        for c, which in (("any", "difference"), ("any", "pooled"), *((subtype.value, "pooled") for subtype in SUBTYPES))
    ]
    assert len(printed) == 2 * 3 * 7, "two steps, at slices, exams and patients"
    assert [each["holm_p"] for each in printed] == holm([each["bootstrap_p"] for each in printed])
    assert card["gain_tests"] == sum(each["bootstrap_p"] is not None for each in printed)
    text = (studied / "report.md").read_text()
    first = text.partition("**What each step gains: epidural**")[2].splitlines()[4]
    epidural = card["steps"][0]["gains"]["slices"]["epidural"]
    said = ["three", "single", "slices", str(epidural["positive_patients"])]
    assert first.strip("| ").split(" | ")[:4] == said
    assert ("descriptive only" in first) == (epidural["positive_patients"] < 10)


def test_every_level_of_every_recipe_is_measured(studied: Path) -> None:
    card = json.loads((studied / "scorecard.json").read_text())
    assert {level: tree["n"] for level, tree in card["recipes"]["three"]["levels"].items()} == {
        "slice": 144,
        "exam": 48,
        "patient": 24,
    }
    positives = card["recipes"]["positives"]["levels"]
    assert list(positives) == ["slice"], "nothing is said of finding hemorrhage by a model of positives"
    assert "any" not in positives["slice"]["classes"]
    assert "hemorrhage alone (positives)" in (studied / "report.md").read_text()
    own = (studied / "positives" / "report.html").read_text()
    assert "nothing is said of finding them" in own
    assert "Not labelled" not in own
    text = (studied / "report.md").read_text()
    assert "| Demographics | CLAIM 36; TRIPOD+AI 20b | age of 24 patients: median " in text
    for title in ("Any hemorrhage, patients: calls at both", "All classes together", "Subtypes by patient"):
        assert f"**{title}" in text
    assert "## For a manuscript" in text


def test_an_ended_study_is_measured_at_another_prevalence_without_training(
    data: Path, options: FieldOptions, studied: Path, tmp_path: Path
) -> None:
    """So is one that ended before every level was measured."""
    out = tmp_path / "again"
    shutil.copytree(studied, out)
    old = json.loads((out / "single" / "scorecard.json").read_text())
    for name in ("levels", "prevalence", "resamples", "kaggle_clip", "parameters"):
        del old[name]
    (out / "single" / "scorecard.json").write_text(json.dumps(old))
    before = json.loads((studied / "single" / "scorecard.json").read_text())
    trained = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    one = FieldOptions(options.recipes[:1])
    study_field(data, out, one, SILENT, device="cpu")
    assert json.loads((out / "single" / "scorecard.json").read_text()) == before
    card = study_field(data, out, replace(one, prevalence={Subtype.ANY: 0.06}), SILENT, device="cpu")
    point = card["recipes"]["single"]["levels"]["exam"]["classes"]["any"]["operating_points"]["balanced"]
    ppv, rest = point["ppv_at_prevalence"]["value"], point["specificity"]["value"]
    assert ppv == pytest.approx(
        0.06 * point["sensitivity"]["value"] / (0.06 * point["sensitivity"]["value"] + 0.94 * (1 - rest))
    )
    assert "PPV at 6\u00a0%" in (out / "report.md").read_text()
    assert card["command"].endswith("--prevalence any=0.06")
    assert trained == {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}


def test_an_ended_study_is_parted_and_judged_anew_without_training(
    data: Path, options: FieldOptions, studied: Path, tmp_path: Path
) -> None:
    """Every recipe of all slices; one of positives judges no exams."""
    out = tmp_path / "again"
    shutil.copytree(studied, out)
    trained = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    two = FieldOptions((options.recipes[0], options.recipes[3]), subgroups=Subgrouping("epidural"))
    assert "| Subgroups | CLAIM 30; TRIPOD+AI 12d, 23a, 23b | none were asked for (--by) |" in (
        (out / "report.md").read_text()
    )
    card = study_field(data, out, two, SILENT, device="cpu")
    groups = card["recipes"]["single"]["subgroups"]["groups"]
    assert set(groups) == {"True", "False"}
    assert sum(group["n"] for group in groups.values()) == 48
    assert "subgroups" not in card["recipes"]["positives"]
    assert card["command"].endswith("--by epidural")
    text = (out / "report.md").read_text()
    assert f"| single | True | {groups['True']['n']} |" in text.partition("in exams, by epidural")[2]
    assert "| Subgroups | CLAIM 30; TRIPOD+AI 12d, 23a, 23b | by epidural (single) |" in text
    assert "in exams, by epidural" in (out / "single" / "report.md").read_text()
    assert trained == {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    other = replace(two, recipes=two.recipes[:1], subgroups=Subgrouping(), fitting=Fitting(0.8, Bound.RAISE_ANY))
    card = study_field(data, out, other, SILENT, device="cpu")
    readouts = [fold["readout"] for fold in json.loads((out / "single" / "scorecard.json").read_text())["folds"]]
    assert {(each["high_sensitivity"], each["bound"]) for each in readouts} == {(0.8, "raise-any")}
    assert card["command"].endswith("--sensitivity 0.8 --bound raise-any")
    for folder in (out, out / "single"):
        assert "at least 80 % sensitivity there" in (folder / "report.md").read_text()
        assert "The high sensitivity point reached at least 80 % sensitivity" in (folder / "report.html").read_text()
    assert trained == {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    with pytest.raises(UsageError, match="no column ward"):
        study_field(data, out, replace(two, subgroups=Subgrouping("ward")), SILENT, device="cpu")


def test_gains_beside_auc_have_intervals_and_no_p(studied: Path) -> None:
    card = json.loads((studied / "scorecard.json").read_text())
    every = {"slices", "exams", "patients"}
    assert [set(step["measures"]) for step in card["steps"]] == [every, every, set()]
    assert all(set(level) == set(CLASSES) for level in card["steps"][0]["measures"].values())
    own = [
        json.loads((studied / name / "scorecard.json").read_text())["levels"]["exam"]["classes"]["any"]
        for name in ("single", "three")
    ]
    found = card["steps"][0]["measures"]["exams"]["any"]
    for side, told in zip(("first", "second"), own, strict=True):
        assert found["brier"][side]["value"] == pytest.approx(told["calibration"]["after"]["brier"]["value"])
        for point, rates in found["operating_points"].items():
            for rate in ("sensitivity", "ppv", "npv"):
                assert rates[rate][side]["value"] == told["operating_points"][point][rate]["value"]
    assert "bootstrap_p" not in json.dumps([card["steps"][0][name] for name in ("measures", "exact_match")])
    page, text = ((studied / f"report.{form}").read_text() for form in ("html", "md"))
    for title in ("average precision, Brier score and log loss", "sensitivity, specificity, PPV, NPV and F1"):
        assert f"<summary>What each step gains beside AUC: {title}, any hemorrhage</summary>" in page
        assert f"**What each step gains beside AUC: {title}, any hemorrhage**" in text
    assert "| three | single | exams | high sensitivity | " in text
    rows = text.partition("**What each step gains beside AUC: all classes together**")[2].partition("**")[0]
    assert [f"| three | single | {level} | " in rows for level in every] == [True] * 3
    assert "subtype stands in scorecard.json, under `measures` of each of `steps`" in text


def values(measures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, float]:
    return {f"{name} {side}": number["value"] for name, each in measures.items() for side, number in each.items()}


def test_compare_finds_the_pooled_differences_of_the_study(studied: Path, tmp_path: Path) -> None:
    card = json.loads((studied / "scorecard.json").read_text())
    tree = compare_predictions(studied / "single", studied / "three", tmp_path / "c", SILENT)
    assert tree["high_sensitivity"] == {"first": 0.95, "second": 0.95}
    assert [tree[name]["exams"]["file"] for name in ("first", "second")] == [
        "single/exams.parquet",
        "three/exams.parquet",
    ]
    assert FOLDS_ARE_CALIBRATED in tree["notes"]
    gains = card["steps"][0]["gains"]
    assert {row["level"] for row in tree["rows"]} == {"slice", "exam", "patient"}
    for row in tree["rows"]:
        pooled = gains[f"{row['level']}s"][row["class"]]["pooled"]["value"]
        assert row["difference"]["value"] == (None if pooled is None else pytest.approx(pooled))
    readouts = [fold["readout"] for fold in json.loads((studied / "three/scorecard.json").read_text())["folds"]]
    step = card["steps"][0]
    assert {(level, c) for level, found in step["measures"].items() for c in found} == {
        (f"{row['level']}s", row["class"]) for row in tree["rows"]
    }
    for row in tree["rows"]:
        level, c = f"{row['level']}s", row["class"]
        measures, stated = dict(row["measures"]), dict(step["measures"][level][c])
        points, known = measures.pop("operating_points"), stated.pop("operating_points")
        for point, rates in points.items():
            of = "slices" if level == "slices" else "exams"
            assert rates.pop("thresholds")["second"] == [r[of][c][point]["threshold"] for r in readouts]
            assert values(rates) == pytest.approx(values(known[point])), "each fold by its own thresholds"
        assert values(measures) == pytest.approx(values(stated))
    for level, found in tree["exact_match"].items():
        assert values(found) == pytest.approx(values(step["exact_match"][f"{level}s"]))
    assert values({"loss": tree["kaggle_loss"]}) == pytest.approx(values({"loss": step["kaggle_loss"]}))
    assert step["kaggle_loss"]["difference"]["low"] < step["kaggle_loss"]["difference"]["high"]
    with pytest.raises(InputError, match="give a folder that is in it: positives, single, three, two_stages"):
        compare_predictions(studied, studied / "single", tmp_path / "d", SILENT)


def test_an_older_study_is_compared_as_it_was_given_until_its_command_is_given_again(
    data: Path, options: FieldOptions, studied: Path, tmp_path: Path
) -> None:
    out = tmp_path / "older"
    shutil.copytree(studied, out)
    for name in ("slices", "exams"):
        (out / "single" / f"{name}.parquet").unlink()
    given = (out / "single" / "out_of_fold.parquet").read_bytes()
    tree = compare_predictions(out / "single", out / "three", tmp_path / "c", SILENT, resamples=100)
    assert tree["second"]["file"] == "three/out_of_fold.parquet"
    assert "exams" not in tree["second"]
    assert {FOLDS_ARE_POOLED, LARGEST_SLICE} <= set(tree["notes"])
    study_field(data, out, FieldOptions(options.recipes[:1]), SILENT, device="cpu")
    assert (out / "single" / "out_of_fold.parquet").read_bytes() == given
    for name in ("slices", "exams"):
        kept = studied / "single" / f"{name}.parquet"
        assert (out / "single" / f"{name}.parquet").read_bytes() == kept.read_bytes()
    Predictions.read_parquet(kept).select(np.arange(3)).write_parquet(out / "single" / "exams.parquet")
    with pytest.raises(InputError, match="of two evaluations; move one of them away"):
        compare_predictions(out / "single", out / "three", tmp_path / "d", SILENT, resamples=100)
    shutil.copy(out / "positives" / "slices.parquet", out / "single" / "slices.parquet")
    with pytest.raises(InputError, match="of two studies; move one of them away"):
        compare_predictions(out / "single", out / "three", tmp_path / "d", SILENT, resamples=100)


def test_models_of_other_slices_are_not_compared_and_not_ranked(studied: Path) -> None:
    card = json.loads((studied / "scorecard.json").read_text())
    assert "different slices" in card["steps"][2]["why_not"]
    ranked = [row["recipe"] for row in card["ranking"]["rows"]]
    assert sorted(ranked) == ["single", "three", "two_stages"]
    values = [card["recipes"][name]["exams"]["classes"]["any"]["auc_mean_of_folds"]["value"] for name in ranked]
    assert values == sorted(values, reverse=True)


def test_a_fold_is_measured_by_the_recipe_that_its_own_validation_patients_choose(studied: Path) -> None:
    card = json.loads((studied / "scorecard.json").read_text())
    said = {name: json.loads((studied / name / "scorecard.json").read_text()) for name in ("single", "three")}
    said["two_stages"] = json.loads((studied / "two_stages" / "scorecard.json").read_text())
    tables = {name: Predictions.read_parquet(studied / name / "slices.parquet") for name in said}
    ends = np.cumsum([0, *(fold["test_slices"] for fold in said["single"]["folds"])])
    aucs: list[float] = []
    for k, row in enumerate(card["choice"]["folds"]):
        inner = {n: np.mean([v["any"] for v in c["folds"][k]["validation_auc"].values()]) for n, c in said.items()}
        assert row["inner"] == pytest.approx(inner[row["recipe"]])
        assert row["inner"] == pytest.approx(max(inner.values()))
        table = tables[row["recipe"]].select(np.arange(ends[k], ends[k + 1])).restrict((Subtype.ANY,))
        aucs.append(float(roc_auc_score(table.labels[:, 0], table.probabilities[:, 0])))
        assert row["slices"] == pytest.approx(aucs[-1])
    assert card["choice"]["slices"]["value"] == pytest.approx(np.mean(aucs))
    assert card["choice"]["slices"]["low"] < card["choice"]["slices"]["high"]
    assert "each fold chooses its recipe" in (studied / "report.md").read_text()


def test_what_another_recipe_has_trained_is_taken_over(studied: Path) -> None:
    for k in range(3):
        gate, three = (studied / name / f"fold-{k}" for name in ("two_stages", "three"))
        assert (gate / "gate" / "journal.jsonl").read_bytes() == (three / "journal.jsonl").read_bytes()
        assert (gate / "gate" / "best.safetensors").read_bytes() == (three / "best.safetensors").read_bytes()


@pytest.mark.slow
def test_costs_are_counted_and_measured(studied: Path, options: FieldOptions, tmp_path: Path) -> None:
    recipes = [find(name).recipe for name in options.recipes[1:]]
    run = tmp_path / "positives"
    shutil.copytree(studied / "positives" / "fold-0", run)
    costs = [cost.costs_of_runs({"positives": (run, recipes[2])}, SILENT)["positives"]]
    three, two_stages = (sum(parameters_of(SliceClassifier(s)) for s in r.stages.values()) for r in recipes[:2])
    assert two_stages == three + costs[0]["parameters"]
    assert 0 < costs[0]["seconds"] <= costs[0]["seconds_highest"]
    assert costs[0]["bundle_bytes"] > 4 * costs[0]["parameters"]
    (tmp_path / "positives" / "best.safetensors").unlink()
    assert cost.costs_of_runs({"positives": (run, recipes[2])}, SILENT)["positives"] == costs[0], (
        "kept: nothing is timed again"
    )


def test_the_report_stands_alone(studied: Path) -> None:
    page = (studied / "report.html").read_text()
    assert "Tiny field" in page
    assert "Research use only" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    for words in (page, (studied / "report.md").read_text()):
        assert "scores on independent cases" in words, "why there is no DeLong"
    text = (studied / "report.md").read_text()
    for title in ("Any hemorrhage", "What each step gains", "Ranking by exams", "What each costs"):
        assert f"**{title}" in text


def test_it_goes_on_without_training_or_measuring_again(data: Path, options: FieldOptions, studied: Path) -> None:
    before = (studied / "scorecard.json").read_bytes()
    times = {path: path.stat().st_mtime_ns for path in studied.glob("*/scorecard.json")}
    study_field(data, studied, options, SILENT, device="cpu")
    assert (studied / "scorecard.json").read_bytes() == before
    assert {path: path.stat().st_mtime_ns for path in studied.glob("*/scorecard.json")} == times


def test_each_recipe_can_be_measured_against_the_same_one(
    data: Path, options: FieldOptions, studied: Path, tmp_path: Path
) -> None:
    shutil.copytree(studied, tmp_path / "out")
    two = replace(options, recipes=options.recipes[:3], against={"each": "three", "two_stages": "single"})
    card = study_field(data, tmp_path / "out", two, SILENT, device="cpu")
    assert {step["recipe"]: step["against"] for step in card["steps"]} == {"single": "three", "two_stages": "single"}


def test_one_split_without_a_ranking_and_a_change_of_one_recipe_alone(
    data: Path, options: FieldOptions, tmp_path: Path
) -> None:
    changes = {"three:fit.epochs": "2", "fit.epochs": "1"}
    once = FieldOptions(options.recipes[:2], changes=changes, folds=1, ranking=False)
    card = study_field(data, tmp_path / "once", once, SILENT, device="cpu")
    assert card["ranking"] is None
    assert card["choice"] is None
    assert len(card["recipes"]["single"]["folds"]) == 1
    assert [card["recipes"][name]["recipe"]["fit"]["epochs"] for name in ("single", "three")] == [1, 2]
    assert "--set three:fit.epochs=2" in card["command"]
    assert "named before a colon: `three:fit.epochs=2`" in (tmp_path / "once" / "report.md").read_text()
    assert card["recipes"]["single"]["exams"]["n"] < 48
    assert "the test patients are measured once" in " ".join((tmp_path / "once" / "report.md").read_text().split())
