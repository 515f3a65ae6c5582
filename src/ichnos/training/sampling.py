"""In which order training slices are drawn: a pure function of labels, seed and epoch, whatever the device."""

from collections.abc import Sequence
from functools import lru_cache
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from ichnos.recipe import Fit, Sampling
from ichnos.training.randomness import order_generator

_REMEMBERED = 32
"""Shuffled pools kept at once: each of at most a few classes is in its own round."""

_SYNTHETIC = 1_000
"""The number of the pool of synthetic slices: beyond any class's."""


class BatchOrder:
    """Says which slices (positions in the part, not rows of the images) make up each batch of each epoch.

    Natural: one pool of all slices. Balanced: a pool a class, which take turns from one batch into the next; a slice
    with no class at all belongs to one more pool, so that negatives are seen where the population has them. A pool is
    drawn from without replacement until it is used up, then shuffled anew. Empty pools are left out.

    synthetic: so many slices at the end of `labels` are synthetic. They have a pool of their own, from which every
    batch takes its `share`; the rest of it is drawn as above from the others.
    """

    def __init__(
        self, labels: NDArray[np.bool_], sampling: Sampling, fit: Fit, *, synthetic: int = 0, share: float = 0.0
    ) -> None:
        real = len(labels) - synthetic
        self._extra = max(1, round(share * fit.batch_size)) if synthetic else 0
        self._synthetic = np.arange(real, len(labels))
        labels = labels[:real]
        self._batch_size = fit.batch_size - self._extra
        self._seed = fit.seed
        self._slices = len(labels)
        self._whole_passes = sampling is Sampling.NATURAL and fit.steps_per_epoch is None
        self._pools = _pools(labels, sampling)
        self.steps = fit.steps_per_epoch or -(-len(labels) // self._batch_size)
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
            rounds, places = np.divmod(turns[mine] // len(pools), len(self._pool(pool)))
            for round_ in np.unique(rounds):
                these = rounds == round_
                drawn[mine[these]] = self._shuffled(pool, int(round_))[places[these]]
        return drawn

    def _pool(self, pool: int) -> NDArray[np.int64]:
        return self._synthetic if pool == _SYNTHETIC else self._pools[pool]

    def _shuffle(self, pool: int, round_: int) -> NDArray[np.int64]:
        return order_generator(self._seed, pool, round_).permutation(self._pool(pool))


def _pools(labels: NDArray[np.bool_], sampling: Sampling) -> list[NDArray[np.int64]]:
    match sampling:
        case Sampling.NATURAL:
            return [np.arange(len(labels))]
        case Sampling.BALANCED:
            columns = [*labels.T, ~labels.any(axis=1)]
            return [pool for column in columns if len(pool := np.flatnonzero(column))]
        case _:
            assert_never(sampling)
