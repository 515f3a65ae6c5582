"""One sitting of the training of a network of exams: its epochs, each of which ends with a whole checkpoint."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer

from ichnos.errors import TrainingError
from ichnos.evaluation.metrics import SliceMetrics, slice_metrics
from ichnos.models.exam_checkpoint import save_exam_network
from ichnos.models.exam_network import ExamNetwork
from ichnos.progress import Task
from ichnos.recipe import ExamRecipe
from ichnos.training.batches import in_batches
from ichnos.training.exam_slices import ExamSlices, batch_of
from ichnos.training.folder import RunFolder
from ichnos.training.interruption import Interruption
from ichnos.training.journal import Journal
from ichnos.training.loss import LossWatch, MultilabelLoss
from ichnos.training.memory import told_without_room
from ichnos.training.randomness import exams_generator, order_generator, seed_step
from ichnos.training.schedule import learning_rate
from ichnos.training.state import RunState


@dataclass(eq=False)
class ExamSession:
    """Everything that an epoch needs. The state changes; the rest stays."""

    recipe: ExamRecipe
    training: ExamSlices
    validation: ExamSlices | None
    """None: nothing is held back, all epochs are trained, and the last is the best there is."""
    folder: RunFolder
    device: torch.device
    network: ExamNetwork
    optimizer: Optimizer
    loss: MultilabelLoss
    state: RunState
    provenance: Mapping[str, Any]

    def __post_init__(self) -> None:
        self._mark = time.perf_counter()

    @property
    def steps(self) -> int:
        """Optimiser steps an epoch: each exam once."""
        return -(-self.training.exams // self.recipe.fit.batch_size)

    def run(self, journal: Journal, task: Task, interruption: Interruption) -> None:
        """Train until the recipe or its patience ends the run.

        An epoch takes seconds: one that is stopped in its midst is trained again from its beginning.
        """
        while not self.state.finished:
            training = self._train_epoch(task, interruption)
            self._close_epoch(training, journal, task)

    def _train_epoch(self, task: Task, interruption: Interruption) -> SliceMetrics:
        """The metrics are of what the network said while it learnt."""
        order = order_generator(self.recipe.fit.seed, 0, self.state.epoch).permutation(self.training.exams)
        said: list[Tensor] = []
        rows: list[NDArray[np.intp]] = []
        watch = LossWatch(self.device)
        self.network.train()
        for step, exams in enumerate(in_batches(order, self.recipe.fit.batch_size)):
            logits, these = self._train_step(step, exams, watch)
            said.append(logits.sigmoid())
            rows.append(these)
            task.advance()
            interruption.check()
        watch.check()
        labels = self.training.labels[np.concatenate(rows)]
        return slice_metrics(torch.cat(said).double().cpu().numpy(), labels, self.recipe.classes)

    def _train_step(self, step: int, exams: NDArray[np.int64], watch: LossWatch) -> tuple[Tensor, NDArray[np.intp]]:
        """The answer for the slices of some exams before the weights moved, and which slices."""
        fit, epoch = self.recipe.fit, self.state.epoch
        done = epoch * self.steps + step
        seed_step(fit.seed, epoch, step)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(fit, done, fit.epochs * self.steps)
        batch = batch_of(self.training, exams, self.device, fit, exams_generator(fit.seed, epoch, step))
        targets = batch.targets(self.training)
        answers = [batch.of_slices(logits) for logits in self.network(batch.exams)]
        loss = torch.stack([self.loss(logits, targets) for logits in answers]).sum()
        watch.add(loss, self.training.rows[batch.rows], done + 1)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return answers[-1].detach(), batch.rows

    def _close_epoch(self, training: SliceMetrics, journal: Journal, task: Task) -> None:
        """Evaluate, keep what is best, and write the epoch down: the journal first, then `last`, which counts it."""
        state, fit = self.state, self.recipe.fit
        state.epoch += 1
        validation = None if self.validation is None else self._metrics_on(self.validation)
        self._keep(validation)
        self._clock()
        steps = state.epoch * self.steps
        journal.append(
            {
                "epoch": state.epoch,
                "step": steps,
                "seconds": round(state.epoch_seconds, 3),
                "learning_rate": learning_rate(fit, steps - 1, fit.epochs * self.steps),
                "training": training.to_json(),
                "validation": None if validation is None else validation.to_json(),
            }
        )
        state.epoch_seconds = 0.0
        metadata = {"epoch": state.epoch, "step": steps, "state": state.to_json()} | dict(self.provenance)
        save_exam_network(self.folder.last, self.network, metadata, extra=state.tensors(self.optimizer))
        loss = validation.loss_mean if validation else training.loss_mean
        task.note(f"epoch {state.epoch}/{fit.last_epoch}, {'validation' if validation else 'training'} loss {loss:.4f}")

    def _keep(self, validation: SliceMetrics | None) -> None:
        """Keep the weights where they are the best so far, and see whether the run is over."""
        state, fit = self.state, self.recipe.fit
        if validation is None:
            state.finished = state.epoch >= fit.last_epoch
            if state.finished:
                state.best_epoch = state.epoch
                self._save_best()
            return
        rank = self._rank(validation)
        if state.best_rank is None or rank < state.best_rank:
            state.best_epoch, state.best_loss, state.best_rank = state.epoch, validation.loss_mean, rank
            self._save_best()
        waited = state.epoch - (state.best_epoch or 0)
        state.finished = state.epoch >= fit.last_epoch or (fit.patience is not None and waited >= fit.patience)

    def _save_best(self) -> None:
        metadata = {"epoch": self.state.epoch, "validation_loss": self.state.best_loss} | dict(self.provenance)
        save_exam_network(self.folder.best, self.network, metadata)

    def _metrics_on(self, part: ExamSlices) -> SliceMetrics:
        probabilities = 1 / (1 + np.exp(-answers_of(self.network, part, self.device)))
        if not np.isfinite(probabilities).all():
            raise TrainingError(
                f"after epoch {self.state.epoch} the outputs of the network of exams are not finite on validation "
                "exams; lower fit.learning_rate"
            )
        return slice_metrics(probabilities, part.labels, self.recipe.classes)

    def _rank(self, validation: SliceMetrics) -> float:
        """Lower is better."""
        if self.recipe.fit.best == "loss":
            return validation.loss_mean
        if validation.mean_auc is None:
            raise TrainingError(
                "fit.best=auc needs a class with and without slices in the validation part, and there is none; set "
                "fit.best=loss, or split the set in another way"
            )
        return -validation.mean_auc

    def _clock(self) -> None:
        now = time.perf_counter()
        self.state.seconds += now - self._mark
        self.state.epoch_seconds += now - self._mark
        self._mark = now


def answers_of(network: ExamNetwork, part: ExamSlices, device: torch.device) -> NDArray[np.float64]:
    """Logits (slices, classes) of a part, exam by exam as a bundle asks; the network is left in evaluation mode.

    Raises TrainingError where the device has no room for an exam.
    """
    network.eval()
    rows: list[NDArray[np.intp]] = []
    said: list[Tensor] = []
    with (
        told_without_room("prediction by a network of exams", "one exam at a time", device),
        torch.inference_mode(),
    ):
        for exam in range(part.exams):
            batch = batch_of(part, [exam], device)
            rows.append(batch.rows)
            said.append(network(batch.exams)[-1][0])
        answers = np.empty(part.logits.shape)
        if said:
            answers[np.concatenate(rows)] = torch.cat(said).double().cpu().numpy()
        return answers
