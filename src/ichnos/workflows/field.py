"""Many recipes under one protocol: the same folds, the same readout, one report."""

import itertools
import json
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ichnos import recipes as package
from ichnos.errors import UsageError, WeightsError
from ichnos.evaluation.calls import Prevalence, check_prevalence
from ichnos.evaluation.probabilities import KAGGLE_CLIP
from ichnos.evaluation.readout import AS_USUAL, Fitting
from ichnos.files import write_json
from ichnos.findings import NOTICE
from ichnos.models.checkpoint import copy_checkpoint, load_checkpoint
from ichnos.models.exam_checkpoint import load_exam_checkpoint
from ichnos.progress import Progress
from ichnos.recipe import EXAM, ExamRecipe, Recipe, SliceRecipe, exam_networks, fits_of
from ichnos.recipe import SLICES as SLICE_STAGE
from ichnos.reporting.field import FieldReport, write_field
from ichnos.reporting.field_gains import printed_gains
from ichnos.reporting.measured_recipe import MeasuredRecipe
from ichnos.subtypes import Subtype
from ichnos.training.journal import read_journal
from ichnos.workflows.cost import costs_of_runs
from ichnos.workflows.field_choice import choice_of_folds
from ichnos.workflows.field_pairs import (
    LEVELS,
    RESAMPLES,
    Pairs,
    compared_levels,
    correct,
    gains_of_step,
    ranked,
    ranking_of,
)
from ichnos.workflows.fold_measures import OUT_OF_FOLD_TABLE, FoldsJudged, subgroups_of_folds
from ichnos.workflows.folds import (
    FoldOptions,
    open_folds,
    patients_of_folds,
    study_folds,
    with_levels,
)
from ichnos.workflows.measured import BOOTSTRAP_SEED, EXAMS, SLICES, prevalence_words, see_that_it_goes_on
from ichnos.workflows.seen import check_first_weights
from ichnos.workflows.subgrouping import Subgrouping
from ichnos.workflows.train import OpenData, Sets, check_epochs, data_words
from ichnos.workflows.trained import open_run

Tree = dict[str, Any]

_FORM = "ichnos-field"
"""Of the scorecard."""

_OLD_KEYS = ("slices", "exams")
"""What of a study by folds stands in the scorecard under these names; `levels` has more of the same."""

EACH = "each"
"""In the place of a recipe: each one that has none of its own to be measured against."""

_TRAINED = ("recipe.json", "best.safetensors", "last.safetensors", "journal.jsonl", "environment.json")
"""Files of a run that has ended, without which it is none."""


@dataclass(frozen=True)
class FieldOptions:
    """What can be chosen about a comparison."""

    recipes: tuple[str, ...]
    """Names, or paths of files, in the order in which they are shown."""
    against: Mapping[str, str] = field(default_factory=dict[str, str])
    """For a recipe the one over which its gain is reported; without it that of `each`, or the one before it."""
    changes: Mapping[str, str] = field(default_factory=dict[str, str])
    """Fields that are set in every recipe, in every stage of it; RECIPE:FIELD in that one alone, after the others."""
    folds: int | None = None
    split_seed: int | None = None
    title: str | None = None
    note: str | None = None
    ranking: bool = True
    """Without it the report is of runs: that each recipe trains and reads, not which is better."""
    prevalence: Prevalence = field(default_factory=dict[Subtype, float])
    """Where predictive values are wanted besides the set's own."""
    fitting: Fitting = AS_USUAL
    """Of every readout."""
    subgroups: Subgrouping = field(default_factory=Subgrouping)
    """By what exams are parted, of every recipe of all slices."""

    def __post_init__(self) -> None:
        check_prevalence(self.prevalence)

    @property
    def of_folds(self) -> FoldOptions:
        """Of each recipe's study by folds; subgroups are told of afterwards, as of one that has ended."""
        return FoldOptions(
            split_seed=self.split_seed, folds=self.folds, prevalence=self.prevalence, fitting=self.fitting
        )

    def command(self, data: Sets, out: Path) -> str:
        """What to type to make the same again."""
        words = ["ichnos", "study", "field", *data_words(data), "--out", str(out)]
        words += ["--recipes", ",".join(self.recipes)]
        words += [word for pair in self.against.items() for word in ("--against", "=".join(pair))]
        words += [word for pair in self.changes.items() for word in ("--set", "=".join(pair))]
        words += ["--folds", str(self.folds)] if self.folds is not None else []
        words += ["--split-seed", str(self.split_seed)] if self.split_seed is not None else []
        words += prevalence_words(self.prevalence) + self.subgroups.words + self.fitting.words
        words += ["--title", self.title] if self.title else []
        words += ["--note", self.note] if self.note else []
        words += [] if self.ranking else ["--no-ranking"]
        return shlex.join(words)


def study_field(data: Sets, out: Path, options: FieldOptions, progress: Progress, *, device: str = "auto") -> Tree:
    """Train and measure every recipe as `study_folds` does, each into `out`/NAME, compare them, write one report.

    Goes on where it stopped. A stage that another recipe of the study has trained already is not trained again. Writes
    scorecard.json, report.md and report.html; returns the scorecard.
    Raises RecipeError where a recipe is unknown or a change does not fit one, UsageError where a comparison is of
    recipes that are not there, OutputError where `out` holds something else.
    """
    chosen = _chosen(options)
    against = _against(options, list(chosen))
    see_that_it_goes_on(out, _FORM)
    opened, parts = open_folds(data, options.split_seed, options.folds)
    for recipe, fold in itertools.product(chosen.values(), parts):
        check_first_weights(recipe, replace(opened, fold=fold).origin)
        check_epochs(recipe, replace(opened, fold=fold))
    options.subgroups.see_that_it_can_be(opened.prepared)
    studied: list[tuple[Tree, FoldsJudged]] = []
    with progress.task("Recipes", len(chosen)) as task:
        for name, recipe in chosen.items():
            progress.message(f"{name}: {recipe.title}")
            _take_over(recipe, out, name, len(parts))
            card = _ended_study(out / name, recipe, opened, len(parts), options.fitting)
            if card is None:
                card = study_folds(recipe, data, out / name, progress, options.of_folds, device=device)
            studied.append(_told(recipe, card, out / name, opened, parts, options, progress))
            task.advance()
    costs = costs_of_runs({name: (out / name / "fold-0", recipe) for name, recipe in chosen.items()}, progress)
    measured = [
        _measured(name, recipe, card, judged, out / name, costs[name])
        for (name, recipe), (card, judged) in zip(chosen.items(), studied, strict=True)
    ]
    scorecard = _scorecard(measured, against, options, progress) | {
        "source": opened.prepared.header.source,
        "set": opened.prepared.header.fingerprint,
        "split_seed": opened.splits.seed,
        "command": options.command(data, out),
    }
    write_json(out / "scorecard.json", scorecard)
    write_field(FieldReport(scorecard, tuple(measured)), out, progress)
    return scorecard


def _chosen(options: FieldOptions) -> dict[str, Recipe]:
    """Each recipe under its name, changed."""
    chosen: dict[str, Recipe] = {}
    if twice := [asked for asked in dict.fromkeys(options.recipes) if options.recipes.count(asked) > 1]:
        raise UsageError(f"--recipes: {', '.join(twice)} given twice; name each recipe once")
    for asked in options.recipes:
        recipe = package.find(asked).recipe
        recipe = recipe.override(
            {
                ".".join(filter(None, (stage.replace("/", "."), name))): value
                for stage in recipe.stages
                for name, value in _changes_of(recipe.name, options.changes).items()
            }
        )
        if recipe.name in chosen:
            raise UsageError(f"two of the recipes are called {recipe.name}; give each a name of its own")
        chosen[recipe.name] = recipe
    if not chosen:
        raise UsageError(f"give --recipes; there are {', '.join(package.names())}")
    for change in options.changes:
        name, sign, _ = change.rpartition(":")
        if sign and name not in chosen:
            raise UsageError(f"--set {change}: {name} is not in this study, it has {', '.join(chosen)}")
    return chosen


def _changes_of(name: str, changes: Mapping[str, str]) -> dict[str, str]:
    """Those of everyone, then what is this recipe's own."""
    own = {field.removeprefix(f"{name}:"): value for field, value in changes.items() if field.startswith(f"{name}:")}
    return {field: value for field, value in changes.items() if ":" not in field} | own


def _against(options: FieldOptions, names: Sequence[str]) -> dict[str, str]:
    """For each recipe but the first, which one it is measured against: its own, that of `each`, or the one before."""
    for name, other in options.against.items():
        for one in (name, other):
            if one not in names and not (one == name == EACH):
                raise UsageError(f"--against {name}={other}: {one} is not in this study, it has {', '.join(names)}")
        if name == other:
            raise UsageError(f"--against {name}={other}: a recipe gains nothing over itself")
    others = dict(zip(names[1:], names[:-1], strict=True))
    if EACH in options.against:
        others = {name: options.against[EACH] for name in names if name != options.against[EACH]}
    others |= {name: other for name, other in options.against.items() if name != EACH}
    return {name: others[name] for name in names if name in others}


def _ended_study(folder: Path, recipe: Recipe, opened: OpenData, folds: int, fitting: Fitting) -> Tree | None:
    """The scorecard of this recipe on these folds, judged so, where it is there already."""
    path = folder / "scorecard.json"
    if not path.exists() or not (folder / OUT_OF_FOLD_TABLE).exists():
        return None
    card = json.loads(path.read_bytes())
    wanted = (recipe.model_dump(mode="json"), opened.prepared.header.fingerprint, opened.splits.seed, folds)
    found = (card.get("recipe"), card.get("set"), card.get("split_seed"), len(card.get("folds", ())))
    judged_so = all(fitting.is_of(fold["readout"]) for fold in card.get("folds", ()))
    return card if found == wanted and judged_so else None


def _take_over(recipe: Recipe, out: Path, name: str, folds: int) -> None:
    """Copy the runs that other recipes of this study have ended and that this one's stages would train again."""
    for k in range(folds):
        for stage, wanted in recipe.stages.items():
            target = out / name / f"fold-{k}" / stage
            if (target / "last.safetensors").exists():
                continue
            for found in sorted(out.glob(f"*/fold-{k}/**/recipe.json")):
                if _is_the_same(found, wanted) and _ended(found.parent):
                    _copy(found.parent, target, wanted)
                    break
        for path, head in exam_networks(recipe).items():
            _take_over_head(head, out / name / f"fold-{k}" / path, sorted(out.glob(f"*/fold-{k}/**/{EXAM}")))


def _take_over_head(wanted: ExamRecipe, whole: Path, others: Sequence[Path]) -> None:
    """The same of a network of exams: one of the very same slice stage, with what that said of the exams."""
    target = whole / EXAM
    if (target / "last.safetensors").exists():
        return
    try:
        slices = open_run(whole / SLICE_STAGE).digest()
    except WeightsError:
        return  # not trained yet, so no network of exams is of it
    for found in others:
        if not all((found / name).exists() for name in _TRAINED):
            continue
        last = load_exam_checkpoint(found / "last.safetensors")
        if (last.recipe, last.metadata["slices"]) == (wanted, slices) and last.metadata["state"]["finished"]:
            kept = [path.name for path in found.glob("slices_*.safetensors")]
            target.mkdir(parents=True, exist_ok=True)
            for name in (*kept, *sorted(_TRAINED, key=lambda each: each == "last.safetensors")):
                shutil.copyfile(found / name, target / f".{name}.tmp")
                (target / f".{name}.tmp").replace(target / name)
            return


def _is_the_same(found: Path, wanted: SliceRecipe) -> bool:
    """Whether a run has the weights of this recipe, whatever it is called and however it is asked afterwards."""
    try:
        theirs = SliceRecipe.model_validate_json(found.read_bytes())
    except (ValidationError, OSError):
        return False
    return theirs.derive(name=wanted.name, title=wanted.title).as_trained == wanted.as_trained


def _ended(run: Path) -> bool:
    if not all((run / name).exists() for name in _TRAINED):
        return False
    return bool(load_checkpoint(run / "last.safetensors").metadata["state"]["finished"])


def _copy(run: Path, target: Path, wanted: SliceRecipe) -> None:
    """The weights last: a copy that was cut short is no run. It is asked as the wanted recipe says."""
    theirs = SliceRecipe.model_validate_json((run / "recipe.json").read_bytes())
    recipe = theirs.model_copy(update={"test_time": wanted.test_time})
    target.mkdir(parents=True, exist_ok=True)
    kept = [*_TRAINED, *(path.name for path in run.glob("best_until_*.safetensors"))]
    for name in sorted(kept, key=lambda each: each == "last.safetensors"):
        temporary = target / f".{name}.tmp"
        if recipe != theirs and name == "recipe.json":
            write_json(temporary, recipe.model_dump(mode="json"))
        elif recipe != theirs and name.endswith(".safetensors"):
            copy_checkpoint(run / name, temporary, recipe)
        else:
            shutil.copyfile(run / name, temporary)
        temporary.replace(target / name)


def _told(
    recipe: Recipe,
    card: Tree,
    folder: Path,
    opened: OpenData,
    parts: Sequence[int | None],
    options: FieldOptions,
    progress: Progress,
) -> tuple[Tree, FoldsJudged]:
    """The scorecard of a recipe's study with all that is asked for, and what its models judged.

    Only what it lacks is measured: it may be of a study that ended before this was asked for, or before it was told.
    """
    judged = FoldsJudged.read(folder, card)
    if not all((folder / table).exists() for table in (SLICES, EXAMS)):
        judged.write_judged(folder)
    by = options.subgroups if recipe.population.slices == "all" else Subgrouping()
    if not (_has_levels(card, options.prevalence) and by.is_told(card)):
        told = {key: value for key, value in card.items() if key != "subgroups"}
        told |= patients_of_folds(recipe, opened, parts)
        told |= subgroups_of_folds(judged, opened.prepared, by, options.prevalence)
        card = with_levels(told, judged, recipe, folder, options.prevalence, progress)
    return card, judged


def _has_levels(card: Tree, prevalence: Prevalence) -> bool:
    """Whether patients are told of and every level was measured there already, with these prevalences."""
    told = "levels" in card and "demographics" in card
    return told and card.get("prevalence") == {c.value: share for c, share in prevalence.items()}


def _measured(name: str, recipe: Recipe, card: Tree, judged: FoldsJudged, folder: Path, cost: Tree) -> MeasuredRecipe:
    journals = {
        stage: [read_journal(folder / f"fold-{k}" / stage / "journal.jsonl") for k in range(len(card["folds"]))]
        for stage in fits_of(recipe)
    }
    joined = {level: judged.judged.out_of_fold(which) for level, which in LEVELS.items()}
    return MeasuredRecipe(name, recipe, judged.reported, card, joined, journals, cost)


def _scorecard(
    measured: Sequence[MeasuredRecipe], against: Mapping[str, str], options: FieldOptions, progress: Progress
) -> Tree:
    by_name = {each.name: each for each in measured}
    pairs = Pairs(options.prevalence)
    steps: list[Tree] = []
    levels = len(compared_levels(measured[0]))
    order = ranked(measured) if options.ranking else []
    with progress.task("Differences", levels * len(against) + len(order[1:])) as task:
        for name, other in against.items():
            task.note(f"{name} less {other}")
            steps.append(gains_of_step(by_name[name], by_name[other], pairs))
            task.advance(levels)
        ranking = ranking_of(order, pairs, task.advance) if options.ranking else None
    printed = [gain for step in steps for gain in printed_gains(step["gains"])]
    correct(printed)
    return {
        "form": _FORM,
        "notice": NOTICE,
        "title": options.title,
        "note": options.note,
        "bootstrap_seed": BOOTSTRAP_SEED,
        "gain_resamples": RESAMPLES,
        "gain_tests": sum(gain["bootstrap_p"] is not None for gain in printed),
        "prevalence": {c.value: share for c, share in options.prevalence.items()},
        "by": options.subgroups.by,
        "kaggle_clip": KAGGLE_CLIP,
        "changes": dict(options.changes),
        "recipes": {each.name: _entry(each) for each in measured},
        "steps": steps,
        "ranking": ranking,
        "choice": choice_of_folds(order) if options.ranking else None,
        "versions": measured[0].card["versions"],
    }


def _entry(each: MeasuredRecipe) -> Tree:
    card = each.card
    return {
        "title": each.recipe.title,
        "recipe": card["recipe"],
        "first_weights": card["first_weights"],
        "counts": card["counts"],
        "inner": each.inner(),
        "folds": [
            {name: fold[name] for name in ("epochs", "best_epoch", "seconds", "aggregator", "validation_auc")}
            | {"notes": fold.get("notes", [])}
            for fold in card["folds"]
        ],
        **{level: card[level] for level in _OLD_KEYS},
        "levels": {level: _without_bins(tree) for level, tree in card["levels"].items()},
        **({"subgroups": card["subgroups"]} if card.get("subgroups") else {}),
        "cost": each.cost,
    }


def _without_bins(tree: Tree) -> Tree:
    """A level without its reliability diagrams' bins, which stand in the recipe's own scorecard."""
    classes = {c: dict(row) for c, row in tree["classes"].items()}
    for row in classes.values():
        if row["labelled"]:
            row["calibration"] = {
                when: {name: number for name, number in scaled.items() if name != "reliability"}
                for when, scaled in row["calibration"].items()
            }
    return tree | {"classes": classes}
