"""AUC and average precision of one class from one sort: any weighting of the slices then costs one cumulative sum."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Ranking:
    """One class's slices by falling score. Slices carry the weight of their unit (the slice itself, or its patient).

    Equal scores are one threshold: between them a positive and a negative count as half ranked right, and average
    precision takes them in one step, as scikit-learn does.
    """

    negatives: NDArray[np.intp]
    """(m,) the unit of each negative slice, by falling score."""
    positives: NDArray[np.intp]
    """(k,) the unit of each positive slice, by falling score."""
    starts: NDArray[np.intp]
    """(g,) where each distinct score of a positive begins in `positives`."""
    above: NDArray[np.intp]
    """(g,) negatives that score higher than that."""
    through: NDArray[np.intp]
    """(g,) negatives that score at least that."""

    @classmethod
    def of(
        cls,
        scores: NDArray[np.floating],
        positive: NDArray[np.bool_],
        units: NDArray[np.intp] | None = None,
    ) -> "Ranking":
        """Sort slices by score. scores, positive, units: (n,); without `units` each slice is its own."""
        order = np.argsort(-scores, kind="stable")
        keys = -scores[order]
        truth = positive[order]
        members = order if units is None else units[order]
        positive_keys, negative_keys = keys[truth], keys[~truth]
        new = np.ones(len(positive_keys), dtype=np.bool_)
        new[1:] = positive_keys[1:] != positive_keys[:-1]
        starts = np.flatnonzero(new)
        return cls(
            negatives=members[~truth],
            positives=members[truth],
            starts=starts,
            above=np.searchsorted(negative_keys, positive_keys[starts], side="left"),
            through=np.searchsorted(negative_keys, positive_keys[starts], side="right"),
        )

    def measure(self, weights: NDArray[np.int64]) -> tuple[float, float]:
        """(AUC, average precision) where unit u counts `weights[u]` times; NaN where it is not defined.

        AUC needs a positive and a negative of weight above 0; average precision needs a positive.
        """
        if not len(self.positives):
            return np.nan, np.nan
        gained = np.add.reduceat(weights.take(self.positives), self.starts)
        passed = np.zeros(len(self.negatives) + 1, dtype=np.int64)
        np.cumsum(weights.take(self.negatives), out=passed[1:])
        above, through = passed.take(self.above), passed.take(self.through)
        positives, negatives = float(gained.sum()), float(passed[-1])
        if positives == 0:
            return np.nan, np.nan
        found = np.cumsum(gained)
        called = np.maximum(found + through, 1)  # 0 only before the first slice of weight, where nothing is gained
        average_precision = float(np.dot(gained, found / called)) / positives
        if negatives == 0:
            return np.nan, average_precision
        right = float(np.dot(gained, negatives - 0.5 * (above + through)))
        return right / (positives * negatives), average_precision
