"""What a model calls of a table's rows, by the thresholds that the scorecard beside the table states."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichnos.errors import InputError
from ichnos.evaluation.levels import Level
from ichnos.evaluation.paired_cases import StatedCalls
from ichnos.predictions import Predictions
from ichnos.readout import POINTS, Readout
from ichnos.subtypes import CLASSES, Subtype
from ichnos.workflows.fold_measures import OUT_OF_FOLD_TABLE, readouts_of_folds
from ichnos.workflows.measured import PREDICTIONS, SCORECARD, SLICES

Tree = Mapping[str, Any]

NO_SCORECARD = f"no {SCORECARD} beside the table states thresholds"
AS_GIVEN = "thresholds are of calibrated slices, and these are as the network gave them"
LARGEST = "no threshold was stated for an exam's largest slice"

_PER_POINT = dict[str, list[Mapping[Subtype, float]]]
"""For each operating point the thresholds of one model, or of each fold's."""


def scorecard_beside(path: Path) -> Tree | None:
    """That of the evaluation or study by folds which wrote a table; None where none lies there.

    Raises InputError where there is one that cannot be read.
    """
    card = path.parent / SCORECARD
    if not card.is_file():
        return None
    try:
        tree = json.loads(card.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(
            f"{card} cannot be read as JSON ({type(error).__name__}); move it away, or measure again"
        ) from error
    known = isinstance(tree, dict) and tree.get("form") in ("ichnos-evaluation", "ichnos-folds") and "levels" in tree
    return tree if known else None


def as_given(path: Path, card: Tree | None) -> bool:
    """Whether a table of slices is known to hold what a network gave, not what a readout made of it."""
    of_a_run = card is not None and card["form"] == "ichnos-evaluation" and card["model"]["kind"] == "run"
    return path.name == OUT_OF_FOLD_TABLE or (path.name == PREDICTIONS and of_a_run)


def unmeasured(card: Tree | None) -> set[Subtype]:
    """The classes that an evaluation did not measure: its set does not label them, or has them in every slice."""
    levels = {} if card is None else card["levels"]
    return {c for tree in levels.values() for c in CLASSES if not tree["classes"].get(c.value, {}).get("labelled")}


def stated_calls(path: Path, table: Predictions, card: Tree | None) -> StatedCalls:
    """Of the slices or exams of a table that was read from `path`, by the scorecard beside it.

    A slice is called by its own thresholds, an exam's subtype where `any` is called too, as readouts call them.
    Raises InputError where the scorecard is not of this table.
    """
    level = Level.SLICE if table.rows_of == "slice" else Level.EXAM
    if card is None:
        return StatedCalls(why_not=NO_SCORECARD)
    if level is Level.SLICE and as_given(path, card):
        return StatedCalls(why_not=AS_GIVEN)
    if level not in card["levels"]:
        return StatedCalls(why_not=f"the {SCORECARD} beside the table states no thresholds of {level.value}s")
    _see_that_it_is_of(path, table, card["levels"][level])
    if card["form"] == "ichnos-folds":
        if not (path.parent / SLICES).is_file():
            return StatedCalls(why_not=f"no {SLICES} beside the table says by which fold's thresholds")
        readouts = readouts_of_folds(card, path.parent / SCORECARD)
        return _called(table, level, _of_readouts(readouts, level), _folds_of(path, table, card))
    stated = _of_evaluation(card["levels"][level], path.parent / SCORECARD)
    return _called(table, level, stated, np.zeros(len(table), np.intp))


def _see_that_it_is_of(path: Path, table: Predictions, tree: Tree) -> None:
    counted = {c: tree["classes"].get(c.value, {}).get("positives") for c in table.classes}
    found = dict(zip(table.classes, table.labels.sum(axis=0).tolist(), strict=True))
    if tree["n"] != len(table) or any(n is not None and n != found[c] for c, n in counted.items()):
        raise InputError(
            f"{path.parent / SCORECARD} is not of the {path.name} beside it ({tree['n']:,} and {len(table):,} "
            f"{table.rows_of}s, or other labels), so its thresholds are not either; move one of them away"
        )


def _of_evaluation(tree: Tree, path: Path) -> _PER_POINT:
    rows = {Subtype(c): row["operating_points"] for c, row in tree["classes"].items() if row["labelled"]}
    return {point: [{c: _threshold(row[point], point, c, path) for c, row in rows.items()}] for point in POINTS}


def _threshold(row: Tree, point: str, c: Subtype, path: Path) -> float:
    found = row.get("threshold")
    if not isinstance(found, int | float) or not 0 <= found <= 1:
        raise InputError(
            f"{path} is damaged: the {point.replace('_', '-')} threshold of {c.value} is {found!r}, and a threshold "
            "is a number from 0 to 1; measure again, or take the file from where it came"
        )
    return found


def _of_readouts(readouts: Sequence[Readout], level: Level) -> _PER_POINT:
    each = [readout.slices if level is Level.SLICE else readout.exams for readout in readouts]
    return {point: [{c: getattr(t, point).threshold for c, t in fold.items()} for fold in each] for point in POINTS}


def _folds_of(path: Path, table: Predictions, card: Tree) -> NDArray[np.intp]:
    """(n,) by whose model each row was judged: a study's tables of slices are fold after fold, and a patient is in
    one."""
    ends = np.cumsum([fold["test_slices"] for fold in card["folds"]])
    slices = table if path.name == SLICES else Predictions.read_parquet(path.parent / SLICES)
    if len(slices) != ends[-1]:
        raise InputError(
            f"{path.parent / SCORECARD} is not of the {SLICES} beside it ({ends[-1]:,} and {len(slices):,} slices); "
            "give the study's command again"
        )
    fold = np.searchsorted(ends, np.arange(len(slices)), side="right")
    of_patient = dict(zip(slices.patient.tolist(), fold.tolist(), strict=True))
    return np.array([of_patient[patient] for patient in table.patient.tolist()], dtype=np.intp)


def _called(table: Predictions, level: Level, stated: _PER_POINT, fold: NDArray[np.intp]) -> StatedCalls:
    classes = tuple(c for c in table.classes if all(c in each for each in stated[POINTS[0]]))
    if level is Level.EXAM and Subtype.ANY not in classes:
        return StatedCalls(why_not="an exam is called where any hemorrhage is, of which no threshold is stated")
    kept = table.restrict(classes)
    points: dict[str, Predictions] = {}
    for point, each in stated.items():
        thresholds = np.array([[one[c] for c in classes] for one in each])[fold]
        called = kept.probabilities >= thresholds
        if level is Level.EXAM:
            called &= called[:, [classes.index(Subtype.ANY)]]
        points[point] = replace(kept, probabilities=called.astype(np.float64))
    told = {
        point: {c: each[0][c] if len(each) == 1 else [one[c] for one in each] for c in classes}
        for point, each in stated.items()
    }
    return StatedCalls(points, told)
