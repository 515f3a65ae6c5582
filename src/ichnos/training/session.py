"""One sitting of a run: its epochs, from where the run stands to its end or to the next Ctrl-C."""

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from ichnos.errors import TrainingError
from ichnos.evaluation.metrics import SliceMetrics, slice_metrics
from ichnos.files import replacing
from ichnos.models.checkpoint import save_checkpoint
from ichnos.models.classifier import SliceClassifier
from ichnos.progress import Task
from ichnos.recipe import SliceRecipe
from ichnos.training.averaging import AveragedWeights
from ichnos.training.batches import read_ahead
from ichnos.training.batchnorm import reestimate_batchnorm, unshared
from ichnos.training.folder import RunFolder
from ichnos.training.interruption import Interrupted, Interruption
from ichnos.training.journal import Journal
from ichnos.training.loss import LossWatch, MultilabelLoss
from ichnos.training.memory import is_out_of_memory, told_without_room, too_large, too_large_for_share
from ichnos.training.mixing import draw_mix
from ichnos.training.prediction import BATCH_SIZE, probabilities_of
from ichnos.training.randomness import seed_step
from ichnos.training.ranks import Ranks
from ichnos.training.sampling import BatchOrder
from ichnos.training.schedule import learning_rate
from ichnos.training.segmentation import MaskTraining
from ichnos.training.slices import TrainingSlices
from ichnos.training.state import RunState

SECONDS_BETWEEN_SAVES = 300.0
"""Within an epoch: an epoch of RSNA takes hours on a small machine, and five minutes are no great loss."""


@dataclass(eq=False)
class Session:
    """Everything that an epoch needs. The state changes; the rest stays."""

    recipe: SliceRecipe
    training: TrainingSlices
    validation: TrainingSlices | None
    """None: nothing is held back, all epochs are trained, and the last is the best there is."""
    folder: RunFolder
    fabric: Fabric
    classifier: SliceClassifier
    module: nn.Module
    """The classifier behind its augmentation, as Fabric wrapped it: what training calls."""
    plain_optimizer: Optimizer
    optimizer: Any
    """The same as Fabric wrapped it."""
    loss: MultilabelLoss
    order: BatchOrder
    state: RunState
    provenance: Mapping[str, Any]
    """Of data and first weights; written into every checkpoint."""
    averaged: AveragedWeights | None = None
    """What is evaluated and kept instead of the classifier's own weights."""
    masks: MaskTraining | None = None
    """What is done with masks; None where the recipe outlines nothing."""
    ranks: Ranks = field(default_factory=Ranks)
    """The processes that share every batch; the first alone writes."""
    accumulate: int = 1
    """Pieces in which this process learns from its share of a batch."""
    compiled: bool = False
    """Whether torch.compile made the network's machine code."""

    def __post_init__(self) -> None:
        self._watch = LossWatch(self.fabric.device)
        self._mark = self._saved = time.perf_counter()
        self._overlaps: dict[str, Any] = {}
        self._whole = True  # not while an epoch is counted whose line is not in the journal yet

    def run(self, journal: Journal | None, task: Task, interruption: Interruption) -> None:
        """Train until the recipe or its patience ends the run. journal: the first process has it.

        At Ctrl-C the step is finished, `last` is written, and Interrupted (a KeyboardInterrupt) is raised. Of several
        processes that is so on all where one was asked to stop, and where one failed between two steps.
        """
        try:
            while not self.state.finished:
                self._train_epoch(task, interruption)
                self._close_epoch(journal, task, interruption)
        except BaseException as error:
            if isinstance(error, Interrupted) or self.ranks.parted:
                self._end_early()
            raise

    def _end_early(self) -> None:
        try:
            if self._whole and not self._watch.broken:
                self._save_last()
        finally:
            self.ranks.part()

    def _train_epoch(self, task: Task, interruption: Interruption) -> None:
        batches = self.order.epoch(self.state.epoch)[self.state.step :]
        shares = [self.ranks.share(positions) for positions in batches]
        targets = self._targets(shares)
        self.module.train()
        rows = [self.training.rows[positions] for positions in shares]
        with read_ahead(self.training.images, rows, self.fabric.device) as images:
            planes = self.ranks.agree(partial(next, images, None))
            for positions in batches:
                assert planes is not None  # there are as many as batches
                with self.ranks.linked():
                    self._train_step(positions, planes, next(targets))
                planes = self.ranks.agree(partial(self._between_steps, images, task, interruption))
        with self.ranks.alike():
            self._watch.check()

    def _between_steps(self, images: Iterator[Tensor], task: Task, interruption: Interruption) -> Tensor | None:
        """Where nothing is half done: tell, stop, save, and take the next images; None where there are no more."""
        task.advance()
        interruption.check()
        if time.perf_counter() - self._saved > SECONDS_BETWEEN_SAVES:
            self._save_last()
        return next(images, None)

    def _targets(self, shares: list[NDArray[np.int64]]) -> Iterator[Tensor]:
        """Float (n, classes) of 0 or 1 for each list of positions, of labels that go to the device once an epoch."""
        if not shares:
            return
        labels = torch.from_numpy(self.training.labels[np.concatenate(shares)]).to(self.fabric.device)
        for each in labels.split([len(share) for share in shares]):
            yield each.to(torch.float32)

    def _train_step(self, positions: NDArray[np.int64], planes: Tensor, targets: Tensor) -> None:
        """positions: of the whole batch; planes, targets: of this process's share of it."""
        fit, state = self.recipe.fit, self.state
        seed_step(fit.seed, state.epoch, state.step, self.ranks.rank)
        for group in self.plain_optimizer.param_groups:
            group["lr"] = self._rate(self._steps_done())
        try:
            probabilities = self._learn(positions, planes, targets, self.accumulate)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            probabilities = None  # told below, when what this step held in memory has been let go
        if probabilities is None:
            raise self._out_of_memory(positions, planes, targets)
        if self.averaged is not None:
            self.averaged.after_step(self._steps_done() + 1)
        state.predictions.append(probabilities)
        state.step += 1

    def _learn(self, positions: NDArray[np.int64], planes: Tensor, targets: Tensor, pieces: int) -> Tensor:
        """Forward, backward, and a step of the optimizer; probabilities of the whole batch.

        The gradient is that of the loss averaged over the whole batch: each piece counts by its images, and Fabric
        averages over processes.
        """
        self.optimizer.zero_grad()
        said: list[Tensor] = []
        noted = targets.new_zeros(())
        whole, share = len(positions) / self.ranks.size, self.ranks.share(positions)
        # as many pieces on each process: BatchNorm measures those of all together
        places = np.array_split(np.arange(len(planes)), min(pieces, len(positions) // self.ranks.size))
        for number, piece in enumerate(places, start=1):
            here = slice(piece[0], piece[-1] + 1)
            with self.fabric.no_backward_sync(self.module, enabled=number < len(places)):  # pyright: ignore[reportArgumentType]
                logits, loss = self._loss_of(share[here], planes[here], targets[here])
                noted = noted + loss.detach() * (len(piece) / len(planes))
                self.fabric.backward(loss if len(piece) == whole else loss * (len(piece) / whole))
            said.append(logits.detach().float().sigmoid())
        probabilities = self._told_by_all(positions, torch.cat(said), noted)
        self.optimizer.step()
        return probabilities

    def _loss_of(self, positions: NDArray[np.int64], planes: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and the mean loss of these images."""
        mix = draw_mix(self.recipe.augmentation, len(planes), self.recipe.input.size, self.fabric.device)
        if self.masks is None:
            logits, outlines = self.module(planes, mix), 0.0
        else:
            logits, outlines = self.masks.step(self.training, positions, planes, mix)
        return logits, self.loss(logits, targets if mix is None else mix.labels(targets)) + outlines

    def _told_by_all(self, positions: NDArray[np.int64], probabilities: Tensor, loss: Tensor) -> Tensor:
        """The probabilities of all shares in the order of the batch; watches the losses of all."""
        shares = self.ranks.shares(positions)
        row = loss.reshape(1, 1).expand(1, probabilities.shape[1])  # travels with them: one message a step
        told = self.ranks.join(torch.cat([row, probabilities]), [1 + len(share) for share in shares])
        with self.ranks.alike():
            for share, each in zip(shares, told, strict=True):
                self._watch.add(each[0, 0], self.training.rows[share], self._steps_done() + 1)
        return torch.cat([each[1:] for each in told])

    def _out_of_memory(self, positions: NDArray[np.int64], planes: Tensor, targets: Tensor) -> TrainingError:
        device, pieces = self.fabric.device, self.accumulate
        if self.ranks.size > 1:
            alone = partial(self._try_alone, planes, targets)
            return too_large_for_share(alone, len(positions), self.ranks.size, device, pieces)

        def step(n: int) -> None:
            self._learn(positions[:n], planes[:n], targets[:n], 1)

        return too_large(step, len(planes), device, pieces, splits=self.masks is None)

    def _try_alone(self, planes: Tensor, targets: Tensor, n: int) -> None:
        """Forward and backward of the first n slices, as the others know nothing of it: on a copy, for a gradient of
        the weights themselves would be sent to them, who would take it for this step's."""
        self.plain_optimizer.zero_grad()
        module = unshared(self._asked, self.ranks)
        mix = draw_mix(self.recipe.augmentation, n, self.recipe.input.size, self.fabric.device)
        with self.fabric.autocast():
            logits = module(planes[:n], mix)
        self.loss(logits, targets[:n] if mix is None else mix.labels(targets[:n])).backward()

    def _close_epoch(self, journal: Journal | None, task: Task, interruption: Interruption) -> None:
        """Evaluate, keep what is best, and write the epoch down: the journal first, then `last`, which counts it."""
        training = self.ranks.from_first(self._training_metrics)
        steps = self._steps_done()
        with nullcontext() if self.averaged is None else self.averaged.judged(self.state.epoch + 1):
            validation = self._judge(steps, interruption)
        state = self.state
        self._clock()
        entry = {
            "epoch": state.epoch,
            "step": steps,
            "seconds": round(state.epoch_seconds, 3),
            "learning_rate": self._rate(steps - 1),
            "training": training.to_json(),
            "validation": None if validation is None else validation.to_json() | self._overlaps,
        }
        self.ranks.agree(partial(_append, journal, entry))
        state.epoch_seconds = 0.0
        self.ranks.agree(self._save_last)
        self._whole = True
        said = (
            f"validation loss {validation.loss_mean:.4f}" if validation else f"training loss {training.loss_mean:.4f}"
        )
        task.note(f"epoch {state.epoch}/{self.recipe.fit.last_epoch}, {said}")

    def _judge(self, steps: int, interruption: Interruption) -> SliceMetrics | None:
        """Evaluate the weights that are there, count the epoch, and keep them where they are the best so far."""
        state = self.state
        if self.recipe.fit.reestimate_batchnorm or (self.averaged is not None and self.averaged.lacks_statistics):
            # averaging, BatchNorm asks for a number in each layer, which takes compiled code to pieces
            with self.ranks.linked(), self._uncompiled():
                reestimate_batchnorm(self.fabric, self._asked, self.training, self._batch_size, self.ranks)
        validation = None if self.validation is None else self._metrics_on(self.validation, interruption)
        if self.masks is not None and self.validation is not None:
            with self._told_in_validation():
                self._overlaps = self.masks.overlaps(self.validation, self._batch_size, lambda _: interruption.check())
        self._whole = False
        state.epoch, state.step, state.predictions = state.epoch + 1, 0, []
        if validation is None:
            state.finished = state.epoch >= self.recipe.fit.last_epoch
            if state.finished:
                state.best_epoch = state.epoch
                self.ranks.by_first(partial(self._save_best, steps))
        else:
            with self.ranks.alike():
                rank = self._rank(validation)
            if state.best_rank is None or rank < state.best_rank:
                state.best_epoch, state.best_loss, state.best_rank = state.epoch, validation.loss_mean, rank
                self.ranks.by_first(partial(self._save_best, steps))
            state.finished = self._is_over()
            self.ranks.by_first(self._keep_milestones)
        return validation

    def _training_metrics(self) -> SliceMetrics:
        """From the predictions made while training, as Keras does: augmented, with dropout, by moving weights.

        Where images are mixed, against the labels of the one that each is made of for the most part.
        """
        probabilities = torch.cat(self.state.predictions).cpu().numpy().astype(np.float64)
        positions = np.concatenate(self.order.epoch(self.state.epoch))
        return slice_metrics(probabilities, self.training.labels[positions], self.recipe.classes)

    @property
    def _asked(self) -> nn.Module:
        """The module where nothing is learnt: of several processes each asks its own, and waits for no other."""
        return self.module if self.ranks.size == 1 else self.module.module  # pyright: ignore[reportReturnType]

    def _uncompiled(self) -> AbstractContextManager[None]:
        return self.module.uncompiled() if self.compiled else nullcontext()  # pyright: ignore[reportCallIssue]

    @property
    def _batch_size(self) -> int:
        """Where nothing is learnt."""
        return max(BATCH_SIZE, self.recipe.fit.batch_size)

    def _told_in_validation(self) -> AbstractContextManager[None]:
        asked, last = f"batches of {self._batch_size} slices", "and give the same command again to go on, "
        return told_without_room("validation", asked, self.fabric.device, last)

    def _metrics_on(self, part: TrainingSlices, interruption: Interruption) -> SliceMetrics:
        """Each process asks of its share of the slices; the first measures what all of them said."""

        def ask() -> NDArray[np.float64]:
            rows = self.ranks.share(part.rows)
            if not len(rows):
                return np.empty((0, len(self.recipe.classes)))
            tick = partial(_check, interruption)
            with self._told_in_validation():
                return probabilities_of(self.fabric, self._asked, part.images, rows, self._batch_size, tick)

        probabilities = np.concatenate(self.ranks.everyones(ask))
        return self.ranks.from_first(lambda: self._measured(probabilities, part))

    def _measured(self, probabilities: NDArray[np.float64], part: TrainingSlices) -> SliceMetrics:
        bad = ~np.isfinite(probabilities).all(axis=1)
        if bad.any():
            raise TrainingError(
                f"after epoch {self.state.epoch + 1} the network's outputs are not finite on {bad.sum()} validation "
                f"slices, rows {part.rows[bad][:20].tolist()} of the images among them; lower fit.learning_rate"
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

    def _is_over(self) -> bool:
        fit, state = self.recipe.fit, self.state
        waited = state.epoch - (state.best_epoch or 0)
        return state.epoch >= fit.last_epoch or (fit.patience is not None and waited >= fit.patience)

    def _keep_milestones(self) -> None:
        """The best of the first n epochs; where the run is shorter than n, its best."""
        for n in self.recipe.fit.milestones:
            if n == self.state.epoch or (self.state.finished and n > self.state.epoch):
                with replacing(self.folder.best_until(n)) as temporary:
                    shutil.copyfile(self.folder.best, temporary)

    def _save_best(self, steps: int) -> None:
        metadata = {"epoch": self.state.epoch, "step": steps, "validation_loss": self.state.best_loss}
        save_checkpoint(self.folder.best, self.classifier, metadata | dict(self.provenance))

    def _save_last(self) -> None:
        """Weights, moments and state in one file, by the first process; nothing in it is of one process alone.

        Never where the loss of a step taken is not finite.
        """
        self._watch.check()
        self._clock()
        self._saved = time.perf_counter()
        if not self.ranks.first:
            return
        metadata = {
            "epoch": self.state.epoch,
            "step": self._steps_done(),
            "state": self.state.to_json(),
            "scaler": self.fabric.strategy.precision.state_dict(),
        }
        save_checkpoint(
            self.folder.last,
            self.classifier,
            metadata | dict(self.provenance),
            extra=self.state.tensors(self.plain_optimizer) | (self.averaged.tensors() if self.averaged else {}),
        )

    def _rate(self, step: int) -> float:
        return learning_rate(self.recipe.fit, step, self.recipe.fit.epochs * self.order.steps)

    def _steps_done(self) -> int:
        return self.state.epoch * self.order.steps + self.state.step

    def _clock(self) -> None:
        now = time.perf_counter()
        self.state.seconds += now - self._mark
        self.state.epoch_seconds += now - self._mark
        self._mark = now


def _append(journal: Journal | None, entry: dict[str, Any]) -> None:
    if journal is not None:
        journal.append(entry)


def _check(interruption: Interruption, done: int) -> None:
    """After each batch of slices that were asked about."""
    del done
    interruption.check()
