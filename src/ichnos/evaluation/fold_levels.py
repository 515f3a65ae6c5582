"""Every measure of every level over folds: each patient once, as the model of their own fold judged them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ichnos.evaluation.folds import OutOfFold, mean_of_folds
from ichnos.evaluation.level_measures import Measuring, StatedThresholds, Tree, measure_level
from ichnos.evaluation.levels import Judged, Level
from ichnos.evaluation.resampling import PatientResamples
from ichnos.progress import SILENT, Progress


@dataclass(frozen=True, eq=False)
class JudgedFolds:
    """The test patients of all folds at every level; `folds[k]` is what fold k's model made of its own."""

    folds: Sequence[Mapping[Level, Judged]]

    def pooled(self, level: Level) -> Judged:
        """All folds in one, in their order."""
        return Judged.joined([fold[level] for fold in self.folds])

    def out_of_fold(self, level: Level) -> OutOfFold:
        """The same, each with its fold."""
        return OutOfFold.joined([OutOfFold.of(fold[level], k) for k, fold in enumerate(self.folds)])


def measure_fold_levels(
    judged: JudgedFolds,
    levels: Sequence[Level],
    thresholds: Mapping[Level, StatedThresholds],
    asked: Measuring,
    progress: Progress = SILENT,
) -> dict[str, Tree]:
    """What `measure_level` gives of all folds together, by level, and for each class auc_mean_of_folds beside it.

    Probabilities and calls of different models lie in one table: each was calibrated, and its thresholds were set, on
    patients of its own. Only the ranking of one model's probabilities against another's is doubtful, which is what the
    mean of folds is for.
    """
    trees: dict[str, Tree] = {}
    for level in levels:
        tree = measure_level(level, judged.pooled(level), thresholds[level], asked, progress)
        scores = judged.out_of_fold(level)
        resamples = PatientResamples.draw(scores.patient, asked.seed, asked.resamples)
        for k in asked.columns:
            row = tree["classes"][asked.classes[k].value]
            row["auc_mean_of_folds"] = mean_of_folds(scores, k, resamples).estimate.to_json()
        trees[level.value] = tree
    return trees
