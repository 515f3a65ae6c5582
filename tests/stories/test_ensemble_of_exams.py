"""Networks of slices and of exams in one ensemble: train its members a little, measure, export, read an exam."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ichnos.data.sources.phantom import PhantomSource
from ichnos.data.splits import Part
from ichnos.dicom.exams import read_exam
from ichnos.evaluation.combination import FittedCombination
from ichnos.findings import ExamFindings
from ichnos.inference import load_bundle, read_bundle
from ichnos.models.ensemble import EnsembleGraph
from ichnos.phantom import RAISED_PREVALENCE, CohortSettings
from ichnos.progress import SILENT
from ichnos.readout import logit, sigmoid
from ichnos.recipe import EnsembleRecipe
from ichnos.workflows.cost import parameters_of_run
from ichnos.workflows.phantom import write_cohort
from ichnos.workflows.prepare import prepare_set
from ichnos.workflows.train import open_data
from ichnos.workflows.trained import open_run
from tests.stories.running import Ran, ichnos

pytestmark = pytest.mark.slow

SETTINGS = CohortSettings(exams=10, seed=8, prevalence=dict(RAISED_PREVALENCE), matrix=128, slices=(10, 12))

SMALL = {"network.backbone": "small-cnn", "network.init": "random", "fit.epochs": 1, "fit.steps_per_epoch": 2}
SMALL |= {"fit.batch_size": 4, "fit.reestimate_batchnorm": True, "input.size": 64, "synthetic": None}

NAMES = ("gru", "wide", "looks")

MINE = f'''"""Networks of exams, over one and the same slice stage, on either side of one of slices."""
from ichnos.recipe import EnsembleRecipe
from ichnos.recipes.bigru import RECIPE as BIGRU
from ichnos.recipes.three_windows import RECIPE as THREE_WINDOWS
from ichnos.recipes.transformer import RECIPE as TRANSFORMER
SMALL = {SMALL!r}
STAGE = {{f"slices.{{field}}": value for field, value in SMALL.items()}}
HEAD = {{"fit.epochs": 12, "fit.learning_rate": 0.05}}
RECIPE = EnsembleRecipe(
    name="mine",
    title="Mine",
    members={{
        "gru": BIGRU.derive(**STAGE, **HEAD, **{{"head.hidden": 4}}),
        "wide": THREE_WINDOWS.derive(**SMALL),
        "looks": TRANSFORMER.derive(**STAGE, **HEAD, **{{"head.hidden": 8, "head.layers": 1}}),
    }},
)
'''


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ensemble-of-exams")
    cohort = write_cohort(SETTINGS, root / "cohort", SILENT, workers=1)
    prepare_set(PhantomSource(cohort), root / "set", SILENT, workers=1)
    (root / "mine.py").write_text(MINE)
    return root / "set"


def trained(prepared: Path, run: Path, *changes: str) -> Ran:
    words = [word for change in changes for word in ("--set", change)]
    recipe = str(prepared.parent / "mine.py")
    return ichnos("train", recipe, "--data", str(prepared), "--out", str(run), "--device", "cpu", *words)


@pytest.fixture(scope="module")
def joined(prepared: Path) -> dict[str, Path]:
    """The same members, joined in every way: copies, as training does not train them again."""
    runs = {"mean": prepared.parent / "mean"}
    done = trained(prepared, runs["mean"])
    assert done.exit_code == 0, done.stderr
    assert "mine, members/gru/exam: best epoch" in done.stderr
    for combine in ("rank", "stacking"):
        runs[combine] = prepared.parent / combine
        shutil.copytree(runs["mean"], runs[combine])
        before = {path: path.stat().st_mtime_ns for path in runs[combine].rglob("*.safetensors")}
        done = trained(prepared, runs[combine], f"combine={combine}")
        assert done.exit_code == 0, done.stderr
        assert {path: path.stat().st_mtime_ns for path in before} == before
    return runs


def test_it_is_measured_as_its_members_joined(prepared: Path, joined: dict[str, Path]) -> None:
    data = open_data(prepared)
    said = [
        open_run(joined["mean"] / "members" / name).predict(data, Part.TEST, SILENT, device="cpu") for name in NAMES
    ]
    logits = [logit(table.probabilities, certain=1e-15) for table in said]
    whole = {how: open_run(run).predict(data, Part.TEST, SILENT, device="cpu") for how, run in joined.items()}
    np.testing.assert_allclose(whole["mean"].probabilities, sigmoid(np.mean(logits, axis=0)), atol=1e-9)
    fitted = FittedCombination.model_validate_json((joined["rank"] / "combination.json").read_bytes())
    wanted = sigmoid(fitted.combination.apply(np.stack(logits)))
    np.testing.assert_allclose(whole["rank"].probabilities, wanted, atol=1e-9)
    slices = open_run(joined["mean"] / "members" / "gru" / "slices").predict(data, Part.TEST, SILENT, device="cpu")
    assert np.abs(slices.probabilities - said[0].probabilities).max() > 1e-3, "a head that adds nothing shows nothing"
    assert_counted_once(joined["mean"])
    done = ichnos("evaluate", str(joined["mean"]), "--data", str(prepared), "--out", str(prepared.parent / "m"))
    assert done.exit_code == 0, done.stderr
    card = json.loads((prepared.parent / "m" / "scorecard.json").read_text())
    parts = {stage["part"] for stage in card["model"]["stages"]}
    assert {"members/gru/slices", "members/gru/exam", "members/wide", "members/looks/exam"} <= parts


def assert_counted_once(run: Path) -> None:
    """The networks of exams have trained the same slice stage, which is asked once: of three networks two are left."""
    model = open_run(run)
    graph = model.graph()
    assert isinstance(graph, EnsembleGraph)
    assert len(set(graph.members)) == 2
    parts = [
        parameters_of_run(run / "members" / name, part)
        for name, part in zip(NAMES, model.recipe.parts.values(), strict=True)
    ]
    stage = parameters_of_run(run / "members" / "gru" / "slices", model.recipe.stages["members/gru/slices"])
    assert parameters_of_run(run, model.recipe) == sum(parts) - stage


def test_one_bundle_of_all_members_reads_an_exam(prepared: Path, joined: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "ensemble.ichnos"
    done = ichnos("export", str(joined["stacking"]), "--out", str(out), "--data", str(prepared), "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["agreement"] <= 1e-4
    read = read_bundle(out)
    assert read.manifest.recipe == EnsembleRecipe.model_validate_json((joined["stacking"] / "recipe.json").read_bytes())
    assert (read.manifest.version, read.exam_network is None) == (5, False)
    assert (read.manifest.exam_inputs, read.manifest.slice_logits) == (("features", "logits", "offsets"), 18)
    assert "- `gru`: small-cnn at 64 pixels" in read.card
    assert "- `gru`: a network of whole exams, recipe `bigru`: GRU in both directions" in read.card
    cohort = CohortSettings(exams=1, seed=77, prevalence=dict(RAISED_PREVALENCE), matrix=128, slices=(20, 20))
    images = write_cohort(cohort, tmp_path / "cohort", SILENT, workers=1) / "stage_2_train"
    done = ichnos("predict", str(images), "--bundle", str(out), "--out", str(tmp_path / "out"), "--json")
    assert done.exit_code == 0, done.stderr
    findings = ExamFindings.model_validate_json((tmp_path / "out" / "exam-001" / "findings.json").read_text())
    assert len(findings.slices) == 20
    reading = load_bundle(out).read(read_exam(images))
    assert reading.maps is not None
    assert reading.maps.shape[:2] == (20, 6)


def test_a_combination_of_another_head_is_fitted_anew(prepared: Path, joined: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(joined["rank"], tmp_path / "run")
    before = (tmp_path / "run" / "combination.json").read_text()
    shutil.rmtree(tmp_path / "run" / "members" / "gru" / "exam")
    done = trained(prepared, tmp_path / "run", "combine=rank", "members.gru.fit.seed=3")
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "run" / "combination.json").read_text() != before


def test_patients_that_a_member_has_learnt_from_do_not_calibrate(
    prepared: Path, joined: dict[str, Path], tmp_path: Path
) -> None:
    done = ichnos("export", str(joined["mean"]), "--out", str(tmp_path / "b"), "--data", str(prepared), "--fold", "1")
    assert done.exit_code == 1
    assert "validated on other slices" in done.stderr
