"""In which order training slices are drawn: a pure function of labels, seed and epoch, whatever the device."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from ichnos.errors import TrainingError
from ichnos.recipe import Fit, Sampling
from ichnos.training.randomness import order_generator
from ichnos.training.slices import TrainingSlices

_REMEMBERED = 32
"""Shuffled pools kept at once: each of at most a few classes is in its own round."""

_AT_THE_ENDS = 1 / 3
"""The weight of an exam's lowest and highest slice where one of each exam is drawn; that of the middle is 1."""

_SYNTHETIC = 1_000
"""The number of the pool of synthetic slices: beyond any class's."""


class BatchOrder:
    """Says which slices (positions in the part, not rows of the images) make up each batch of each epoch.

    Natural: one pool of all slices. Balanced: a pool a class, which take turns from one batch into the next; a slice
    with no class at all belongs to one more pool, so that negatives are seen where the population has them. Exam: one
    pool of exams, each of which gives one slice when its turn comes. A pool is drawn from without replacement until it
    is used up, then shuffled anew. Empty pools are left out.

    Synthetic slices stand at the end of the part. They have a pool of their own, from which every batch takes its
    `share`; the rest of it is drawn as above from the others.
    """

    def __init__(self, part: TrainingSlices, sampling: Sampling, fit: Fit, *, share: float = 0.0) -> None:
        """Raises TrainingError where exams are to take turns and the part does not know them."""
        real = len(part) - part.synthetic
        self._extra = synthetic_of_batch(fit, share) if part.synthetic else 0
        self._synthetic = np.arange(real, len(part))
        self._batch_size = fit.batch_size - self._extra
        self._seed = fit.seed
        self._whole_passes = sampling is Sampling.NATURAL and fit.steps_per_epoch is None
        self._exams = _exams(part) if sampling is Sampling.EXAM else None
        self._pools = _pools(part.labels[:real], sampling)
        self.steps = steps_of_epoch(fit, real, self._extra)
        self._shuffled = lru_cache(maxsize=_REMEMBERED)(self._shuffle)

    def epoch(self, epoch: int) -> list[NDArray[np.int64]]:
        """The batches of one epoch (counted from 0), `self.steps` of them.

        Natural without a set number of steps: each slice once, batches of equal size but for one slice, so that no
        rump of a slice or two upsets BatchNorm. Otherwise full batches, which go on where the last epoch stopped.
        """
        if self._whole_passes:
            real = np.array_split(self._shuffled(0, epoch), self.steps)
        else:
            real = np.split(self._draw(range(len(self._pools)), epoch, self._batch_size), self.steps)
        if not self._extra:
            return real
        synthetic = np.split(self._draw((_SYNTHETIC,), epoch, self._extra), self.steps)
        return [np.concatenate(both) for both in zip(real, synthetic, strict=True)]

    def _draw(self, pools: Sequence[int], epoch: int, a_batch: int) -> NDArray[np.int64]:
        """An epoch's part of the endless stream in which the pools take turns."""
        count = self.steps * a_batch
        turns = np.arange(epoch * count, (epoch + 1) * count)
        drawn = np.empty(count, dtype=np.int64)
        for k, pool in enumerate(pools):
            mine = np.flatnonzero(turns % len(pools) == k)
            rounds, places = np.divmod(turns[mine] // len(pools), len(self._shuffled(pool, 0)))
            for round_ in np.unique(rounds):
                these = rounds == round_
                drawn[mine[these]] = self._shuffled(pool, int(round_))[places[these]]
        return drawn

    def _shuffle(self, pool: int, round_: int) -> NDArray[np.int64]:
        generator = order_generator(self._seed, pool, round_)
        if pool == _SYNTHETIC:
            return generator.permutation(self._synthetic)
        if self._exams is not None:
            return generator.permutation(self._exams.draw(generator))
        return generator.permutation(self._pools[pool])


def steps_of_epoch(fit: Fit, real: int, synthetic: int = 0) -> int:
    """How many steps an epoch of so many real slices has. synthetic: as many slices of each batch are."""
    return fit.steps_per_epoch or -(-real // (fit.batch_size - synthetic))


def synthetic_of_batch(fit: Fit, share: float) -> int:
    """How many slices of each batch are synthetic, where their share is asked for; one at least is not."""
    return min(fit.batch_size - 1, max(1, round(share * fit.batch_size)))


@dataclass(frozen=True, eq=False)
class _Exams:
    """Slices by exam, and how likely each is to be its exam's next one."""

    slices: NDArray[np.int64]
    """Exam by exam."""
    starts: NDArray[np.int64]
    """Where each exam begins in `slices`."""
    cumulated: NDArray[np.float64]
    """Weights of `slices`, added up over all exams."""

    def draw(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """One slice of each exam."""
        ends = np.append(self.starts[1:], len(self.slices)) - 1
        before = np.append(0.0, self.cumulated)[self.starts]
        wanted = before + generator.random(len(self.starts)) * (self.cumulated[ends] - before)
        return self.slices[np.clip(np.searchsorted(self.cumulated, wanted, side="right"), self.starts, ends)]


def _exams(part: TrainingSlices) -> _Exams:
    real = len(part) - part.synthetic
    if part.exams is None or part.heights is None:
        raise TrainingError("sampling=exam needs to know of each slice its exam and its height there")
    slices = np.argsort(part.exams[:real], kind="stable")
    starts = np.unique(part.exams[slices], return_index=True)[1]
    weights = 1 - (1 - _AT_THE_ENDS) * np.abs(2 * part.heights[slices] - 1)
    return _Exams(slices, starts, np.cumsum(weights))


def _pools(labels: NDArray[np.bool_], sampling: Sampling) -> list[NDArray[np.int64]]:
    match sampling:
        case Sampling.NATURAL | Sampling.EXAM:
            return [np.arange(len(labels))]
        case Sampling.BALANCED:
            columns = [*labels.T, ~labels.any(axis=1)]
            return [pool for column in columns if len(pool := np.flatnonzero(column))]
        case _:
            assert_never(sampling)
