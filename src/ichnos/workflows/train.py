"""From a prepared set and a recipe to a trained run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ichnos.counting import counted
from ichnos.data.cache import SliceCache, open_cache
from ichnos.data.grafts import SyntheticSlices, open_grafts, synthetic_slices
from ichnos.data.images import JoinedImages
from ichnos.data.joined import JoinedSet, JoinedSplits, join_splits
from ichnos.data.masks import Masks, open_masks
from ichnos.data.set import PreparedSet
from ichnos.data.splits import Part, Splits, stored_splits
from ichnos.errors import SetError, TrainingError, UsageError
from ichnos.evaluation.combination import FittedCombination
from ichnos.files import write_json
from ichnos.models.initial_weights import find_weights
from ichnos.predictions import Predictions
from ichnos.processes import is_first_of_training
from ichnos.progress import Progress
from ichnos.recipe import (
    EXAM,
    AnomalyRecipe,
    AnyKind,
    CascadeRecipe,
    EnsembleRecipe,
    ExamRecipe,
    Population,
    Recipe,
    SliceRecipe,
    Synthetic,
    TreesHead,
    exam_networks,
    join,
)
from ichnos.training.devices import AS_USUAL, Execution, by_several
from ichnos.training.folder import RunFolder
from ichnos.training.loop import TrainingSummary, train
from ichnos.training.slices import TrainingSlices
from ichnos.workflows.anomaly import Scale, fit_anomaly
from ichnos.workflows.combining import combine_members
from ichnos.workflows.exam_training import train_exam
from ichnos.workflows.growing import grow_trees
from ichnos.workflows.seen import check_first_weights
from ichnos.workflows.trained import kind_of, open_run
from ichnos.workflows.trained_model import TRAINING_PATIENTS, TrainedModel


@dataclass(frozen=True, eq=False)
class OpenData:
    """A set with its splits, opened once for all models of a study."""

    prepared: PreparedSet
    splits: Splits
    fold: int | None = None
    """Use this fold instead of the one split."""
    everyone: bool = False
    """Train on all patients: none are held back, to choose by or to measure on."""
    patients: tuple[str, ...] | None = None
    """Train on these of the training part alone; None: on all of it."""

    def slices(self, recipe: SliceRecipe, part: Part, progress: Progress) -> TrainingSlices:
        """The slices of one part that belong to the recipe's population, as its input road shows them.

        Where the recipe asks for synthetic lesions, the training part has them at its end. Masks come with the slices
        where it outlines blood.
        """
        slices = self.slices_of(recipe, recipe.population, part, progress)
        if recipe.segmentation:
            cache = open_cache(self.prepared, recipe.input, recipe.population, progress)
            masks = reduce(Masks.and_then, (open_masks(s, recipe.input.size, progress) for s in self.prepared.sets))
            slices = replace(slices, masks=masks.of(cache.rows))
        if recipe.synthetic is None or part is not Part.TRAIN:
            return slices
        return self._with_synthetic(slices, recipe, recipe.synthetic, progress)

    def _with_synthetic(
        self, real: TrainingSlices, recipe: SliceRecipe, synthetic: Synthetic, progress: Progress
    ) -> TrainingSlices:
        """Only lesions drawn into this part's own exams are shown: a patient is in no other part by another name."""
        drawn = self._drawn(recipe, synthetic, progress)
        shown = np.ones(sum(len(each.labels) for each in drawn), np.bool_)
        if recipe.population.slices == "positives":  # those beside a lesion are none
            shown = np.concatenate([each.labels.any(axis=1) for each in drawn])
        labels = np.concatenate([each.labels_of(recipe.classes) for each in drawn])[shown]
        return replace(
            real,
            images=JoinedImages([real.images, *(each.images for each in drawn)]),
            rows=np.concatenate([real.rows, len(real.images) + np.flatnonzero(shown)]),
            labels=np.concatenate([real.labels, labels]),
            synthetic=len(labels),
            masks=None if real.masks is None else reduce(Masks.and_then, (d.masks for d in drawn), real.masks),
        )

    def _drawn(self, recipe: SliceRecipe, synthetic: Synthetic, progress: Progress) -> list[SyntheticSlices]:
        """Of each set; where there are several, one into whose exams none could be drawn is passed over."""
        everything = Population(slices="all")
        rows, sets, drawn = self.rows(everything, Part.TRAIN), self.prepared.sets, list[SyntheticSlices]()
        for number, each in enumerate(sets):
            own = self.prepared.rows_of_set(number, rows) if isinstance(self.prepared, JoinedSet) else rows
            try:
                grafts = open_grafts(each, recipe.input, synthetic, progress)
            except SetError as error:
                if number == len(sets) - 1 and not drawn:
                    raise
                progress.message(f"set {number + 1}: {error}")
                continue
            cache = open_cache(each, recipe.input, everything, progress)
            drawn.append(synthetic_slices(each, recipe.input, cache, grafts, own))
        return drawn

    def slices_of(self, recipe: SliceRecipe, population: Population, part: Part, progress: Progress) -> TrainingSlices:
        """The same for another population than the recipe's own: to compare models on equal slices."""
        cache: SliceCache = open_cache(self.prepared, recipe.input, population, progress)
        rows = self.rows(population, part)
        return TrainingSlices(
            cache.images,
            cache.positions_of(rows),
            self.prepared.labels_of(recipe.classes)[rows],
            exams=np.unique(self.prepared.exams[rows], return_inverse=True)[1],
            heights=self.prepared.heights[rows],
        )

    @property
    def patients_in_training(self) -> int:
        """How many there are to learn from."""
        rows = self.rows(Population(slices="all"), Part.TRAIN)
        return self.prepared.index["patient"].gather(rows).n_unique()

    @property
    def origin(self) -> dict[str, Any]:
        """Which patients are in which part, so that a run is never measured on those that it learnt from.

        Of joined sets it holds each one's too, as if it were alone.
        """
        told: dict[str, Any] = {
            "source": self.prepared.header.source,
            "set": self.prepared.header.fingerprint,
            "split_seed": self.splits.seed,
            "folds": self.splits.folds,
            "fold": self.fold,
            "everyone": self.everyone,
        }
        if self.patients is not None:
            told[TRAINING_PATIENTS] = len(self.patients)
        if isinstance(self.prepared, JoinedSet):
            told["sets"] = [self._origin_of(each) for each in self.prepared.sets]
        return told

    def _origin_of(self, each: PreparedSet) -> dict[str, Any]:
        """Of one of several sets. One split that was drawn for all of them together is no split of one."""
        if isinstance(self.splits, JoinedSplits):
            return OpenData(each, stored_splits(each), self.fold, self.everyone).origin
        return OpenData(each, self.splits, self.fold, self.everyone).origin | {
            "split": "drawn for several sets together"
        }

    def rows(self, population: Population, part: Part) -> NDArray[np.int64]:
        """The set's rows of a population in one part, ascending."""
        rows = self.prepared.rows_of(population)
        if self.everyone:
            return rows if part is Part.TRAIN else rows[:0]
        in_part = self.splits.rows(part) if self.fold is None else self.splits.rows_of_fold(self.fold, part)
        if self.patients is not None and part is Part.TRAIN:
            named = self.prepared.index["patient"].is_in(list(self.patients)).to_numpy()
            in_part = in_part[named[in_part]]
        return np.intersect1d(in_part, rows)


Sets = Path | Sequence[Path]
"""Where a prepared set lies, or several that are taken as one."""


def open_data(data: Sets, fold: int | None = None) -> OpenData:
    """Open a prepared set and its splits; a set without labels of single slices has none, and all of it is to test.

    Of several sets each keeps its own split; see JoinedSplits for patients who are in more than one of them.
    """
    paths = [data] if isinstance(data, Path) else list(data)
    if not paths:
        raise UsageError("give at least one prepared set (--data)")
    if len(paths) > 1:
        joined = JoinedSet([PreparedSet(path) for path in paths])
        return OpenData(joined, join_splits(joined), fold)
    prepared = PreparedSet(paths[0])
    return OpenData(prepared, stored_splits(prepared) if prepared.header.teaches else all_tested(prepared), fold)


def data_words(data: Sets) -> list[str]:
    """What to type for it."""
    return [word for path in ([data] if isinstance(data, Path) else data) for word in ("--data", str(path))]


def all_tested(prepared: PreparedSet) -> Splits:
    """Of a set from which nothing can be learnt: every patient is measured on."""
    slices = prepared.header.slices
    return Splits(0, np.full(slices, Part.TEST.value), np.zeros(slices, np.int64), 1)


def train_model(
    recipe: Recipe,
    data: Sets,
    run: Path,
    progress: Progress,
    *,
    fold: int | None = None,
    device: str = "auto",
    execution: Execution = AS_USUAL,
) -> dict[str, Any]:
    """Train `recipe` on the set `data`, or on several, into the folder `run`; a stopped run goes on.

    execution: by how many processes, and how. Where they are several, each comes here.

    Returns a summary, JSON-able: of several models it is {"run", "recipe"} and a summary of each stage under its name
    in `recipe.stages`; that of a network of exams stands under `exam`.
    """
    _check_shared(recipe, execution)
    meaningless = _meaningless_to_heads(execution)
    if exam_networks(recipe) and meaningless:
        progress.message(
            f"{recipe.name}: its networks of slices alone take {', '.join(meaningless)}; its network of exams trains "
            "in 32-true, on whole batches, not compiled"
        )
    opened = open_data(data, fold)
    if isinstance(opened.splits, JoinedSplits):
        progress.message(_who_is_left_out(opened.splits, fold))
    summaries = train_stages(recipe, opened, run, progress, device=device, execution=execution)
    names = {path: stage.name for path, stage in recipe.stages.items()}
    names |= {join(path, EXAM): each.name for path, each in exam_networks(recipe).items()}
    trees = {path: _summary(summary, names[path]) for path, summary in summaries.items()}
    return {"run": str(run), "recipe": recipe.name} | trees.pop("", {}) | trees


def _check_shared(recipe: Recipe, execution: Execution) -> None:
    others = [each for each in recipe.composites.values() if not isinstance(each, CascadeRecipe)]
    if others and by_several(execution):
        raise TrainingError(
            f"{recipe.name} is {recipe.in_words}: several processes train networks of single slices and cascades of "
            "them; give the same command to one process, or train its stages by recipes of their own"
        )


def _meaningless_to_heads(execution: Execution) -> list[str]:
    """What was asked for that networks of exams, small as they are, have no use of."""
    asked = {
        f"--precision {execution.precision}": execution.precision not in (None, "32-true"),
        f"--accumulate {execution.accumulate}": execution.accumulate > 1,
        "--compile": bool(execution.compile),
    }
    return [option for option, given in asked.items() if given]


def _who_is_left_out(splits: JoinedSplits, fold: int | None) -> str:
    slices, patients = splits.left_out(fold)
    if not slices:
        return "no patient and no telling image of one set is in another part of another"
    return (
        f"{counted(slices, 'slice')} of {counted(patients, 'patient')} left out: another set has the same patients or "
        "images in its validation or test part"
    )


def _summary(summary: TrainingSummary, recipe: str) -> dict[str, Any]:
    return {
        "run": str(summary.run),
        "recipe": recipe,
        "epochs": summary.epochs,
        "best_epoch": summary.best_epoch,
        "best_validation_loss": summary.best_validation_loss,
        "stopped_early": summary.stopped_early,
        "seconds": summary.seconds,
    }


def check_epochs(recipe: AnyKind, data: OpenData) -> None:
    """Raise UsageError where a stage's epoch is to be chosen by AUC and its validation slices define none, or where
    fewer than two ends of epochs would be averaged.

    A run that stops where others were best (fit.stop_after) goes their way, whatever there was to average.
    """
    for stage in recipe.stages.values():
        mean = stage.fit.averaging
        if mean and mean.kind == "swa" and stage.fit.stop_after is None and mean.start >= stage.fit.epochs:
            raise UsageError(
                f"{stage.name} averages the ends of epochs from epoch {mean.start} on (fit.averaging.start) and has "
                f"{stage.fit.epochs}, so there is nothing to average: give more epochs or an earlier start"
            )
        if stage.fit.best != "auc" or data.everyone:
            continue
        labels = data.prepared.labels_of(stage.classes)[data.rows(stage.population, Part.VALIDATION)]
        if len(labels) and not (labels.any(axis=0) & ~labels.all(axis=0)).any():
            part = "the split" if data.fold is None else f"fold {data.fold}"
            raise UsageError(
                f"{stage.name} chooses its epoch by AUC (fit.best=auc), and no class has slices with it and without it "
                f"among the validation patients of {part}; give fit.best=loss, another --split-seed, or fewer --folds"
            )


def train_stages(
    recipe: Recipe,
    data: OpenData,
    run: Path,
    progress: Progress,
    *,
    combinations: Mapping[str, FittedCombination] | None = None,
    unseen: Predictions | None = None,
    scales: Mapping[str, Scale] | None = None,
    device: str = "auto",
    execution: Execution = AS_USUAL,
) -> dict[str, TrainingSummary]:
    """Train every stage of `recipe` on data that is open already: into `run` itself, or each into a folder of its own.

    Returns a summary a stage, by its name in `recipe.stages`, and one of a network of exams by its folder. The
    recipe.json of several models is written when all of them are trained and joined. combinations: of ensembles, by
    their folders, for data that has everyone in training; unseen: for the same, what boosted trees learn from;
    scales: for the same, of anomaly detectors, by their folders. Raises TrainingError where a folder holds a run of
    another kind, UsageError where first weights have learnt from patients whom it would choose by or be measured on.
    """
    for path, each in {"": recipe, **recipe.composites, **recipe.stages}.items():
        found = kind_of(run / path)
        if found not in (None, each.in_words):
            raise TrainingError(
                f"{run / path} holds a run of {found}, this recipe is of {each.in_words}; give another folder, or "
                "remove this one"
            )
    check_first_weights(recipe, data.origin)
    check_epochs(recipe, data)
    summaries = {
        name: train_on(stage, data, run / name, progress, device=device, execution=execution)
        for name, stage in recipe.stages.items()
    }
    joined = join_stages(
        recipe, data, run, progress, combinations=combinations, unseen=unseen, scales=scales, device=device
    )
    return summaries | joined


def join_stages(
    recipe: AnyKind,
    data: OpenData,
    run: Path,
    progress: Progress,
    *,
    combinations: Mapping[str, FittedCombination] | None = None,
    unseen: Predictions | None = None,
    scales: Mapping[str, Scale] | None = None,
    device: str = "auto",
) -> dict[str, TrainingSummary]:
    """Fit or train what joins the stages of `run`, which are trained, and write the recipe.json of several models."""
    summaries: dict[str, TrainingSummary] = {}
    for path, each in recipe.composites.items():
        if isinstance(each, EnsembleRecipe):
            given = (combinations or {}).get(path)
            combine_members(each, data, run / path, progress, given=given, device=device)
        if isinstance(each, AnomalyRecipe):
            model = cast("TrainedModel", open_run(run / path / "usual"))
            fit_anomaly(each, model, data, run / path, progress, given=(scales or {}).get(path), device=device)
        if isinstance(each, ExamRecipe) and isinstance(each.head, TreesHead):
            grow_trees(each, data, run / path, progress, unseen=unseen, device=device)
        elif isinstance(each, ExamRecipe):
            summaries[join(path, EXAM)] = train_exam(each, data, run / path, progress, device=device)
        if is_first_of_training():
            write_json(run / path / "recipe.json", each.model_dump(mode="json"))
    return summaries


def train_on(
    recipe: SliceRecipe,
    data: OpenData,
    run: Path,
    progress: Progress,
    *,
    device: str = "auto",
    execution: Execution = AS_USUAL,
) -> TrainingSummary:
    """Train `recipe` on data that is open already; on everyone all its epochs are trained, and none is chosen.

    Raises TrainingError where the set does not say of each slice what it shows, WeightsError where first weights
    cannot be had.
    """
    if not data.prepared.header.teaches:
        raise TrainingError(
            "nothing can be learnt from this set: it has no labels of single slices, only of whole exams or none at "
            "all; measure a model on it with `ichnos evaluate`, and train on a set with labelled slices"
        )
    if is_first_of_training() and not RunFolder(run).last.exists():
        find_weights(recipe.network, progress)  # before a cache is made, which can take an hour
    training = data.slices(recipe, Part.TRAIN, progress)
    validation = None if data.everyone else data.slices(recipe, Part.VALIDATION, progress)
    return train(
        recipe, training, validation, run, device=device, execution=execution, origin=data.origin, progress=progress
    )
