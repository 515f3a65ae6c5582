"""Boosted trees are fitted on slices' logits, and how many of them there are is chosen by patients left out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier

from ichnos.counting import counted
from ichnos.evaluation.stacking import groups_of
from ichnos.models.neighbour_table import NeighbourTable
from ichnos.models.trees import FromSlice
from ichnos.progress import Progress
from ichnos.recipe import TreesHead
from ichnos.subtypes import Subtype


@dataclass(frozen=True, eq=False)
class Examined:
    """What a slice stage says of the slices of several exams, beside what is true. Rows may come in any order."""

    classes: tuple[Subtype, ...]
    logits: NDArray[np.float64]
    """(n, classes)."""
    offsets: NDArray[np.float64]
    """(n,) mm along the slice normal of the slice's own exam."""
    labels: NDArray[np.bool_]
    """(n, classes)."""
    exams: NDArray[np.str_]
    patients: NDArray[np.str_]

    def table(self, head: TreesHead) -> NDArray[np.float32]:
        """The rows of every slice, exam by exam, in this order of slices."""
        table = table_of(head, len(self.classes))
        rows = np.empty((len(self.logits), table.columns), np.float32)
        for exam in np.unique(self.exams):
            of_exam = self.exams == exam
            rows[of_exam] = table.rows(self.logits[of_exam], self.offsets[of_exam])
        return rows


@dataclass(frozen=True, eq=False)
class FittedTrees:
    """Trees, and how they came to be."""

    trees: tuple[GradientBoostingClassifier | None, ...]
    """Of each class; None: the slice's own logit stays."""
    unseen: NDArray[np.float64]
    """(n, classes): logits of the slices that were learnt from, each by trees that have not seen its patient. The
    number of trees is the one that served all of them best."""
    rounds: tuple[int, ...]
    """Trees of each class."""
    losses: tuple[tuple[float, ...], ...]
    """Of each class: mean log-loss of left-out patients' slices by 0, 1, 2, ... trees; empty where none were tried."""
    notes: tuple[str, ...]
    """What is to be known of single classes, in words."""


def table_of(head: TreesHead, outputs: int) -> NeighbourTable:
    """What the head is shown."""
    return NeighbourTable(outputs, head.neighbours, head.neighbour_spacing)


def fit_trees(head: TreesHead, examined: Examined, progress: Progress) -> FittedTrees:
    """Trees for each class that enough patients have and enough lack. At least one slice.

    Five groups of patients are left out in turn: the number of trees is the one with the lowest mean log-loss over all
    of them, 0 among the candidates. The trees that stay are then grown on everyone, to that number.
    """
    table = examined.table(head)
    groups = list(groups_of(examined.patients))
    trees: list[GradientBoostingClassifier | None] = []
    unseen = examined.logits.astype(np.float64).copy()
    losses: list[tuple[float, ...]] = []
    notes: list[str] = []
    with progress.task("Growing trees", len(examined.classes)) as task:
        for k, subtype in enumerate(examined.classes):
            positive = examined.labels[:, k]
            few = _too_few(head, positive, examined.patients)
            if few:
                notes.append(f"{subtype.value}: {few}, so the slice stage's logit stays as it is")
                trees.append(None)
                losses.append(())
            else:
                start = FromSlice(head.neighbours * len(examined.classes) + k)
                said = _left_out(head, start, table, positive, groups, unseen[:, k])
                losses.append(tuple(round(float(each), 6) for each in _log_loss(said, positive).mean(axis=0)))
                best = int(np.argmin(losses[-1]))  # of equals the fewest trees
                unseen[:, k] = said[:, best]
                trees.append(_grown(head, start, table, positive, best) if best else None)
                if not best:
                    notes.append(f"{subtype.value}: no trees serve patients that were left out; its logit stays")
            task.advance()
    rounds = tuple(0 if each is None else each.n_estimators_ for each in trees)
    return FittedTrees(tuple(trees), unseen, rounds, tuple(losses), tuple(notes))


def _too_few(head: TreesHead, positive: NDArray[np.bool_], patients: NDArray[np.str_]) -> str | None:
    """In words, what too few patients have slices of; None: neither."""
    for which, rows in (("with", positive), ("without", ~positive)):
        having = len(np.unique(patients[rows]))
        if having < head.patients:
            return f"{counted(having, 'validation patient')} with slices {which} it, trees want {head.patients}"
    return None


def _left_out(
    head: TreesHead,
    start: FromSlice,
    table: NDArray[np.float32],
    positive: NDArray[np.bool_],
    groups: list[NDArray[np.bool_]],
    own: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(n, 1 + rounds): each slice's logit with 0, 1, 2, ... trees that were grown on the other groups' patients."""
    said = np.repeat(own[:, np.newaxis], head.rounds + 1, axis=1)
    for left_out in groups:
        rest = positive[~left_out]
        if rest.all() or not rest.any():
            continue  # nothing to be learnt from the others: with any number of trees the slice's own logit
        grown = _grown(head, start, table[~left_out], rest, head.rounds)
        began = start.logit(table[left_out])
        for r, logits in enumerate(grown.staged_decision_function(table[left_out]), start=1):
            said[left_out, r] += logits.ravel() - began
    return said


def _grown(
    head: TreesHead, start: FromSlice, table: NDArray[np.float32], positive: NDArray[np.bool_], rounds: int
) -> GradientBoostingClassifier:
    boosted = GradientBoostingClassifier(
        init=start,
        n_estimators=rounds,
        learning_rate=head.learning_rate,
        max_depth=head.depth,
        subsample=head.subsample,
        max_features=head.columns,
        min_samples_leaf=head.leaf,
        random_state=head.seed,
    )
    return boosted.fit(table, positive)


def _log_loss(logits: NDArray[np.float64], positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n, m) logits → −ln of what the truth was given, (n, m)."""
    return np.logaddexp(0, np.where(positive[:, np.newaxis], -logits, logits))
