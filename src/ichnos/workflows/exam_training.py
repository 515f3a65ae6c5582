"""From a trained slice stage to a trained network of exams over it."""

from pathlib import Path
from typing import TYPE_CHECKING

from ichnos.data.splits import Part
from ichnos.progress import Progress
from ichnos.recipe import EXAM, SLICES, ExamRecipe
from ichnos.training.exam_loop import train_exam_network
from ichnos.training.exam_slices import ExamSlices
from ichnos.training.loop import TrainingSummary
from ichnos.workflows.exam_data import exam_slices, keep
from ichnos.workflows.trained import open_run
from ichnos.workflows.trained_exam import kept_file

if TYPE_CHECKING:
    from ichnos.workflows.train import OpenData


def train_exam(
    recipe: ExamRecipe, data: "OpenData", run: Path, progress: Progress, *, device: str = "auto"
) -> TrainingSummary:
    """Train the recipe's head into `run`/exam, over the slice stage that has been trained into `run`/slices.

    On everyone all its epochs are trained, and none is chosen.
    """
    slices = open_run(run / SLICES)
    (run / EXAM).mkdir(parents=True, exist_ok=True)
    parts: list[ExamSlices] = []
    for part in (Part.TRAIN, Part.VALIDATION):
        kept, maps = kept_file(run / EXAM, part), recipe.head.sees_maps
        parts.append(exam_slices(slices, data, part, progress, maps=maps, kept=kept, device=device))
        if len(parts[-1]):
            keep(kept, parts[-1], data.prepared)
    training, validation = parts
    return train_exam_network(
        recipe,
        training,
        None if data.everyone else validation,
        run / EXAM,
        device=device,
        origin=data.origin,
        progress=progress,
    )
