"""One model's predictions at three levels, slices, exams and patients, as its readout judges them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from ichnos.errors import InputError
from ichnos.evaluation.aggregation import ExamTable
from ichnos.evaluation.readout import smoothed_by_exam
from ichnos.predictions import Predictions
from ichnos.readout import Readout, logit


class Level(StrEnum):
    """What is counted."""

    SLICE = "slice"
    EXAM = "exam"
    """By the readout's aggregator over its slices; it has what any of its slices has."""
    PATIENT = "patient"
    """The largest probability over a patient's exams; positive where any exam is, called where any exam is called."""


@dataclass(frozen=True, eq=False)
class Judged:
    """Slices, exams or patients as a model judged them; all columns in the order of Readout.reported.

    name, patient: (n,) names; a slice's name is its own, an exam's the exam's. raw, probabilities: (n, classes) before
    and after calibration; an exam's raw is what the readout's aggregator makes of its slices' raw ones. labels:
    (n, classes). called: for each operating point (n, classes).
    """

    name: NDArray[np.str_]
    patient: NDArray[np.str_]
    raw: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    labels: NDArray[np.bool_]
    called: Mapping[str, NDArray[np.bool_]]

    def __post_init__(self) -> None:
        shape = self.labels.shape
        for values in (self.raw, self.probabilities, *self.called.values()):
            if values.shape != shape:
                raise InputError(f"labels are of shape {shape}, but what was said of them is {values.shape}")
        for values in (self.raw, self.probabilities):
            if not np.isfinite(values).all() or ((values < 0) | (values > 1)).any():
                raise InputError("probabilities must be numbers in [0, 1]; some are not: the model is damaged")

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def joined(cls, parts: Sequence["Judged"]) -> "Judged":
        """Several in one, such as the folds' test parts, each as its own model judged it."""
        return cls(
            np.concatenate([p.name for p in parts]),
            np.concatenate([p.patient for p in parts]),
            np.concatenate([p.raw for p in parts]),
            np.concatenate([p.probabilities for p in parts]),
            np.concatenate([p.labels for p in parts]),
            {name: np.concatenate([p.called[name] for p in parts]) for name in parts[0].called},
        )

    def select(self, rows: NDArray[np.bool_]) -> "Judged":
        """Some of them, by mask."""
        called = {name: values[rows] for name, values in self.called.items()}
        return Judged(
            self.name[rows], self.patient[rows], self.raw[rows], self.probabilities[rows], self.labels[rows], called
        )


def judge(outputs: Predictions, labels: NDArray[np.bool_], readout: Readout) -> dict[Level, Judged]:
    """What a readout makes of a network's outputs at every level, as the reader of exams does.

    outputs: raw σ(logit) of slices, of the readout's classes. labels: (n, reported) of the same slices; where labels
    are of whole exams, every slice has its exam's. Exams and patients come in the order of their names.
    Raises InputError where classes or shapes differ.
    """
    if outputs.classes != readout.classes:
        raise InputError(f"the readout is of {', '.join(readout.classes)}, the outputs of {', '.join(outputs.classes)}")
    if labels.shape != (len(outputs), len(readout.reported)):
        raise InputError(f"labels must be {(len(outputs), len(readout.reported))}, got {labels.shape}")
    if not len(outputs):
        raise InputError("there are no slices to measure: the part is empty, or the population leaves nothing in it")
    slices = _slices(outputs, labels, readout)
    exams = _exams(slices, outputs, readout)
    return {Level.SLICE: slices, Level.EXAM: exams, Level.PATIENT: _patients(exams)}


def _slices(outputs: Predictions, labels: NDArray[np.bool_], readout: Readout) -> Judged:
    logits = logit(outputs.probabilities, certain=1e-15)  # as predicted, but for what a double cannot hold
    raw = Readout.uncalibrated(outputs.classes).slice_probabilities(logits)
    said = readout.slice_probabilities(smoothed_by_exam(logits, outputs, readout.smoothing))
    return Judged(outputs.slice_name, outputs.patient, raw, said, labels, readout.slice_calls(said))


def _exams(slices: Judged, outputs: Predictions, readout: Readout) -> Judged:
    table = ExamTable.of(outputs.exam, slices.labels)
    first = [rows[0] for rows in table.slices]
    said = np.stack(
        [readout.exam_probabilities(slices.probabilities[rows], outputs.offset[rows]) for rows in table.slices]
    )
    return Judged(
        outputs.exam[first],
        outputs.patient[first],
        table.scores(readout.aggregator, slices.raw, outputs.offset),
        said,
        table.labels,
        readout.exam_calls(said),
    )


def _patients(exams: Judged) -> Judged:
    names, unit = np.unique(exams.patient, return_inverse=True)
    members = np.split(np.argsort(unit, kind="stable"), np.cumsum(np.bincount(unit))[:-1])
    return Judged(
        names,
        names,
        np.stack([exams.raw[rows].max(axis=0) for rows in members]),
        np.stack([exams.probabilities[rows].max(axis=0) for rows in members]),
        np.stack([exams.labels[rows].any(axis=0) for rows in members]),
        {name: np.stack([called[rows].any(axis=0) for rows in members]) for name, called in exams.called.items()},
    )
