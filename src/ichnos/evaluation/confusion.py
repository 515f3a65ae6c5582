"""Which subtype a model takes for which, on slices that can have several."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichnos.evaluation.metrics import THRESHOLD, check_shapes
from ichnos.subtypes import Subtype


@dataclass(frozen=True, eq=False)
class Confusion:
    """Calls by what is there. Rows: each class, then "none" (slices without any class). Columns: the same.

    Diagonal cell of a class: of the slices with it, those where it is called (its sensitivity).
    Other cells: of the slices with the row's class and *without* the column's, those where the column's is called all
    the same. A slice that truly has both is thus no confusion. Column "none": of the row's slices, those where no
    class is called. As slices can have several classes and several calls, rows do not add up to 100 %.
    """

    classes: tuple[Subtype, ...]
    called: NDArray[np.int64]
    """(classes + 1, classes + 1) slices that are called so."""
    of: NDArray[np.int64]
    """(classes + 1, classes + 1) slices that could be."""

    @property
    def share(self) -> NDArray[np.float64]:
        """called / of; NaN where there are no such slices."""
        return np.divide(self.called, self.of, out=np.full(self.of.shape, np.nan), where=self.of > 0)

    def to_json(self) -> dict[str, Any]:
        """The names of rows and columns, and both counts."""
        names = [*(c.value for c in self.classes), "none"]
        return {"rows_and_columns": names, "called": self.called.tolist(), "of": self.of.tolist()}


def confusion(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.bool_],
    classes: Sequence[Subtype],
    threshold: float = THRESHOLD,
) -> Confusion:
    """Count calls at `threshold` of (n, classes) probabilities by their (n, classes) labels. `any` is left out."""
    check_shapes(probabilities, labels, classes)
    columns = [k for k, c in enumerate(classes) if c is not Subtype.ANY]
    calls = probabilities[:, columns] >= threshold
    truth = labels[:, columns]
    truth = np.column_stack([truth, ~truth.any(axis=1)]).astype(np.int64)
    calls = np.column_stack([calls, ~calls.any(axis=1)]).astype(np.int64)
    here = truth.T @ calls
    false = truth.T @ (calls * (1 - truth))
    absent = truth.T @ (1 - truth)
    diagonal = np.eye(len(columns) + 1, dtype=np.bool_)
    rows = truth.sum(axis=0)
    called = np.where(diagonal, here, false)
    of = np.where(diagonal, rows[:, None], absent)
    called[:, -1], of[:, -1] = here[:, -1], rows
    return Confusion(tuple(classes[k] for k in columns), called, of)
