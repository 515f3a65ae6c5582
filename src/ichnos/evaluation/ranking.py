"""AUC and average precision of one class from one sort, under any number of weightings of patients at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

_CELLS_AT_ONCE = 2_000_000
"""Floating-point cells of one block of weightings: 16 MB, which stays near the cache."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """One class's slices by falling score, sorted once and counted by unit: all slices in one, or one a patient.

    The distinct scores of positives cut the scores into 2g + 1 steps by falling score: above the first positive, at
    it, between it and the second, and so on. Only how many negatives of whom are in a step matters, so a weighting
    costs a sparse product and a cumulative sum. Equal scores are one threshold, as in scikit-learn: a positive and a
    negative that score the same count as half ranked right, and average precision takes them in one step.
    """

    positives: csr_array
    """(g, units) positive slices at each distinct score of a positive."""
    negatives: csr_array
    """(2g + 1, units) negative slices in each step."""
    steps: int
    """2g + 1."""

    @classmethod
    def of(cls, scores: NDArray[np.floating], positive: NDArray[np.bool_], units: NDArray[np.intp]) -> "Ranking":
        """Sort slices by score. scores, positive, units: (n,); units count from 0."""
        width = int(units.max()) + 1
        cuts, group = np.unique(-scores[positive], return_inverse=True)
        keys = -scores[~positive]
        higher = np.searchsorted(cuts, keys, side="left")
        at = np.searchsorted(cuts, keys, side="right") > higher
        step = 2 * higher + at
        steps = 2 * len(cuts) + 1
        return cls(
            positives=_count(group, units[positive], (len(cuts), width)),
            negatives=_count(step, units[~positive], (steps, width)),
            steps=steps,
        )

    def measure(self, weights: NDArray[np.unsignedinteger]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(AUC, average precision), each (w,), where unit u counts weights[:, u] times; NaN where not defined.

        AUC needs a positive and a negative of weight above 0; average precision needs a positive.
        """
        block = max(1, _CELLS_AT_ONCE // self.steps)
        parts = [self._measure(weights[start : start + block]) for start in range(0, len(weights), block)]
        auc, average_precision = (np.concatenate(column) for column in zip(*parts, strict=True))
        return auc, average_precision

    def _measure(self, weights: NDArray[np.unsignedinteger]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        columns = np.ascontiguousarray(weights.T, dtype=np.float64)
        gained = self.positives @ columns
        passed = np.cumsum(self.negatives @ columns, axis=0)
        above, through = passed[0:-1:2], passed[1::2]
        found = np.cumsum(gained, axis=0)
        positives = gained.sum(axis=0)
        negatives = passed[-1]
        called = np.maximum(found + through, 1)  # 0 only before the first slice of weight, where nothing is gained
        steps = np.einsum("gw,gw->w", gained, found / called)
        right = np.einsum("gw,gw->w", gained, negatives - 0.5 * (above + through))
        return _divide(right, positives * negatives), _divide(steps, positives)


def _count(rows: NDArray[np.intp], units: NDArray[np.intp], shape: tuple[int, int]) -> csr_array:
    return csr_array((np.ones(len(rows)), (rows, units)), shape=shape)


def _divide(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
