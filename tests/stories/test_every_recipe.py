"""Every recipe of the package trains a little, becomes a bundle whose network agrees, and reads an exam with it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from ichnos import recipes
from ichnos.data.sources.phantom import PhantomSource
from ichnos.findings import ExamFindings
from ichnos.inputs import neighbour_stacks
from ichnos.models.checkpoint import load_checkpoint
from ichnos.phantom import RAISED_PREVALENCE, CohortSettings
from ichnos.progress import SILENT
from ichnos.recipe import AnomalyRecipe, EnsembleRecipe, Recipe, SliceRecipe
from ichnos.subtypes import Subtype
from ichnos.workflows.phantom import write_cohort
from ichnos.workflows.prepare import prepare_set
from tests.stories.running import Ran, ichnos

COHORT = CohortSettings(exams=10, seed=8, prevalence=dict(RAISED_PREVALENCE), matrix=128, slices=(10, 12))
EXAM = CohortSettings(exams=1, seed=77, prevalence=dict(RAISED_PREVALENCE), matrix=128, slices=(12, 12))

FIT: Mapping[str, Any] = {
    "epochs": 1,
    "steps_per_epoch": 2,
    "batch_size": 4,
    "patience": None,
    "milestones": [],
    "reestimate_batchnorm": False,
}
"""What becomes of every `fit` of a recipe, wherever it stands; a kind of fit without one of these keeps its own.

Measured afresh behind two steps, BatchNorm's statistics are of channels that hardly vary: logits of thousands come of
that, where torch itself is no longer exact to 1e-4."""


SPACING = 15.0
"""mm: the cohort's slices lie 13.7 to 16.2 mm apart. Of neighbours asked for at 5 mm the nearest would be the slice
itself, and what looks at neighbours would be shown copies of one slice."""


@dataclass(frozen=True)
class Material:
    """A set to learn from, and an exam that is not in it."""

    root: Path
    prepared: Path
    exam: Path

    def train(self, recipe: str, run: Path, changes: Mapping[str, Any]) -> Ran:
        said = [word for field, value in changes.items() for word in ("--set", f"{field}={_text(value)}")]
        return ichnos("train", recipe, "--data", str(self.prepared), "--out", str(run), "--device", "cpu", *said)

    def gate(self, without: tuple[Subtype, ...]) -> Path:
        """A small network of `any` alone on all slices but those with one of `without`; trained once."""
        run = self.root / "-".join(["gate", *without])
        changes = {"classes": ["any"], "population.slices": "all", "population.without": list(without)}
        changes["network.backbone"] = "small-cnn"  # which is exported with each second stage
        done = self.train("tharek", run, cut(recipes.find("tharek").recipe) | changes)
        assert done.exit_code == 0, done.stderr
        return run


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    root = tmp_path_factory.mktemp("every-recipe")
    cohort = write_cohort(COHORT, root / "cohort", SILENT, workers=1)
    exam = write_cohort(EXAM, root / "exam", SILENT, workers=1) / "stage_2_train"
    prepare_set(PhantomSource(cohort), root / "set", SILENT, workers=1)
    return Material(root, root / "set", exam)


def cut(recipe: Recipe) -> dict[str, Any]:
    """What makes any recipe short: random first weights (a frozen network keeps real ones), one epoch of two steps (two
    of them where epochs' ends are averaged), the smallest pictures, one copy, and neighbours as near as the cohort has
    any."""
    changes = {f"{path}.{field}": value for path, fit in fits(recipe.model_dump()) for field, value in fit.items()}
    for path, stage in recipe.stages.items():
        before = f"{path.replace('/', '.')}." if path else ""
        cuts = cut_of_stage(stage, weights=is_of_ranks(recipe))
        if (is_of_a_member(path, recipe) and not is_of_ranks(recipe)) or has_the_graph_of_another(recipe):
            cuts["network.backbone"] = "small-cnn"
        changes |= {f"{before}{field}": value for field, value in cuts.items()}
    if isinstance(recipe, AnomalyRecipe):  # distances are of features that vary, which random weights' hardly do
        changes |= {"usual.network.init": "phantom-2.5d", "usual.input.size": 96}
    return changes


def fits(said: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each `fit` in a recipe's tree, by its dotted path, with what it becomes: of slices, of heads on them, of all."""
    for field, value in said.items():
        if not isinstance(value, dict):
            continue
        path = f"{where}{field}"
        if field == "fit":
            yield path, {key: short for key, short in FIT.items() if key in value}
        else:
            yield from fits(value, f"{path}.")


def is_of_ranks(recipe: Recipe) -> bool:
    """Whether places of logits are averaged: like distances, they want what random weights hardly give, to vary."""
    return isinstance(recipe, EnsembleRecipe) and recipe.combine == "rank"


def is_of_a_member(path: str, recipe: Recipe) -> bool:
    """Whether a stage is of a member that is a recipe of the package: its network is exported in a test of its own."""
    members = recipe.parts if isinstance(recipe, EnsembleRecipe) else {}
    return any(f"{path}/".startswith(f"{member}/") and m.name in recipes.names() for member, m in members.items())


def has_the_graph_of_another(recipe: Recipe) -> bool:
    """Whether a recipe before this one becomes the same graph, from other weights: that one's is exported. Frozen ones
    keep their weights, which no other network has."""
    if not isinstance(recipe, SliceRecipe) or recipe.network.frozen:
        return False
    before = (recipes.find(name).recipe for name in recipes.names()[: recipes.names().index(recipe.name)])
    return any(isinstance(each, SliceRecipe) and graph(each) == graph(recipe) for each in before)


def graph(stage: SliceRecipe) -> object:
    """What decides it once the recipe is cut."""
    shown = stage.input.model_copy(update={"size": smallest(stage), "neighbour_spacing": SPACING})
    network = stage.network.model_copy(update={"init": "random"})
    return shown, network, stage.classes, stage.test_time, stage.segmentation


def cut_of_stage(stage: SliceRecipe, *, weights: bool = False) -> dict[str, Any]:
    """Of a model of slices: what no other kind has. weights: it keeps its first weights, and the size they know."""
    changes: dict[str, Any] = {} if weights else {"network.init": "random", "input.size": smallest(stage)}
    if stage.network.frozen:  # random weights it could not learn from
        changes["network.init"] = "phantom"
    if stage.synthetic is not None:
        changes["synthetic.copies"] = 1
    if stage.input.neighbours:
        changes["input.neighbour_spacing"] = SPACING
    if averages_epochs(stage):
        changes |= {"fit.epochs": 2, "fit.averaging.start": 1}
    return changes


def averages_epochs(stage: SliceRecipe) -> bool:
    """Whether the mean of epochs' ends counts: of one epoch there is nothing to average."""
    return stage.fit.averaging is not None and stage.fit.averaging.kind == "swa"


def smallest(stage: SliceRecipe) -> int:
    """The smallest pictures that pay: to 32 px the road has twice the taps, and exporting them takes longer than what
    training saves. A multiple of what the network takes."""
    shrinkage = 32 if stage.network.facts is None else stage.network.facts.shrinkage
    return -(-64 // shrinkage) * shrinkage


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@pytest.mark.slow
@pytest.mark.parametrize("name", recipes.names())
def test_it_trains_becomes_a_bundle_and_reads_an_exam(name: str, material: Material, tmp_path: Path) -> None:
    recipe = recipes.find(name).recipe
    done = material.train(name, tmp_path / "run", cut(recipe))
    assert done.exit_code == 0, done.stderr
    see_what_it_saw(tmp_path / "run", material)
    runs = [tmp_path / "run"]
    if recipe.population.slices == "positives":  # it reads no exam alone: see test_bundle.py
        runs.insert(0, material.gate(recipe.population.without))
    bundle = exported(material, tmp_path / "it.ichnos", *runs)
    done = predicted(bundle, material, tmp_path / "read")
    assert done.exit_code == 0, done.stderr
    findings = ExamFindings.model_validate_json((tmp_path / "read" / "exam-001" / "findings.json").read_text())
    assert len(findings.slices) == EXAM.slices[0]
    for each in findings.slices:
        assert each.probabilities.keys() == {*recipe.classes, Subtype.ANY}
        assert each.probabilities[Subtype.ANY] >= max(each.probabilities.values())


def see_what_it_saw(run: Path, material: Material) -> None:
    """Every stage that looks at neighbours was shown other slices, and averaged weights are not the last ones."""
    index = pl.read_parquet(material.prepared / "index.parquet")
    trained = {path: load_checkpoint(path) for path in run.rglob("last.safetensors") if path.parent.name != "exam"}
    assert trained
    for path, last in trained.items():
        for _, exam in index.group_by("exam"):
            beside = neighbour_stacks(last.recipe.input, exam["offset"].to_numpy())
            assert_neighbours_are_others(beside, exam["offset"].to_numpy(), path)
        if averages_epochs(last.recipe):
            averages = {n.removeprefix("averaged."): t for n, t in last.tensors.items() if n.startswith("averaged.")}
            weights = {n: t for n, t in last.classifier_tensors().items() if t.is_floating_point()}
            assert averages.keys() >= weights.keys()
            assert not all(torch.equal(averages[n], t) for n, t in weights.items()), f"{path}: a mean of one epoch"


def assert_neighbours_are_others(beside: np.ndarray, offsets: np.ndarray, path: Path) -> None:
    """But at the exam's ends each slice is shown with the one below and the one above it."""
    order = np.argsort(offsets)
    reach = beside.shape[1] // 2
    if reach:
        assert (beside[order[1:], reach - 1] == order[:-1]).all(), f"{path}: the slice below is another one"
        assert (beside[order[:-1], reach + 1] == order[1:]).all(), f"{path}: the slice above is another one"


def exported(material: Material, out: Path, *runs: Path) -> Path:
    """The bundle, whose network says what the trained one says."""
    done = ichnos("export", *map(str, runs), "--out", str(out), "--data", str(material.prepared), "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["agreement"] <= 1e-4
    return out


def predicted(bundle: Path, material: Material, out: Path) -> Ran:
    return ichnos("predict", str(material.exam), "--bundle", str(bundle), "--out", str(out))


@pytest.mark.parametrize("name", recipes.names())
def test_what_is_cut_is_short_and_still_a_recipe(name: str) -> None:
    """Every kind, and what stands in it, is found by itself: nothing is left to train for long."""
    recipe = recipes.find(name).recipe
    short = recipe.override({field: _text(value) for field, value in cut(recipe).items()})
    assert all(stage.fit.epochs == 1 + averages_epochs(stage) for stage in short.stages.values())
    inits = {stage.network.init for stage in short.stages.values()}
    real = isinstance(recipe, AnomalyRecipe) or is_of_ranks(recipe)
    frozen = any(stage.network.frozen for stage in recipe.stages.values())
    assert inits <= {"phantom", "phantom-2.5d"} if real or frozen else inits == {"random"}
    assert max(stage.input.size for stage in short.stages.values()) <= (96 if real else 64)
