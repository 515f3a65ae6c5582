"""How AUC grows with the patients that were learnt from: each point, and what the largest gained over it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichnos.errors import InputError
from ichnos.evaluation.comparison import Difference, difference
from ichnos.evaluation.folds import only_describes
from ichnos.evaluation.intervals import Estimate, Support, estimate_of, support_of
from ichnos.evaluation.levels import Judged
from ichnos.evaluation.ranking import Ranking
from ichnos.evaluation.resampling import PatientResamples
from ichnos.subtypes import Subtype

MEAN = "mean"
"""What stands beside the classes: the mean AUC of those that the test part defines."""


@dataclass(frozen=True)
class PointAuc:
    """One class, or the mean of classes, at one point."""

    auc: Estimate
    """The mean of the point's runs."""
    runs: tuple[float | None, ...]
    """Each run's own."""
    gain: Difference | None
    """The largest point's AUC less this one's, in the same resamples; None of the largest itself."""

    def to_json(self) -> dict[str, Any]:
        """All of it; None where something is not defined."""
        return {
            "auc": self.auc.to_json(),
            "runs": list(self.runs),
            "gain_of_the_largest": None
            if self.gain is None
            else self.gain.to_json() | {"untested": self.gain.untested},
        }


@dataclass(frozen=True)
class LevelCurve:
    """One level: what its numbers stand on, and every point by class (the values of Subtype) and MEAN."""

    n: int
    patients: int
    support: dict[Subtype, Support]
    mean_over: tuple[Subtype, ...]
    points: tuple[dict[str, PointAuc], ...]

    def positive_patients(self, name: str) -> int:
        """Test patients with a class; of the mean those of its rarest class."""
        if name == MEAN:
            return min((self.support[c].positive_patients for c in self.mean_over), default=0)
        return self.support[Subtype(name)].positive_patients

    def negative_patients(self, name: str) -> int:
        """Test patients without a class in some slice or exam; of the mean the fewest that any of its classes has."""
        if name == MEAN:
            return min((self.support[c].negative_patients for c in self.mean_over), default=0)
        return self.support[Subtype(name)].negative_patients

    def to_json(self) -> dict[str, Any]:
        """Counts, then a tree a point. A class that too few patients have or lack has no p."""
        names = [*(c.value for c in self.support), MEAN]
        few = {name for name in names if only_describes(self.positive_patients(name), self.negative_patients(name))}
        points = [{name: each.to_json() for name, each in point.items()} for point in self.points]
        for point in points:
            for name in few:
                if point[name]["gain_of_the_largest"] is not None:
                    point[name]["gain_of_the_largest"]["bootstrap_p"] = None
        return {
            "n": self.n,
            "patients": self.patients,
            "mean_over": [c.value for c in self.mean_over],
            "classes": {
                name: {
                    "positive_patients": self.positive_patients(name),
                    "negative_patients": self.negative_patients(name),
                    "descriptive_only": name in few,
                }
                for name in names
            },
            "points": points,
        }


@dataclass(frozen=True, eq=False)
class _Aucs:
    """Of one class, or of the mean: each run's AUC, and their mean in each resample."""

    runs: NDArray[np.float64]
    """(runs,) NaN where the test part does not define it, which is so for all or none."""
    samples: NDArray[np.float64]
    """(resamples,)"""

    @property
    def value(self) -> float | None:
        return None if np.isnan(self.runs).any() else float(self.runs.mean())

    @property
    def of_runs(self) -> tuple[float | None, ...]:
        return tuple(None if np.isnan(value) else float(value) for value in self.runs)


def _nothing() -> None:
    """Nobody waits for it."""


def measure_curve(
    points: Sequence[Sequence[Judged]],
    reported: Sequence[Subtype],
    named: Sequence[Subtype],
    *,
    seed: int,
    resamples: int,
    advance: Callable[[], None] = _nothing,
) -> LevelCurve:
    """AUC at every point, and what the last gained over each before it, with 95 % intervals by the bootstrap over test
    patients: the same patients are drawn for all.

    points: in order of patients learnt from, each the runs that are of it, as they judged the same slices, exams or
    patients; a point's AUC is the mean of its runs'. reported: the columns; named: those of them that are measured.
    advance: called after every point. Raises InputError where two runs did not judge the same.
    """
    first = points[0][0]
    for each in (run for runs in points for run in runs):
        if len(each) != len(first) or (each.name != first.name).any() or (each.labels != first.labels).any():
            raise InputError("a curve is of one test part, and two of its runs have judged others; they do not compare")
    columns = [list(reported).index(c) for c in named]
    labels = first.labels[:, columns]
    drawn = PatientResamples.draw(first.patient, seed, resamples)
    support = support_of(labels, labels, named, drawn)
    defined = tuple(c for k, c in enumerate(named) if labels[:, k].any() and not labels[:, k].all())
    measured: list[dict[str, _Aucs]] = []
    for runs in points:
        measured.append(_of_point([run.probabilities[:, columns] for run in runs], labels, named, drawn))
        advance()
    estimates = [
        {name: _estimate(name, each, support, defined, drawn.patients) for name, each in point.items()}
        for point in measured
    ]
    found: list[dict[str, PointAuc]] = []
    for point, told in zip(measured, estimates, strict=True):
        gains = {
            name: None
            if told is estimates[-1]
            else difference(told[name], estimates[-1][name], measured[-1][name].samples - each.samples, drawn.patients)
            for name, each in point.items()
        }
        found.append({name: PointAuc(told[name], each.of_runs, gains[name]) for name, each in point.items()})
    return LevelCurve(len(labels), drawn.patients, support, defined, tuple(found))


def _of_point(
    runs: Sequence[NDArray[np.float64]], labels: NDArray[np.bool_], named: Sequence[Subtype], drawn: PatientResamples
) -> dict[str, _Aucs]:
    """Of every class, then of the mean over those that the test part defines."""
    found = {c.value: _of_class([run[:, k] for run in runs], labels[:, k], drawn) for k, c in enumerate(named)}
    known = [each for each in found.values() if each.value is not None]
    if not known:
        return found | {MEAN: _undefined(len(runs), drawn)}
    means, samples = (np.mean([getattr(each, part) for each in known], axis=0) for part in ("runs", "samples"))
    return found | {MEAN: _Aucs(means, samples)}


def _undefined(runs: int, drawn: PatientResamples) -> _Aucs:
    return _Aucs(np.full(runs, np.nan), np.full(len(drawn), np.nan))


def _of_class(scores: Sequence[NDArray[np.float64]], positive: NDArray[np.bool_], drawn: PatientResamples) -> _Aucs:
    if positive.all() or not positive.any():
        return _undefined(len(scores), drawn)
    values: list[float] = []
    samples: list[NDArray[np.float64]] = []
    for each in scores:
        ranking = Ranking.of(each, positive, drawn.units)
        values.append(float(ranking.measure(np.ones((1, drawn.patients), np.uint16))[0][0]))
        samples.append(ranking.measure(drawn.weights)[0])
    return _Aucs(np.array(values), np.mean(samples, axis=0))


def _estimate(
    name: str, aucs: _Aucs, support: dict[Subtype, Support], defined: Sequence[Subtype], patients: int
) -> Estimate:
    if name != MEAN:
        return estimate_of(("auc", Subtype(name)), aucs.value, aucs.samples, support, patients)
    thin = next((c for c in defined if min(_both(support[c])) < 2), None)
    why = None if thin is None else f"too narrow: {thin.abbreviation} has {_thin_words(support[thin])}"
    return estimate_of(("mean_auc", None), aucs.value, aucs.samples, support, patients, why)


def _both(support: Support) -> tuple[int, int]:
    return support.positive_patients, support.negative_patients


def _thin_words(support: Support) -> str:
    return "1 positive patient" if support.positive_patients < 2 else "1 negative patient"
