"""From a prepared set and a recipe to a trained run."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichnos.data.cache import SliceCache, open_cache
from ichnos.data.grafts import open_grafts, synthetic_slices
from ichnos.data.images import JoinedImages
from ichnos.data.masks import open_masks
from ichnos.data.set import PreparedSet
from ichnos.data.splits import Part, Splits, stored_splits
from ichnos.errors import TrainingError
from ichnos.evaluation.combination import FittedCombination
from ichnos.files import write_json
from ichnos.predictions import Predictions
from ichnos.progress import Progress
from ichnos.recipe import EXAM, EnsembleRecipe, ExamRecipe, Population, Recipe, SliceRecipe, Synthetic, TreesHead, join
from ichnos.training.loop import TrainingSummary, train
from ichnos.training.slices import TrainingSlices
from ichnos.workflows.combining import combine_members
from ichnos.workflows.exam_training import train_exam
from ichnos.workflows.growing import grow_trees
from ichnos.workflows.trained import kind_of


@dataclass(frozen=True, eq=False)
class OpenData:
    """A set with its splits, opened once for all models of a study."""

    prepared: PreparedSet
    splits: Splits
    fold: int | None = None
    """Use this fold instead of the one split."""
    everyone: bool = False
    """Train on all patients: none are held back, to choose by or to measure on."""

    def slices(self, recipe: SliceRecipe, part: Part, progress: Progress) -> TrainingSlices:
        """The slices of one part that belong to the recipe's population, as its input road shows them.

        Where the recipe asks for synthetic lesions, the training part has them at its end. Masks come with the slices
        where it outlines blood.
        """
        slices = self.slices_of(recipe, recipe.population, part, progress)
        if recipe.segmentation:
            cache = open_cache(self.prepared, recipe.input, recipe.population, progress)
            slices = replace(slices, masks=open_masks(self.prepared, recipe.input.size, progress).of(cache.rows))
        if recipe.synthetic is None or part is not Part.TRAIN:
            return slices
        return self._with_synthetic(slices, recipe, recipe.synthetic, progress)

    def _with_synthetic(
        self, real: TrainingSlices, recipe: SliceRecipe, synthetic: Synthetic, progress: Progress
    ) -> TrainingSlices:
        """Only lesions drawn into this part's own exams are shown: a patient is in no other part by another name."""
        everything = Population(slices="all")
        cache = open_cache(self.prepared, recipe.input, everything, progress)
        grafts = open_grafts(self.prepared, recipe.input, synthetic, progress)
        drawn = synthetic_slices(self.prepared, recipe.input, cache, grafts, self.rows(everything, Part.TRAIN))
        labels = drawn.labels_of(recipe.classes)
        return replace(
            real,
            images=JoinedImages([real.images, drawn.images]),
            rows=np.concatenate([real.rows, len(real.images) + np.arange(len(labels))]),
            labels=np.concatenate([real.labels, labels]),
            synthetic=len(labels),
            masks=None if real.masks is None else real.masks.and_then(drawn.masks),
        )

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
    def origin(self) -> dict[str, Any]:
        """Which patients are in which part, so that a run is never measured on those that it learnt from."""
        return {
            "source": self.prepared.header.source,
            "set": self.prepared.header.fingerprint,
            "split_seed": self.splits.seed,
            "folds": self.splits.folds,
            "fold": self.fold,
            "everyone": self.everyone,
        }

    def rows(self, population: Population, part: Part) -> NDArray[np.int64]:
        """The set's rows of a population in one part, ascending."""
        rows = self.prepared.rows_of(population)
        if self.everyone:
            return rows if part is Part.TRAIN else rows[:0]
        in_part = self.splits.rows(part) if self.fold is None else self.splits.rows_of_fold(self.fold, part)
        return np.intersect1d(in_part, rows)


def open_data(path: Path, fold: int | None = None) -> OpenData:
    """Open a prepared set and its splits; a set without labels of single slices has none, and all of it is to test."""
    prepared = PreparedSet(path)
    return OpenData(prepared, stored_splits(prepared) if prepared.header.teaches else all_tested(prepared), fold)


def all_tested(prepared: PreparedSet) -> Splits:
    """Of a set from which nothing can be learnt: every patient is measured on."""
    slices = prepared.header.slices
    return Splits(0, np.full(slices, Part.TEST.value), np.zeros(slices, np.int64), 1)


def train_model(
    recipe: Recipe, data: Path, run: Path, progress: Progress, *, fold: int | None = None, device: str = "auto"
) -> dict[str, Any]:
    """Train `recipe` on the set `data` into the folder `run`; a stopped run goes on. Returns a summary, JSON-able.

    Of several models it is {"run", "recipe"} and a summary of each stage under its name in `recipe.stages`; that of a
    network of exams stands under `exam`.
    """
    summaries = train_stages(recipe, open_data(data, fold), run, progress, device=device)
    names = {path: stage.name for path, stage in recipe.stages.items()}
    trees = {path: _summary(summary, names.get(path, recipe.name)) for path, summary in summaries.items()}
    return {"run": str(run), "recipe": recipe.name} | trees.pop("", {}) | trees


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


def train_stages(
    recipe: Recipe,
    data: OpenData,
    run: Path,
    progress: Progress,
    *,
    combinations: Mapping[str, FittedCombination] | None = None,
    unseen: Predictions | None = None,
    device: str = "auto",
) -> dict[str, TrainingSummary]:
    """Train every stage of `recipe` on data that is open already: into `run` itself, or each into a folder of its own.

    Returns a summary a stage, by its name in `recipe.stages`, and one of a network of exams by its folder. The
    recipe.json of several models is written when all of them are trained and joined. combinations: of ensembles, by
    their folders, for data that has everyone in training; unseen: for the same, what boosted trees learn from.
    Raises TrainingError where a folder holds a run of another kind.
    """
    for path, each in {"": recipe, **recipe.composites, **recipe.stages}.items():
        found = kind_of(run / path)
        if found not in (None, each.in_words):
            raise TrainingError(
                f"{run / path} holds a run of {found}, this recipe is of {each.in_words}; give another folder, or "
                "remove this one"
            )
    summaries = {
        name: train_on(stage, data, run / name, progress, device=device) for name, stage in recipe.stages.items()
    }
    for path, each in recipe.composites.items():
        if isinstance(each, EnsembleRecipe):
            given = (combinations or {}).get(path)
            combine_members(each, data, run / path, progress, given=given, device=device)
        if isinstance(each, ExamRecipe) and isinstance(each.head, TreesHead):
            grow_trees(each, data, run / path, progress, unseen=unseen, device=device)
        elif isinstance(each, ExamRecipe):
            summaries[join(path, EXAM)] = train_exam(each, data, run / path, progress, device=device)
        write_json(run / path / "recipe.json", each.model_dump(mode="json"))
    return summaries


def train_on(
    recipe: SliceRecipe, data: OpenData, run: Path, progress: Progress, *, device: str = "auto"
) -> TrainingSummary:
    """Train `recipe` on data that is open already; on everyone all its epochs are trained, and none is chosen.

    Raises TrainingError where the set does not say of each slice what it shows.
    """
    if not data.prepared.header.teaches:
        raise TrainingError(
            "nothing can be learnt from this set: it has no labels of single slices, only of whole exams or none at "
            "all; measure a model on it with `ichnos evaluate`, and train on a set with labelled slices"
        )
    training = data.slices(recipe, Part.TRAIN, progress)
    validation = None if data.everyone else data.slices(recipe, Part.VALIDATION, progress)
    return train(recipe, training, validation, run, device=device, origin=data.origin, progress=progress)
