"""External validation: a bundle on a set that it was not made of."""

import html
import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from ichnos.data.set import PreparedSet
from ichnos.errors import BundleError, InputError, TrainingError, UsageError
from ichnos.inference import load_bundle
from ichnos.predictions import Predictions
from ichnos.progress import SILENT
from ichnos.recipes.reader import RECIPE as READER
from ichnos.reporting.evaluation_tables import evaluation_tables
from ichnos.subtypes import CLASSES, SUBTYPES, Subtype
from ichnos.workflows.export import _check_part
from ichnos.workflows.measured import EvaluationOptions, demographics_of
from ichnos.workflows.train import train_model
from ichnos.workflows.validate import evaluate_bundle
from tests.inference.networks import manifest
from tests.stories.running import ichnos
from tests.workflows.bright import bright_bundle, bright_set

pytestmark = pytest.mark.usefixtures("undrawn")

FEW = EvaluationOptions(resamples=50)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bright_set(tmp_path_factory.mktemp("bright") / "set")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bright_bundle(tmp_path_factory.mktemp("bundle") / "tiny.ichnos", "0123456789abcdef")


def test_a_bundle_is_measured_at_every_level(data: Path, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("--data", str(data), "--out", str(out), "--resamples", "50", "--prevalence", "0.06", "--json")
    done = ichnos("evaluate", str(bundle), *words)
    assert done.exit_code == 0, done.stderr
    card = json.loads(done.stdout)
    assert card == json.loads((out / "scorecard.json").read_text())
    assert (card["external"], card["part"], card["model"]["kind"]) == (True, "external", "bundle")
    assert {level: tree["n"] for level, tree in card["levels"].items()} == {"slice": 160, "exam": 40, "patient": 20}
    table = Predictions.read_parquet(out / "predictions.parquet")
    assert (len(table), table.part, table.classes) == (160, "external", CLASSES)
    some = table.classes.index(Subtype.ANY)
    wanted = roc_auc_score(table.labels[:, some], table.probabilities[:, some])
    assert card["levels"]["slice"]["classes"]["any"]["auc"]["value"] == pytest.approx(wanted)
    point = card["levels"]["exam"]["classes"]["any"]["operating_points"]["balanced"]
    assert point["ppv_at_prevalence"]["value"] < point["ppv"]["value"]
    assert "ppv_at_prevalence" not in card["levels"]["exam"]["classes"]["subdural"]["operating_points"]["balanced"]
    assert card["demographics"] == {
        "patients": 20,
        "age": {"known": 20, "median": 39.5, "low": 30.0, "high": 49.0},
        "sex": {"F": 10, "M": 10},
    }
    again = ichnos("evaluate", str(bundle), *words)
    assert again.exit_code == 1
    assert "holds a scorecard already" in again.stderr


def test_it_says_what_the_reader_says(data: Path, bundle: Path, tmp_path: Path) -> None:
    evaluate_bundle(bundle, data, tmp_path, SILENT, FEW)
    prepared = PreparedSet(data)
    rows = np.flatnonzero(prepared.exams == "e003")
    offsets = prepared.index["offset"].to_numpy()[rows]
    classifier = load_bundle(bundle)
    readout = classifier.bundle.manifest.readout
    logits = classifier._engine.run([prepared.hu(row) for row in rows], offsets).logits
    slices = readout.slice_probabilities(readout.smoothed(logits, offsets))
    table = Predictions.read_parquet(tmp_path / "predictions.parquet")
    np.testing.assert_allclose(table.probabilities[table.exam == "e003"], slices)
    exams = Predictions.read_parquet(tmp_path / "exams.parquet")
    np.testing.assert_allclose(
        exams.probabilities[exams.exam == "e003"][0], readout.exam_probabilities(slices, offsets)
    )


def test_its_own_set_is_refused(data: Path, tmp_path: Path) -> None:
    own = bright_bundle(tmp_path / "own.ichnos", PreparedSet(data).header.fingerprint)
    done = ichnos("evaluate", str(own), "--data", str(data), "--out", str(tmp_path / "out"))
    assert done.exit_code == 2
    assert "made of this very set" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_bundle_of_positives_is_refused_as_predict_refuses_it(data: Path, tmp_path: Path) -> None:
    made = manifest(population="positives")
    positives = bright_bundle(tmp_path / "p.ichnos", recipe=made.recipe, readout=made.readout)
    with pytest.raises(BundleError, match="would find a hemorrhage in everyone"):
        evaluate_bundle(positives, data, tmp_path / "out", SILENT, FEW)


def test_a_bundle_that_does_not_say_its_origin_leaves_a_doubt(data: Path, tmp_path: Path) -> None:
    unknown = bright_bundle(tmp_path / "unknown.ichnos")
    card = evaluate_bundle(unknown, data, tmp_path / "out", SILENT, FEW)
    assert any("nobody can tell whether it has seen these patients" in doubt for doubt in card["doubts"])
    assert card["model"]["operating_points"] == "fixed before: chosen on nobody; they are 0.5"


def test_labels_of_exams_judge_exams(bundle: Path, tmp_path: Path) -> None:
    whole = bright_set(tmp_path / "set", labels_of="exam")
    header = PreparedSet(whole).header
    assert (header.labels_of, header.positives["any"], header.slices) == ("exam", 20, 160)
    card = evaluate_bundle(bundle, whole, tmp_path / "out", SILENT, FEW)
    assert list(card["levels"]) == ["exam", "patient"]
    assert card["levels"]["exam"]["classes"]["any"]["positives"] == 20
    assert "Labels are of whole exams: single slices cannot be judged." in card["doubts"]
    with pytest.raises(TrainingError, match="no labels of single slices"):
        train_model(READER, whole, tmp_path / "run", SILENT)


def test_classes_without_labels_are_said_to_have_none(bundle: Path, tmp_path: Path) -> None:
    known = (*SUBTYPES[1:], Subtype.ANY)
    some = bright_set(tmp_path / "some", labelled=known)
    card = evaluate_bundle(bundle, some, tmp_path / "out", SILENT, FEW)
    assert card["labelled"] == [c.value for c in known]
    assert card["levels"]["exam"]["classes"]["epidural"] == {"labelled": False}
    assert "without EDH" in card["levels"]["slice"]["kaggle_loss"]["after"]["note"]
    none = bright_set(tmp_path / "none", labelled=())
    with pytest.raises(UsageError, match="labels none of the classes"):
        evaluate_bundle(bundle, none, tmp_path / "out-2", SILENT, FEW)


def test_a_mapping_measures_against_other_classes(data: Path, bundle: Path, tmp_path: Path) -> None:
    words = ("--data", str(data), "--resamples", "20", "--map", "subdural=epidural+subdural", "--json")
    card = json.loads(ichnos("evaluate", str(bundle), "--out", str(tmp_path / "out"), *words).stdout)
    assert card["mapping"] == {"subdural": ["epidural", "subdural"]}
    index = pl.read_parquet(data / "index.parquet")
    both = index.select((pl.col("epidural") | pl.col("subdural")).sum()).item()
    assert card["levels"]["slice"]["classes"]["subdural"]["positives"] == both > index["subdural"].sum()
    assert card["levels"]["slice"]["kaggle_loss"]["after"]["value"] is None, "of other labels than the competition's"
    page = html.unescape((tmp_path / "out" / "report.html").read_text())
    plain = (tmp_path / "out" / "report.md").read_text()
    for text in (page, plain):
        assert text.count("Subdural is measured against epidural or subdural of the set") > 6
        assert "not Kaggle's: classes are mapped" in text
        assert "Kaggle's loss of slices" not in text
    assert plain.count("| Subdural † *") == 9, "in ranking and at both points, at three levels"
    assert "Epidural †" not in plain


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--prevalence", "6"), "between 0 and 1"),
        (("--prevalence", "0"), "between 0 and 1"),
        (("--prevalence", "nan"), "between 0 and 1"),
        (("--prevalence", "any=much"), "--prevalence wants"),
        (("--prevalence", "brain=0.1"), "--prevalence wants"),
        (("--map", "subdural"), "--map wants"),
        (("--map", "subdural=oops"), "--map wants"),
        (("--fold", "0"), "--fold is of runs"),
    ],
)
def test_wrong_use_is_one_line(data: Path, bundle: Path, tmp_path: Path, words: tuple[str, str], said: str) -> None:
    done = ichnos("evaluate", str(bundle), "--data", str(data), "--out", str(tmp_path / "x"), *words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "x").exists()


def test_external_predictions_calibrate_nothing(data: Path, bundle: Path, tmp_path: Path) -> None:
    evaluate_bundle(bundle, data, tmp_path / "out", SILENT, FEW)
    predictions = Predictions.read_parquet(tmp_path / "out" / "predictions.parquet")
    assert predictions.part == "external"
    with pytest.raises(InputError, match="flatter"):
        _check_part(predictions, "predictions.parquet")


def test_exams_of_one_slice(bundle: Path, tmp_path: Path) -> None:
    single = bright_set(tmp_path / "set", slices=1)
    card = evaluate_bundle(bundle, single, tmp_path / "out", SILENT, FEW)
    assert card["levels"]["slice"]["n"] == card["levels"]["exam"]["n"] == 40


def test_the_report_says_where_thresholds_come_from_and_what_is_left(data: Path, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("--data", str(data), "--out", str(out), "--resamples", "50", "--prevalence", "0.06", "--by", "sex")
    done = ichnos("evaluate", str(bundle), *words)
    assert done.exit_code == 0, done.stderr
    page = html.unescape((out / "report.html").read_text())
    for words_said in (
        "External validation: 20 patients, 40 exams, 160 slices measured; the set has 20 patients",
        "nothing was chosen on these",
        "Any hemorrhage 6\u00a0%",
        "Left to the author:",
        "CLAIM",
        "TRIPOD+AI",
        "Any hemorrhage in exams, by sex",
        "curves_patient",
        "errors_any",
        "Not a medical device",
    ):
        assert words_said.lower() in page.lower(), words_said
    assert not re.search(r'(src|href)="(?!data:|#)', page), "the page fetches nothing"
    plain = (out / "report.md").read_text()
    assert "| Any hemorrhage | balanced |" in plain
    assert "left to the author" in plain
    card = json.loads((out / "scorecard.json").read_text())
    assert {group: tree["n"] for group, tree in card["subgroups"]["groups"].items()} == {"F": 20, "M": 20}


def test_too_few_patients_are_not_described(data: Path) -> None:
    prepared = PreparedSet(data)
    few = np.flatnonzero(prepared.index["patient"].is_in(["p000", "p001"]).to_numpy())
    assert demographics_of(prepared, few) == {"patients": 2}, "a range of two is their ages"


def test_subgroups_by_a_table_and_by_numbers(data: Path, bundle: Path, tmp_path: Path) -> None:
    table = tmp_path / "scanners.csv"
    table.write_text("patient,scanner\n" + "".join(f"p{k:03d},{'AB'[k % 3 == 0]}\n" for k in range(18)))
    words = ("--data", str(data), "--resamples", "20", "--json")
    by_table = ichnos(
        "evaluate", str(bundle), *words, "--out", str(tmp_path / "1"), "--by", "scanner", "--table", str(table)
    )
    groups = json.loads(by_table.stdout)["subgroups"]["groups"]
    assert {name: tree["patients"] for name, tree in groups.items()} == {"A": 12, "B": 6, "not known": 2}
    by_age = ichnos("evaluate", str(bundle), *words, "--out", str(tmp_path / "2"), "--by", "age")
    bands = json.loads(by_age.stdout)["subgroups"]["groups"]
    assert [tree["patients"] for tree in bands.values()] == [5, 5, 5, 5]
    assert next(iter(bands)).startswith("30 to ")
    for wrong, said in (
        (("--by", "nothing"), "no column nothing"),
        (("--by", "exam"), "different values"),
        (("--by", "nothing", "--table", str(table)), "must have a column nothing"),
        (("--table", str(table)), "needs --by"),
    ):
        refused = ichnos("evaluate", str(bundle), *words, "--out", str(tmp_path / "x"), *wrong)
        assert refused.exit_code in (1, 2)
        assert said in refused.stderr
        assert not (tmp_path / "x").exists()


def test_maps_are_judged_by_masks(bundle: Path, tmp_path: Path) -> None:
    masked = bright_set(tmp_path / "set", masks=True)
    card = evaluate_bundle(bundle, masked, tmp_path / "out", SILENT, FEW)
    row = card["localisation"]["classes"]["any"]
    assert row["slices"] == 40
    assert row["pointing"]["value"] == 1.0, "the tiny network's map is the slice itself, brightest in the mask"
    assert row["chance"]["value"] == pytest.approx(1 / 16)
    assert row["above_chance"]["value"] == pytest.approx(15 / 16)
    assert 0 < row["iou"]["value"] <= 1
    assert "Class maps against masks" in (tmp_path / "out" / "report.html").read_text()
    assert "localisation" not in json.loads((evaluated(bundle, tmp_path) / "scorecard.json").read_text())


@pytest.mark.slow
def test_a_mapping_is_of_masks_too(bundle: Path, tmp_path: Path) -> None:
    """Patients bleed in the subtypes in turn: epidural masks are other slices than subdural ones."""
    masked = bright_set(tmp_path / "set", masks=True)
    mapped = EvaluationOptions(mapping={Subtype.SUBDURAL: (Subtype.EPIDURAL, Subtype.SUBDURAL)}, resamples=10)
    card = evaluate_bundle(bundle, masked, tmp_path / "out", SILENT, mapped)
    rows = card["localisation"]["classes"]
    slices = dict.fromkeys((c.value for c in SUBTYPES), 8) | {"subdural": 16, "any": 40}
    assert {c: row["slices"] for c, row in rows.items()} == slices
    assert rows["subdural"]["patients"] == 2 * rows["epidural"]["patients"]
    (table,) = (each for each in evaluation_tables(card) if each.name == "localisation")
    assert [row[0] for row in table.rows if str(row[0]).endswith("†")] == ["Subdural †"]
    said = "† Subdural is measured against epidural or subdural of the set, by their masks together."
    assert table.notes[0] == said
    assert said in (tmp_path / "out" / "report.md").read_text()


def evaluated(bundle: Path, tmp_path: Path) -> Path:
    plain = bright_set(tmp_path / "plain", exams=8)
    evaluate_bundle(bundle, plain, tmp_path / "plain-out", SILENT, EvaluationOptions(resamples=10))
    return tmp_path / "plain-out"
