"""A study by folds, from a set to a bundle, on a tiny set with random weights."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ichnos.data.preparing import prepare
from ichnos.data.set import PreparedSet
from ichnos.data.splits import Part, make_splits, split
from ichnos.errors import InputError, OutputError, UsageError
from ichnos.inference.bundle import read_bundle
from ichnos.models.checkpoint import load_checkpoint
from ichnos.predictions import Predictions
from ichnos.progress import SILENT
from ichnos.recipe import CascadeRecipe, Fit, Population, SliceRecipe
from ichnos.recipes.reader import RECIPE as READER
from ichnos.subtypes import CLASSES, SUBTYPES, Subtype
from ichnos.workflows.evaluate import evaluate_run
from ichnos.workflows.export import _check_part
from ichnos.workflows.field import FieldOptions, study_field
from ichnos.workflows.folds import FoldOptions, open_folds, study_folds
from ichnos.workflows.study import skipped_reasons
from ichnos.workflows.subgrouping import Subgrouping
from ichnos.workflows.train import OpenData
from tests.data.in_memory import InMemorySource

pytestmark = pytest.mark.usefixtures("one_thread", "undrawn")

FOLDS = 3


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedSet:
    made = prepare(InMemorySource(exams=24, slices=3), tmp_path_factory.mktemp("folds") / "set", SILENT, workers=1)
    split(made, seed=0, folds=FOLDS)
    return made


@pytest.fixture(scope="module")
def recipe() -> SliceRecipe:
    fit = Fit(learning_rate=1e-3, batch_size=16, epochs=2, patience=None)
    return READER.derive(
        fit=fit,
        network={"backbone": "small-cnn", "init": "random"},
        **{"input.size": 32, "augmentation": None, "synthetic": None},
    )


@pytest.fixture(scope="module")
def studied(prepared: PreparedSet, recipe: SliceRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("study")
    bundle = out / "reader.ichnos"
    options = FoldOptions(bundle=bundle, title="Tiny reader", licence="ours alone", prevalence={Subtype.ANY: 0.06})
    study_folds(recipe, prepared.path, out, SILENT, options, device="cpu")
    return out


def test_every_patient_is_measured_once_by_a_model_that_has_not_seen_them(prepared: PreparedSet, studied: Path) -> None:
    table = Predictions.read_parquet(studied / "out_of_fold.parquet")
    assert len(table) == prepared.header.slices
    assert table.part == "out-of-fold"
    assert len(set(zip(table.exam, table.slice_name, strict=True))) == len(table)
    splits = split(prepared, seed=0, folds=FOLDS)
    for k in range(FOLDS):
        metadata = load_checkpoint(studied / f"fold-{k}" / "best.safetensors").metadata
        assert (metadata["origin"]["fold"], metadata["origin"]["everyone"]) == (k, False)
        patients = {
            part: set(prepared.index["patient"].to_numpy()[splits.rows_of_fold(k, part)].tolist()) for part in Part
        }
        assert not patients[Part.TEST] & (patients[Part.TRAIN] | patients[Part.VALIDATION])


def test_the_scorecard_says_what_was_done(prepared: PreparedSet, recipe: SliceRecipe, studied: Path) -> None:
    card = json.loads((studied / "scorecard.json").read_text())
    assert SliceRecipe.model_validate(card["recipe"]) == recipe
    assert card["counts"] == {"patients": 12, "exams": 24, "slices": 72}
    assert (card["split_seed"], len(card["folds"])) == (0, FOLDS)
    assert card["slices"]["n"] == 72
    assert card["exams"]["n"] == 24
    assert set(card["exams"]["classes"]) == {
        "epidural",
        "intraparenchymal",
        "intraventricular",
        "subarachnoid",
        "subdural",
        "any",
    }
    assert "| slice: any hemorrhage" in (studied / "report.md").read_text()
    assert card["skipped"] == [asdict(reason) for reason in skipped_reasons(prepared)]
    assert card["command"] is None, "it was asked for in Python"
    age = prepared.index.unique("patient", keep="first", maintain_order=True)["age"]
    told = {"known": 12, "median": age.median(), "low": age.min(), "high": age.max()}
    assert card["demographics"] == {"patients": 12, "age": told}
    assert [sum(fold) for fold in zip(*card["parts"].values(), strict=True)] == [12] * FOLDS
    assert f"age of 12 patients: median {age.median():g}" in (studied / "report.html").read_text()


def test_every_level_is_measured_over_folds(studied: Path) -> None:
    card = json.loads((studied / "scorecard.json").read_text())
    assert {level: tree["n"] for level, tree in card["levels"].items()} == {"slice": 72, "exam": 24, "patient": 12}
    for level, old in (("slice", "slices"), ("exam", "exams")):
        for c, row in card["levels"][level]["classes"].items():
            known = card[old]["classes"][c]
            assert row["auc"] == known["auc"]
            assert row["auc_mean_of_folds"] == known["auc_mean_of_folds"]
            assert row["calibration"]["after"]["brier"]["value"] == pytest.approx(
                known["calibration"]["after"]["brier"]
            )
            sensitivity = row["operating_points"]["balanced"]["sensitivity"]
            assert sensitivity == known["operating_points"]["balanced"]["sensitivity"]
            assert len(row["operating_points"]["balanced"]["threshold"]) == FOLDS
    assert set(card["levels"]["slice"]["kaggle_loss"]) == {"before", "after"}
    point = card["levels"]["patient"]["classes"]["any"]["operating_points"]["high_sensitivity"]
    assert "ppv_at_prevalence" in point
    assert card["prevalence"] == {"any": 0.06}
    assert card["parameters"] > 0


def test_the_reports_have_every_level_and_what_a_manuscript_needs(studied: Path) -> None:
    page, text = (studied / "report.html").read_text(), (studied / "report.md").read_text()
    for words in ("Patients: ranking and calibration", "PPV at prevalence", "For a manuscript", "Class imbalance"):
        assert words in page
        assert words in text
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_subgroups_of_exams_are_measured_of_all_folds_together(
    prepared: PreparedSet, recipe: SliceRecipe, studied: Path, tmp_path: Path
) -> None:
    table = tmp_path / "scanners.csv"
    patients = sorted(set(prepared.index["patient"].to_list()))
    table.write_text("patient,scanner\n" + "".join(f"{p},{'AB'[k // 2 % 2]}\n" for k, p in enumerate(patients)))
    out = tmp_path / "again"
    shutil.copytree(studied, out)
    by = Subgrouping("scanner", table)
    card = study_folds(recipe, prepared.path, out, SILENT, FoldOptions(subgroups=by), device="cpu")
    groups, whole = card["subgroups"]["groups"], card["levels"]["exam"]["classes"]["any"]
    assert set(groups) == {"A", "B"}
    assert sum(group["n"] for group in groups.values()) == 24
    rows = [group["classes"]["any"] for group in groups.values()]
    assert sum(row["positives"] for row in rows) == whole["positives"]
    found = [row["positives"] * row["operating_points"]["balanced"]["sensitivity"]["value"] for row in rows]
    assert sum(found) == pytest.approx(
        whole["positives"] * whole["operating_points"]["balanced"]["sensitivity"]["value"]
    )
    for report in ("report.html", "report.md"):
        assert "by scanner (balanced point)" in (out / report).read_text()
        assert "by scanner (balanced point)" not in (studied / report).read_text()


def test_subgroups_that_cannot_be_are_refused_before_anything_is_trained(
    prepared: PreparedSet, recipe: SliceRecipe, tmp_path: Path
) -> None:
    positives = recipe.derive(classes=SUBTYPES, population=Population(slices="positives"))
    for asked, by, said in (
        (recipe, "nothing", "no column nothing"),
        (positives, "patient", "judges none"),
        (recipe, "exam", "different values make no subgroups"),
    ):
        options = FoldOptions(subgroups=Subgrouping(by))
        with pytest.raises(UsageError, match=said):
            study_folds(asked, prepared.path, tmp_path / "out", SILENT, options, device="cpu")
    assert not (tmp_path / "out").exists()


def test_what_the_readouts_made_is_beside_what_was_given(studied: Path) -> None:
    """With the study's own numbers, and not to be calibrated once more."""
    card = json.loads((studied / "scorecard.json").read_text())
    tables = {name: Predictions.read_parquet(studied / f"{name}.parquet") for name in ("slices", "exams")}
    for table, level, n in ((tables["slices"], "slice", 72), (tables["exams"], "exam", 24)):
        assert (table.rows_of, len(table)) == (level, n)
        for k, c in enumerate(table.classes):
            known = card["levels"][level]["classes"][c.value]["auc"]["value"]
            if known is not None:
                assert roc_auc_score(table.labels[:, k], table.probabilities[:, k]) == pytest.approx(known)
    given = Predictions.read_parquet(studied / "out_of_fold.parquet")
    assert tables["slices"].slice_name.tolist() == given.slice_name.tolist()
    assert (tables["exams"].part, tables["slices"].part) == ("out-of-fold", "out-of-fold, calibrated")
    with pytest.raises(InputError, match=r"calibrated already; give the out_of_fold\.parquet beside it"):
        _check_part(tables["slices"], "slices.parquet")


@pytest.mark.parametrize("share", [0.0, 1.0, 1.5])
def test_a_prevalence_that_is_none_is_refused_before_anything_is_trained(share: float) -> None:
    for options in (lambda p: FoldOptions(prevalence=p), lambda p: FieldOptions(("reader",), prevalence=p)):
        with pytest.raises(UsageError, match="a prevalence lies between 0 and 1"):
            options({Subtype.ANY: share})


@pytest.mark.parametrize(
    ("folds", "said"),
    [
        (0, "at least 3 .*, or 1 for the set's one split, got 0"),
        (-1, "got -1"),
        (2, "got 2"),
        (13, "12 patients cannot be cut into 13 folds"),
        (40, "12 patients cannot be cut into 40 folds: .*give fewer --folds"),
    ],
)
def test_folds_that_cannot_be_are_refused_before_anything_is_trained(
    prepared: PreparedSet, recipe: SliceRecipe, tmp_path: Path, folds: int, said: str
) -> None:
    options = FoldOptions(folds=folds)
    with pytest.raises(UsageError, match=said):
        study_folds(recipe, prepared.path, tmp_path / "out", SILENT, options, device="cpu")
    with pytest.raises(UsageError, match=said):
        study_field(prepared.path, tmp_path / "out", FieldOptions(("reader",), folds=folds), SILENT, device="cpu")
    assert not (tmp_path / "out").exists()


def test_patients_who_share_pixels_fill_one_fold(tmp_path: Path) -> None:
    """Eight patients, of whom four are told apart by nothing."""
    twins = {2: 0, 4: 0, 6: 0}
    made = prepare(InMemorySource(exams=16, slices=3, twins=twins), tmp_path / "set", SILENT, workers=1)
    split(made, folds=4)
    with pytest.raises(UsageError, match="8 patients cannot be cut into 8 folds"):
        open_folds(made.path, None, 8)
    assert open_folds(made.path, None, 4)[1] == [0, 1, 2, 3]


def test_the_command_measures_the_same_again() -> None:
    options = FoldOptions(
        recipe="reader",
        changes={"fit.epochs": "2"},
        split_seed=1,
        bundle=Path("b"),
        force=True,
        prevalence={Subtype.EPIDURAL: 0.004},
        subgroups=Subgrouping("age", Path("ages.csv")),
    )
    wanted = (
        "ichnos study folds reader --data 'my set' --out o --set fit.epochs=2 --split-seed 1 "
        "--prevalence epidural=0.004 --by age --table ages.csv"
    )
    assert options.command(Path("my set"), Path("o")) == wanted


def test_it_goes_on_where_it_stopped(prepared: PreparedSet, recipe: SliceRecipe, studied: Path) -> None:
    before = (studied / "scorecard.json").read_bytes()
    (studied / "scorecard.json").unlink()
    trained = (studied / "fold-1" / "best.safetensors").stat().st_mtime_ns
    options = FoldOptions(title="Tiny reader", prevalence={Subtype.ANY: 0.06})
    study_folds(recipe, prepared.path, studied, SILENT, options, device="cpu")
    assert (studied / "scorecard.json").read_bytes() == before
    assert (studied / "fold-1" / "best.safetensors").stat().st_mtime_ns == trained


def test_the_bundle_is_of_everyone_and_calibrated_out_of_fold(prepared: PreparedSet, studied: Path) -> None:
    bundle = read_bundle(studied / "reader.ichnos")
    assert bundle.manifest.scorecard_is_of == "the procedure"
    assert bundle.manifest.licence == "ours alone"
    assert bundle.manifest.fitted_on is not None
    assert bundle.manifest.fitted_on.slices == prepared.header.slices
    fit = bundle.manifest.recipe.stages[""].fit
    best = [each["best_epoch"] for each in json.loads((studied / "scorecard.json").read_text())["folds"]]
    assert (fit.epochs, fit.stop_after) == (2, round(float(np.median(best)))), (
        "the folds' schedule, cut where they were best"
    )
    assert len((studied / "final" / "journal.jsonl").read_text().splitlines()) == fit.stop_after
    assert "not this very file's" in bundle.card
    assert "| slice: any hemorrhage" in bundle.card
    final = load_checkpoint(studied / "final" / "best.safetensors").metadata
    assert final["origin"]["everyone"]
    assert final["data"]["validation"] is None
    with pytest.raises(UsageError, match="every patient of this set"):
        evaluate_run(studied / "final", prepared.path, studied / "measured", SILENT, device="cpu")


@pytest.mark.slow
def test_a_cascade_is_measured_in_the_same_way(prepared: PreparedSet, recipe: SliceRecipe, tmp_path: Path) -> None:
    gate = recipe.derive(classes=(Subtype.ANY,), **{"fit.epochs": 1, "fit.patience": 3})
    subtypes = gate.derive(population=Population(), classes=SUBTYPES, **{"input.neighbours": 0})
    cascade = CascadeRecipe(name="tiny", title="Tiny cascade", gate=gate, subtypes=subtypes)
    out = tmp_path / "study"
    options = FoldOptions(bundle=tmp_path / "cascade.ichnos")
    card = study_folds(cascade, prepared.path, out, SILENT, options, device="cpu")
    assert CascadeRecipe.model_validate(card["recipe"]) == cascade
    assert card["slices"]["n"] == prepared.header.slices
    assert card["folds"][0]["best_epoch"] == {"gate": 1, "subtypes": 1}
    assert set(card["first_weights"]) == {"gate", "subtypes"}
    assert "| gate 1, subtypes 1 |" in (out / "report.md").read_text()
    pooled = Predictions.read_parquet(out / "out_of_fold.parquet")
    assert pooled.classes == CLASSES
    assert (pooled.probabilities[:, -1:] >= pooled.probabilities[:, :-1]).all()
    manifest = read_bundle(tmp_path / "cascade.ichnos").manifest
    assert isinstance(manifest.recipe, CascadeRecipe)
    assert [stage.fit.patience for stage in manifest.recipe.stages.values()] == [None, None]
    assert manifest.scorecard_is_of == "the procedure"
    assert load_checkpoint(out / "final" / "subtypes" / "best.safetensors").metadata["origin"]["everyone"]
    trained = (out / "fold-1" / "gate" / "best.safetensors").stat().st_mtime_ns
    assert study_folds(cascade, prepared.path, out, SILENT, device="cpu") == card
    assert (out / "fold-1" / "gate" / "best.safetensors").stat().st_mtime_ns == trained


def test_a_bundle_is_not_replaced_unasked(prepared: PreparedSet, recipe: SliceRecipe, studied: Path) -> None:
    with pytest.raises(OutputError, match="--force"):
        study_folds(recipe, prepared.path, studied, SILENT, FoldOptions(bundle=studied / "reader.ichnos"), device="cpu")


def test_other_folds_by_seed(prepared: PreparedSet) -> None:
    splits = make_splits(prepared.index, seed=5, folds=FOLDS)
    assert not np.array_equal(splits.fold, split(prepared, seed=0, folds=FOLDS).fold)
    data = OpenData(prepared, splits, 0)
    assert data.origin["split_seed"] == 5
