"""What studies by folds measure of their test patients beside AUC: every level, as `ichnos evaluate` measures it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from ichnos.data.set import PreparedSet
from ichnos.errors import InputError
from ichnos.evaluation.calls import Prevalence
from ichnos.evaluation.fold_levels import JudgedFolds, measure_fold_levels
from ichnos.evaluation.level_measures import Measuring, StatedThresholds
from ichnos.evaluation.levels import Level, judge
from ichnos.evaluation.probabilities import KAGGLE_CLIP
from ichnos.evaluation.readout import reported_labels
from ichnos.evaluation.resampling import RESAMPLES
from ichnos.files import replacing
from ichnos.predictions import OUT_OF_FOLD, OUT_OF_FOLD_CALIBRATED, Predictions
from ichnos.progress import SILENT, Progress
from ichnos.readout import POINTS, Readout
from ichnos.recipe import Population
from ichnos.recipe.grammar import explain
from ichnos.subtypes import Subtype
from ichnos.workflows.measured import BOOTSTRAP_SEED, EXAMS, SCORECARD, SLICES, Tree, table_of_exams, thresholds_of
from ichnos.workflows.subgrouping import Subgrouping

OUT_OF_FOLD_TABLE = "out_of_fold.parquet"
"""What each fold's model gave its test patients' slices, as it gave it: what a bundle is calibrated on."""


def readouts_of_folds(card: Mapping[str, Any], path: Path) -> list[Readout]:
    """By which the models of a study by folds judged, from its scorecard, which lies at `path`.

    Raises InputError where one is none, as with a threshold outside 0 to 1.
    """
    readouts: list[Readout] = []
    for k, fold in enumerate(card["folds"]):
        try:
            readouts.append(Readout.model_validate(fold["readout"]))
        except ValidationError as error:
            raise InputError(
                f"{path} is damaged, the readout of fold {k} is none: {explain(error)}; "
                "measure again, or take the file from where it came"
            ) from error
    return readouts


@dataclass(frozen=True, eq=False)
class FoldsJudged:
    """The test patients of all folds as their models judged them, and the readouts by which they did."""

    judged: JudgedFolds
    readouts: tuple[Readout, ...]
    tests: tuple[Predictions, ...]
    """Of each fold the slices as they were given, in the order in which they were judged."""

    @classmethod
    def of(cls, tests: Sequence[Predictions], readouts: Sequence[Readout]) -> "FoldsJudged":
        """From raw predictions of each fold's test part and the readout that its validation part gave."""
        folds = [judge(test, reported_labels(test), r) for test, r in zip(tests, readouts, strict=True)]
        return cls(JudgedFolds(folds), tuple(readouts), tuple(tests))

    @classmethod
    def read(cls, folder: Path, card: Tree) -> "FoldsJudged":
        """The same of a study that has ended, from its table and scorecard."""
        pooled = Predictions.read_parquet(folder / OUT_OF_FOLD_TABLE)
        ends = np.cumsum([0, *(fold["test_slices"] for fold in card["folds"])])
        tests = [pooled.select(np.arange(ends[k], ends[k + 1])) for k in range(len(card["folds"]))]
        return cls.of(tests, readouts_of_folds(card, folder / SCORECARD))

    @property
    def pooled(self) -> Predictions:
        """All folds' slices as they were given. Of several folds every patient is out of fold."""
        pooled = Predictions.joined(self.tests)
        return replace(pooled, part=OUT_OF_FOLD) if len(self.tests) > 1 else pooled

    def write_given(self, folder: Path) -> None:
        """OUT_OF_FOLD_TABLE."""
        with replacing(folder / OUT_OF_FOLD_TABLE) as temporary:
            self.pooled.write_parquet(temporary)

    def write_judged(self, folder: Path) -> None:
        """SLICES and EXAMS."""
        given = self.pooled
        slices, exams = (self.judged.pooled(level) for level in (Level.SLICE, Level.EXAM))
        calibrated = replace(
            given,
            classes=self.reported,
            probabilities=slices.probabilities,
            labels=slices.labels,
            part=OUT_OF_FOLD_CALIBRATED if given.part == OUT_OF_FOLD else given.part,
        )
        whole = table_of_exams(exams, self.reported, given)
        for name, table in ((SLICES, calibrated), (EXAMS, whole)):
            with replacing(folder / name) as temporary:
                table.write_parquet(temporary)

    @property
    def reported(self) -> tuple[Subtype, ...]:
        """The columns of all tables."""
        return self.readouts[0].reported

    def thresholds(self, level: Level) -> StatedThresholds:
        """Of each operating point for each class, one a fold."""
        each = [thresholds_of(readout, level) for readout in self.readouts]
        return {point: {c: [fold[point][c] for fold in each] for c in self.reported} for point in POINTS}


def measured_levels(
    folds: FoldsJudged, population: Population, prevalence: Prevalence, progress: Progress = SILENT
) -> Tree:
    """What a scorecard of folds says of every level, and by what.

    A recipe of positives alone is measured in slices and of its subtypes: every one of its slices has a hemorrhage, so
    nothing is said of `any`, of exams or of patients. Raises UsageError where a prevalence is none.
    """
    positives_only = population.slices == "positives"
    levels = (Level.SLICE,) if positives_only else tuple(Level)
    named = tuple(c for c in folds.reported if c is not Subtype.ANY) if positives_only else folds.reported
    asked = Measuring(folds.reported, named, prevalence, BOOTSTRAP_SEED)
    thresholds = {level: folds.thresholds(level) for level in levels}
    trees = measure_fold_levels(folds.judged, levels, thresholds, asked, progress)
    for tree in trees.values():
        tree["classes"] = {c.value: tree["classes"][c.value] for c in named}
    return {
        "levels": trees,
        "prevalence": {c.value: share for c, share in prevalence.items()},
        "resamples": RESAMPLES,
        "kaggle_clip": KAGGLE_CLIP,
    }


def subgroups_of_folds(folds: FoldsJudged, prepared: PreparedSet, by: Subgrouping, prevalence: Prevalence) -> Tree:
    """{"subgroups": ...} of all folds' exams together; nothing where none are asked for."""
    asked = Measuring(folds.reported, folds.reported, prevalence, BOOTSTRAP_SEED)
    return by.measured(prepared, folds.judged.pooled(Level.EXAM), folds.thresholds(Level.EXAM), asked)
