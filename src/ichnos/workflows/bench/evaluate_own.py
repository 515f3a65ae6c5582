"""Our own side of `ichnos bench evaluate`, as a contender: `python -m ichnos.workflows.bench.evaluate_own WORK WHAT`.

WHAT: `measures`, all of them at every level; `copies`, the probabilities copied once for each resample.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ichnos.evaluation.level_measures import Measuring
from ichnos.evaluation.levels import Level, judge
from ichnos.predictions import Predictions
from ichnos.readout import Readout, sigmoid
from ichnos.subtypes import CLASSES, SUBTYPES
from ichnos.workflows.bench.contenders import answer_when_asked
from ichnos.workflows.measured import measure_levels

_POSITIVE_EXAMS, _OF_ITS_SLICES = 0.41, 0.35
"""RSNA 2019: exams with a hemorrhage, and the share of their slices that makes 14.4 % of all."""

_SUBTYPES = (0.03, 0.34, 0.24, 0.33, 0.44)
"""Of the positive slices, in the order of SUBTYPES: epidural to subdural, as in RSNA 2019."""

_COPIES = 20
"""That are timed; what all resamples take is reckoned from them."""

Tree = dict[str, Any]


@dataclass(frozen=True)
class EvaluateWork:
    """What there is to do, for us and for peers: work.json."""

    predictions: str
    """A file of Predictions.write_parquet: `patient`, `exam`, and of each class p_CLASS and y_CLASS."""
    slices: int
    exams: int
    patients: int
    resamples: int


def write_predictions(work: EvaluateWork, seed: int = 0) -> None:
    """Make up as many predictions: exams of RSNA's kind, positive slices side by side, a model of AUC near 0.95."""
    rng = np.random.default_rng(seed)
    exam = np.sort(np.concatenate([np.arange(work.exams), rng.integers(0, work.exams, work.slices - work.exams)]))
    patient = np.concatenate([np.arange(work.patients), rng.integers(0, work.patients, work.exams - work.patients)])
    starts = np.searchsorted(exam, np.arange(work.exams))
    place = (np.arange(work.slices) - starts[exam]) / np.bincount(exam, minlength=work.exams)[exam]
    begin = rng.uniform(0, 1 - _OF_ITS_SLICES, work.exams)
    bleeds = rng.random(work.exams) < _POSITIVE_EXAMS
    inside = bleeds[exam] & (place >= begin[exam]) & (place < begin[exam] + _OF_ITS_SLICES)
    has = rng.random((work.exams, len(SUBTYPES))) < _SUBTYPES
    has[~has.any(axis=1), -1] = True
    labels = np.column_stack([has[exam] & inside[:, None], inside])
    certain = 2.6 * labels + rng.normal(-3, 1.1, labels.shape)
    Predictions(
        CLASSES,
        np.char.add("patient-", patient[exam].astype(np.str_)),
        np.char.add("exam-", exam.astype(np.str_)),
        np.char.add("slice-", np.arange(work.slices).astype(np.str_)),
        place * 150,
        sigmoid(certain),
        labels,
        "test",
    ).write_parquet(Path(work.predictions))


def measures(work: EvaluateWork) -> Callable[[], Tree]:
    """What `ichnos evaluate` measures of a run, at every level, from what the network said on."""
    table, readout = Predictions.read_parquet(Path(work.predictions)), Readout.uncalibrated(CLASSES)
    asked = Measuring(CLASSES, CLASSES, resamples=work.resamples)

    def once() -> Tree:
        begun = time.perf_counter()
        judged = judge(table, table.labels, readout)
        tree = measure_levels(judged, tuple(Level), readout, asked)
        return {"seconds": time.perf_counter() - begun, "auc": tree["slice"]["classes"]["any"]["auc"]["value"]}

    return once


def copies(work: EvaluateWork) -> Callable[[], Tree]:
    """What no bootstrap could be faster than that looked at every prediction in every resample."""
    said = Predictions.read_parquet(Path(work.predictions)).probabilities
    into = np.empty_like(said)

    def once() -> Tree:
        begun = time.perf_counter()
        for _ in range(_COPIES):
            np.copyto(into, said)
        return {"seconds": (time.perf_counter() - begun) / _COPIES * work.resamples}

    return once


if __name__ == "__main__":
    answer_when_asked(EvaluateWork, {"measures": measures, "copies": copies}, sys.argv)
