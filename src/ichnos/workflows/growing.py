"""Boosted trees over exams are grown: on validation patients, or on all of them out of fold; never on test."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ichnos.data.splits import Part
from ichnos.errors import TrainingError
from ichnos.files import replacing, write_json
from ichnos.models.trees import export_trees
from ichnos.predictions import Predictions
from ichnos.progress import Progress
from ichnos.recipe import EXAM, SLICES, AnyKind, ExamRecipe, TreesHead
from ichnos.training.trees import fit_trees, table_of
from ichnos.workflows.trained import open_run
from ichnos.workflows.trained_trees import RECORD, TREES, TreesRecord, examined

if TYPE_CHECKING:
    from ichnos.workflows.train import OpenData


def grow_trees(
    recipe: ExamRecipe,
    data: "OpenData",
    run: Path,
    progress: Progress,
    *,
    unseen: Predictions | None = None,
    device: str = "auto",
) -> None:
    """Write `run`/exam/trees.onnx and trees.json, where those that are there are not of these weights and this recipe.

    The slice stage has been trained already. It has seen the training patients, and what it says of them is surer than
    what it says of any other: trees are fitted on the validation patients. unseen: what slice stages say of patients
    that they had not seen, where this one has seen everyone. Raises TrainingError where these are not given.
    """
    slices = open_run(run / SLICES)
    if unseen is None and data.everyone:
        raise TrainingError(
            f"the trees of {recipe.name} are grown on validation patients, and all are trained on: take `ichnos study "
            "folds --bundle`, which grows them on what the folds say of patients that they have not seen"
        )
    record = TreesRecord.found(run / EXAM)
    if unseen is None and record is not None and record.is_of(recipe, slices.digest()):
        return
    said = slices.predict(data, Part.VALIDATION, progress, device=device) if unseen is None else unseen
    of: dict[str, object] = {"of": "all patients, each by the fold that has not seen them"}
    if unseen is None:
        of = {"of": "the run's validation patients", "origin": data.origin}
    _write(recipe, said, of, slices.digest(), run / EXAM, progress)


def slices_out_of_fold(
    recipe: AnyKind, data: "OpenData", runs: Sequence[Path], progress: Progress, *, device: str = "auto"
) -> Predictions | None:
    """What the slice stage of each fold's run says of the patients that it has not seen; None where no trees ask."""
    if not isinstance(recipe, ExamRecipe) or not isinstance(recipe.head, TreesHead):
        return None
    return Predictions.joined(
        [
            open_run(run / SLICES).predict(replace(data, fold=k), Part.TEST, progress, device=device)
            for k, run in enumerate(runs)
        ]
    )


def _write(
    recipe: ExamRecipe, said: Predictions, of: Mapping[str, object], slices: str, folder: Path, progress: Progress
) -> None:
    assert isinstance(recipe.head, TreesHead)
    if not len(said):
        raise TrainingError("there are no slices to grow trees on: the validation part is empty")
    fitted = fit_trees(recipe.head, examined(said), progress)
    for note in fitted.notes:
        progress.message(note)
    network = export_trees(table_of(recipe.head, len(recipe.classes)), fitted.trees)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / TREES) as temporary:
        temporary.write_bytes(network)
    record = TreesRecord(
        head=recipe.head,
        classes=recipe.classes,
        slices=slices,
        sha256=hashlib.sha256(network).hexdigest(),
        fitted_on={**of, "patients": len(np.unique(said.patient)), "slices": len(said)},
        rounds=dict(zip(recipe.classes, fitted.rounds, strict=True)),
        losses=dict(zip(recipe.classes, fitted.losses, strict=True)),
        notes=fitted.notes,
    )
    write_json(folder / RECORD, record.model_dump(mode="json"))
