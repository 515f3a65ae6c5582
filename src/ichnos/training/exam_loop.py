"""Train a network of exams into a folder, or go on with one that was stopped or killed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.optim import Adam

from ichnos.errors import TrainingError
from ichnos.files import write_json
from ichnos.models.exam_checkpoint import ExamCheckpoint, load_exam_checkpoint, restore_exam_network
from ichnos.models.exam_network import ExamNetwork
from ichnos.progress import SILENT, Progress
from ichnos.recipe import ExamRecipe
from ichnos.training.devices import choose
from ichnos.training.exam_session import ExamSession
from ichnos.training.exam_slices import ExamSlices
from ichnos.training.folder import RunFolder, describe
from ichnos.training.interruption import interruptible
from ichnos.training.journal import open_journal
from ichnos.training.loop import TrainingSummary, summary_of
from ichnos.training.loss import MultilabelLoss
from ichnos.training.memory import told_without_room
from ichnos.training.state import RunState, restore_state


def train_exam_network(
    recipe: ExamRecipe,
    training: ExamSlices,
    validation: ExamSlices | None,
    run: Path,
    *,
    device: str = "auto",
    origin: Mapping[str, Any] | None = None,
    progress: Progress = SILENT,
) -> TrainingSummary:
    """Train the recipe's head into the folder `run`; the same promises and files as `ichnos.training.loop.train`.

    validation: None trains all of the recipe's epochs, chooses nothing, and takes the last weights as best.safetensors.
    Raises TrainingError, WeightsError and OutputError as `train` does.
    """
    training.check("training")
    if validation is not None:
        validation.check("validation")
    folder = RunFolder(run)
    data = {
        "training": training.fingerprint(),
        "validation": validation.fingerprint() if validation is not None else None,
    }
    with folder.held():
        folder.check(recipe)
        checkpoint = _resumable(folder, data)
        if checkpoint is not None and checkpoint.metadata["state"]["finished"]:
            return summary_of(folder, recipe.fit, RunState(**checkpoint.metadata["state"]))
        asked, fewer = f"batches of {recipe.fit.batch_size} exams", "lower fit.batch_size and give another folder, "
        place = choose(device, "32-true").device
        drawing = torch.random.fork_rng(devices=[place] if place.type == "cuda" else [])  # not every GPU there is
        with told_without_room("training of a network of exams", asked, place, fewer), drawing:
            provenance = {"data": data, "origin": dict(origin or {}), "slices": training.made_by}
            session = _open(recipe, (training, validation), folder, checkpoint, provenance, device)
            if checkpoint is None:
                folder.claim(recipe)
            _run(session, device, progress)
        return summary_of(folder, recipe.fit, session.state)


def _open(
    recipe: ExamRecipe,
    parts: tuple[ExamSlices, ExamSlices | None],
    folder: RunFolder,
    checkpoint: ExamCheckpoint | None,
    provenance: Mapping[str, Any],
    device: str,
) -> ExamSession:
    """A session at the run's beginning, or where the checkpoint stands."""
    training, validation = parts
    place = choose(device, "32-true").device
    network = ExamNetwork.seeded(recipe, training.sizes, recipe.fit.seed)
    if checkpoint is None:
        maps = None if training.maps is None else torch.from_numpy(training.maps)
        network.fit(torch.from_numpy(training.features), torch.from_numpy(training.logits), maps)
    else:
        restore_exam_network(network, checkpoint, "last.safetensors")
    network.to(place)
    fit = recipe.fit
    optimizer = Adam(network.parameters(), lr=fit.learning_rate, weight_decay=fit.weight_decay, fused=True)
    state = RunState()
    if checkpoint is not None:
        state = restore_state(checkpoint.metadata["state"], checkpoint.tensors, optimizer)
    loss = MultilabelLoss(fit.loss, recipe.classes, training.labels).to(place)
    return ExamSession(recipe, training, validation, folder, place, network, optimizer, loss, state, provenance)


def _run(session: ExamSession, device: str, progress: Progress) -> None:
    folder, state, fit = session.folder, session.state, session.recipe.fit
    fabric, started = choose(device, "32-true"), folder.started()
    write_json(folder.environment, describe(fabric, started, state.seconds))
    try:
        with (
            open_journal(folder.journal, folder.events, state.epoch) as journal,
            progress.task(
                f"Training the exam network of {session.recipe.name}", fit.last_epoch * session.steps
            ) as task,
            interruptible() as interruption,
        ):
            task.advance(state.epoch * session.steps)
            session.run(journal, task, interruption)
    finally:
        write_json(folder.environment, describe(fabric, started, state.seconds))


def _resumable(folder: RunFolder, data: dict[str, str | None]) -> ExamCheckpoint | None:
    """The run's last checkpoint, if it has one. Raises TrainingError where it cannot be gone on with."""
    if not folder.last.exists():
        return None
    checkpoint = load_exam_checkpoint(folder.last)
    if checkpoint.metadata["data"] != data:
        raise TrainingError(
            f"{folder.path} holds a network of exams on other slices or over another slice stage; give another folder, "
            "or remove this one"
        )
    if checkpoint.metadata["state"]["best_epoch"] is not None and not folder.best.exists():
        raise TrainingError(f"{folder.best} is gone, so the run cannot be gone on with; give another folder")
    return checkpoint
