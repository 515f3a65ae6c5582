"""START READING HERE: `train` makes a run, or goes on with one that was stopped or killed."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch.optim import Adam

from ichnos.errors import TrainingError
from ichnos.files import write_json
from ichnos.models.checkpoint import Checkpoint, load_checkpoint, restore
from ichnos.models.classifier import SliceClassifier
from ichnos.models.initial_weights import initialise, weights_digest
from ichnos.progress import SILENT, Progress
from ichnos.recipe import ExamFit, Fit, Sampling, SliceRecipe
from ichnos.training.augmentation import AugmentedClassifier
from ichnos.training.averaging import AveragedWeights
from ichnos.training.batchnorm import share_batchnorm
from ichnos.training.compilation import compile_where_it_works, is_of_compiler
from ichnos.training.devices import AS_USUAL, Execution, choose_all
from ichnos.training.folder import RunFolder, describe
from ichnos.training.interruption import interruptible
from ichnos.training.journal import open_journal, read_journal
from ichnos.training.loss import MultilabelLoss
from ichnos.training.memory import told_without_room
from ichnos.training.ranks import Ranks
from ichnos.training.sampling import BatchOrder
from ichnos.training.segmentation import MaskTraining
from ichnos.training.session import Session
from ichnos.training.slices import TrainingSlices
from ichnos.training.state import RunState, restore_state

_FEWEST_SLICES = 2
"""In training: BatchNorm measures nothing on one image."""


@dataclass(frozen=True)
class TrainingSummary:
    """What came of a run."""

    run: Path
    epochs: int
    """Trained, of those that the recipe allows."""
    best_epoch: int
    """Counted from 1: the one that best.safetensors holds; the last where there was no validation part."""
    best_validation_loss: float | None
    """Its binary cross-entropy in nats, mean over the outputs; None where there was no validation part."""
    stopped_early: bool
    seconds: float
    """Spent in the whole run, all its sittings together."""
    journal: tuple[dict[str, Any], ...]
    """The lines of journal.jsonl."""


def train(
    recipe: SliceRecipe,
    training: TrainingSlices,
    validation: TrainingSlices | None,
    run: Path,
    *,
    device: str = "auto",
    execution: Execution = AS_USUAL,
    origin: Mapping[str, Any] | None = None,
    progress: Progress = SILENT,
) -> TrainingSummary:
    """Train the recipe into the folder `run`. If a run of the same recipe and slices is there, go on with it.

    A run killed at any moment and gone on with ends with the same weights and journal as one left alone, bit for bit
    on one machine's CPU. At Ctrl-C (or SIGTERM, as cluster schedulers send it) the step under way is finished,
    last.safetensors is written, and KeyboardInterrupt is raised; a second one raises it at once, and the run goes on
    from the last save. device: auto, cpu, cuda or cuda:1.
    execution: by how many processes, in which precision. Several share every batch: what is learnt is what one learns,
    to rounding, but for what is drawn at random; a run may go on with another number of them.
    validation: None trains all of the recipe's epochs, chooses nothing, and takes the last weights as best.safetensors.
    origin: plain JSON that says where the slices come from; every checkpoint keeps it.

    Raises TrainingError (slices do not fit, another run is in the folder, memory runs out, the loss is not finite),
    WeightsError (first weights or last.safetensors) and OutputError (disk full, no permission, another process trains
    here); of several processes also FailedElsewhereError and WorkerError.
    """
    training.check(recipe, "training", at_least=_FEWEST_SLICES)
    if validation is not None:
        validation.check(recipe, "validation", at_least=1)
    _check_masks(recipe, training, validation)
    fabric = choose_all(device, execution)
    ranks = Ranks.of(fabric)
    try:
        with ranks.alike():
            _check_splits(recipe, execution, ranks)
        parts = (training, validation)
        told = progress if ranks.first else SILENT
        with told_without_room("training", f"batches of {recipe.fit.batch_size} slices", fabric.device):
            return _train(recipe, parts, RunFolder(run), _Crew(fabric, ranks, execution), dict(origin or {}), told)
    finally:
        ranks.close()


@dataclass(frozen=True, eq=False)
class _Crew:
    """By whom and how a run is carried out."""

    fabric: Fabric
    ranks: Ranks
    execution: Execution


def _train(
    recipe: SliceRecipe,
    parts: tuple[TrainingSlices, TrainingSlices | None],
    folder: RunFolder,
    crew: _Crew,
    origin: dict[str, Any],
    progress: Progress,
) -> TrainingSummary:
    fabric, ranks = crew.fabric, crew.ranks
    training, validation = parts
    data = {
        "training": training.fingerprint(),
        "validation": validation.fingerprint() if validation is not None else None,
    }
    _check_alike(ranks, recipe, data)
    with ExitStack() as held:
        checkpoint = ranks.from_first(lambda: _begun(held, folder, recipe, data))
        if checkpoint is not None and checkpoint.metadata["state"]["finished"]:
            state = RunState(**checkpoint.metadata["state"])
            return ranks.from_first(lambda: summary_of(folder, recipe.fit, state))
        with torch.random.fork_rng(devices=[fabric.device] if fabric.device.type == "cuda" else []):
            classifier, first = _weights(recipe, checkpoint, ranks, progress)
            provenance = {"data": data, "origin": origin, "first_weights": first}
            if checkpoint is None:
                ranks.by_first(lambda: folder.claim(recipe))  # not before: without first weights it has not begun
                _report_absent(recipe, training, validation, progress)
            session = _open(folder, crew, classifier, parts, checkpoint, provenance, progress)
            try:
                _run(session, progress)
            except Exception as error:
                if session.compiled and is_of_compiler(error):
                    raise TrainingError(
                        "torch.compile failed in the midst of the run; give the same command with --no-compile, and it "
                        "goes on from the last save"
                    ) from error
                raise
        return ranks.from_first(lambda: summary_of(folder, recipe.fit, session.state))


def _begun(held: ExitStack, folder: RunFolder, recipe: SliceRecipe, data: dict[str, str | None]) -> Checkpoint | None:
    """Hold the folder for as long as `held` lasts; where a run is in it, its last checkpoint."""
    held.enter_context(folder.held())
    folder.check(recipe)
    return _resumable(folder, data, weights_digest(recipe.network))


def _check_splits(recipe: SliceRecipe, execution: Execution, ranks: Ranks) -> None:
    if recipe.segmentation and (ranks.size > 1 or execution.accumulate > 1):
        raise TrainingError(
            f"recipe {recipe.name} outlines blood, and how well is reckoned over a whole batch, which neither several "
            "processes nor pieces see: train it by one process, without --accumulate, or set segmentation=null"
        )


def _check_alike(ranks: Ranks, recipe: SliceRecipe, data: dict[str, str | None]) -> None:
    """Processes of several machines may have been given different sets, or other recipes by the same name."""
    mine = {"slices": data, "recipe": recipe.model_dump(mode="json")}
    everyones = ranks.everyones(lambda: mine)
    for what in mine:
        others = [rank + 1 for rank, each in enumerate(everyones) if each[what] != everyones[0][what]]
        if others:
            with ranks.alike():
                raise TrainingError(
                    f"process {others[0]} of {ranks.size} has another {what} than the first: give every machine the "
                    "same prepared set, split and recipe"
                )


def _check_masks(recipe: SliceRecipe, training: TrainingSlices, validation: TrainingSlices | None) -> None:
    if not recipe.segmentation:
        return
    if training.masks is None or not training.masks.known(training.rows).any():
        raise TrainingError(
            f"recipe {recipe.name} outlines blood, and no training slice has a mask; set segmentation=null, or give a "
            "set with masks (phantom, CT-ICH 1.3.1), or synthetic lesions, which come with theirs (synthetic.share=0.4)"
        )
    training.check_masks(recipe, "training")
    if validation is not None:
        validation.check_masks(recipe, "validation")


def _run(session: Session, progress: Progress) -> None:
    folder, state, steps, ranks = session.folder, session.state, session.order.steps, session.ranks
    started = ranks.from_first(folder.started)

    def note() -> None:
        pieces, compiled = session.accumulate, session.compiled
        about = describe(session.fabric, started, state.seconds, accumulate=pieces, compiled=compiled)
        write_json(folder.environment, about)

    ranks.by_first(note)
    try:
        with ExitStack() as opened:
            journal = ranks.agree(
                lambda: (
                    opened.enter_context(open_journal(folder.journal, folder.events, state.epoch))
                    if ranks.first
                    else None
                )
            )
            name, total = f"Training {session.recipe.name}", session.recipe.fit.last_epoch * steps
            task = opened.enter_context(progress.task(name, total))
            interruption = opened.enter_context(interruptible())
            task.advance(state.epoch * steps + state.step)
            session.run(journal, task, interruption)
    finally:
        if ranks.first:
            note()


def _weights(
    recipe: SliceRecipe, checkpoint: Checkpoint | None, ranks: Ranks, progress: Progress
) -> tuple[SliceClassifier, dict[str, Any]]:
    """The classifier as the recipe begins it or as the run left it, and which first weights it had."""
    classifier = ranks.agree(lambda: SliceClassifier(recipe))
    if checkpoint is not None:
        with ranks.alike():
            restore(classifier, checkpoint, "last.safetensors")
        progress.message(f"{recipe.name}: goes on where it stopped")
        return classifier, checkpoint.metadata["first_weights"]
    network, seed = recipe.network, recipe.fit.seed
    first = ranks.from_first(lambda: initialise(classifier, network.init, seed=seed, progress=progress))
    if ranks.size > 1:
        classifier.load_state_dict(ranks.from_first(classifier.state_dict))
    progress.message(f"{recipe.name}: {first.remark}")
    return classifier, asdict(first)


def _open(
    folder: RunFolder,
    crew: _Crew,
    classifier: SliceClassifier,
    parts: tuple[TrainingSlices, TrainingSlices | None],
    checkpoint: Checkpoint | None,
    provenance: dict[str, Any],
    progress: Progress,
) -> Session:
    """A session at the run's beginning, or where the checkpoint stands."""
    recipe, fabric, ranks = classifier.recipe, crew.fabric, crew.ranks
    order = BatchOrder(parts[0], recipe.sampling, recipe.fit, share=recipe.synthetic.share if recipe.synthetic else 0.0)
    with ranks.alike():
        _check_shares(order, ranks)
    share_batchnorm(classifier, ranks, fabric.device)
    # convolutions run a third faster so on a CPU, and use tensor cores better on a GPU
    classifier.to(fabric.device)
    if all(parameter.ndim < 5 for parameter in classifier.parameters()):  # the layout is of images, not of volumes
        classifier.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    learning = [parameter for parameter in classifier.parameters() if parameter.requires_grad]
    plain_optimizer = Adam(learning, lr=recipe.fit.learning_rate, weight_decay=recipe.fit.weight_decay, fused=True)
    augmented = AugmentedClassifier(classifier, recipe.augmentation)
    module, optimizer = fabric.setup(augmented, plain_optimizer)
    at_once = -(-recipe.fit.batch_size // crew.execution.accumulate)
    compiled = compile_where_it_works(augmented, module, fabric, ranks, crew.execution, at_once, progress)
    averaged = AveragedWeights(recipe.fit.averaging, classifier) if recipe.fit.averaging else None
    state = RunState()
    if checkpoint is not None:
        state = restore_state(checkpoint.metadata["state"], checkpoint.tensors, plain_optimizer)
        if scaler := checkpoint.metadata["scaler"]:  # a run that was begun in another precision has none
            fabric.strategy.precision.load_state_dict(scaler)
        if averaged is not None:
            averaged.restore(checkpoint.tensors)
    return Session(
        recipe=recipe,
        training=parts[0],
        validation=parts[1],
        folder=folder,
        fabric=fabric,
        classifier=classifier,
        module=module,
        plain_optimizer=plain_optimizer,
        optimizer=optimizer,
        loss=MultilabelLoss(recipe.fit.loss, recipe.classes, _as_drawn(recipe, parts[0], order)).to(fabric.device),
        order=order,
        state=state,
        provenance=provenance,
        averaged=averaged,
        masks=MaskTraining(recipe.segmentation, recipe.segmented, fabric, module) if recipe.segmentation else None,
        ranks=ranks,
        accumulate=crew.execution.accumulate,
        compiled=compiled,
    )


def _as_drawn(recipe: SliceRecipe, training: TrainingSlices, order: BatchOrder) -> NDArray[np.bool_]:
    """Labels by how often slices are shown: all, or where pools take turns those of so many epochs as show as many."""
    if recipe.sampling is Sampling.NATURAL and not training.synthetic:
        return training.labels
    shown = [np.concatenate(order.epoch(0))]
    while sum(map(len, shown)) < len(training):
        shown.append(np.concatenate(order.epoch(len(shown))))
    return training.labels[np.concatenate(shown)]


def _check_shares(order: BatchOrder, ranks: Ranks) -> None:
    if ranks.size == 1:
        return
    smallest = min(len(batch) for batch in order.epoch(0))
    if smallest < ranks.size:
        raise TrainingError(
            f"a batch of {smallest} slices has none for some of {ranks.size} processes: train by at most {smallest}, "
            "or raise fit.batch_size (the batch of all processes together)"
        )


def _resumable(folder: RunFolder, data: dict[str, str | None], weights: str | None) -> Checkpoint | None:
    """The run's last checkpoint, if it has one. Raises TrainingError where it cannot be gone on with.

    weights: the digest of the first weights as they are now; None where they are no file, or the file is gone.
    """
    if not folder.last.exists():
        return None
    checkpoint = load_checkpoint(folder.last)
    if checkpoint.metadata["data"] != data:
        raise TrainingError(
            f"{folder.path} holds a run on other slices (another set, split or cache); "
            "give another folder, or remove this one"
        )
    begun_with = checkpoint.metadata["first_weights"]["digest"]
    if weights is not None and begun_with is not None and weights != begun_with:
        raise TrainingError(
            f"{folder.path} holds a run that began from other weights than network.init names now (SHA-256 "
            f"{begun_with} then, {weights} now); give another folder, or remove this one"
        )
    if checkpoint.metadata["state"]["best_epoch"] is not None and not folder.best.exists():
        raise TrainingError(f"{folder.best} is gone, so the run cannot be gone on with; give another folder")
    return checkpoint


def _report_absent(
    recipe: SliceRecipe, training: TrainingSlices, validation: TrainingSlices | None, progress: Progress
) -> None:
    for part, name in ((training, "training"), (validation, "validation")):
        for absent in part.absent(recipe.classes) if part is not None else ():
            progress.message(f"no {name} slice is {absent.display_name.lower()}: its {name} metrics are not defined")
    if recipe.segmentation and validation is not None and not validation.marked:
        progress.message("no validation slice has a mask that marks blood: how well it is outlined is not measured")


def summary_of(folder: RunFolder, fit: Fit | ExamFit, state: RunState) -> TrainingSummary:
    """What came of a run that is finished."""
    assert state.best_epoch is not None  # a run that is finished has trained an epoch
    return TrainingSummary(
        run=folder.path,
        epochs=state.epoch,
        best_epoch=state.best_epoch,
        best_validation_loss=state.best_loss,
        stopped_early=state.epoch < fit.last_epoch,
        seconds=state.seconds,
        journal=tuple(read_journal(folder.journal)),
    )
