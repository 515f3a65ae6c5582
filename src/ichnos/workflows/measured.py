"""What `ichnos evaluate` measures of a run and of a bundle alike: every level, and what stands beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichnos.data.set import PreparedSet
from ichnos.errors import OutputError, UsageError
from ichnos.evaluation.calls import Prevalence, check_prevalence
from ichnos.evaluation.level_measures import Measuring, measure_level
from ichnos.evaluation.levels import Judged, Level
from ichnos.evaluation.probabilities import KAGGLE_CLIP
from ichnos.evaluation.resampling import RESAMPLES
from ichnos.readout import POINTS, Readout
from ichnos.subtypes import Subtype

BOOTSTRAP_SEED = 0
"""One seed for every interval, so that they can be made again and compared."""

SCORECARD = "scorecard.json"

Tree = dict[str, Any]
ClassMapping = Mapping[Subtype, tuple[Subtype, ...]]
"""For a class of the model those of the set that it stands for."""


@dataclass(frozen=True)
class EvaluationOptions:
    """What can be chosen about an evaluation."""

    prevalence: Prevalence = field(default_factory=dict[Subtype, float])
    """Where predictive values are wanted besides the set's own."""
    mapping: ClassMapping = field(default_factory=dict[Subtype, tuple[Subtype, ...]])
    """For a class of the model the set's classes, any of which it is measured against; itself where it is not named."""
    by: str | None = None
    """A column of the set's index, or of `table`, whose values make subgroups."""
    table: Path | None = None
    """A CSV with a column `exam`, `patient` or `slice`, and what is known of each."""
    resamples: int = RESAMPLES

    def __post_init__(self) -> None:
        check_prevalence(self.prevalence)
        if self.table is not None and self.by is None:
            raise UsageError("a table of subgroups needs --by COLUMN, which says which column makes them")


def see_that_it_is_free(out: Path) -> None:
    """Raise OutputError where `out` holds a scorecard already."""
    if (out / SCORECARD).exists():
        raise OutputError(f"{out} holds a scorecard already; give --out another folder")


def labels_for(
    prepared: PreparedSet, classes: Sequence[Subtype], mapping: ClassMapping
) -> tuple[NDArray[np.bool_], tuple[Subtype, ...]]:
    """(slices, classes) what the set says of each class, and those of which it says something.

    Raises UsageError where the mapping names a class that the model has not.
    """
    if unknown := [c.value for c in mapping if c not in classes]:
        raise UsageError(f"the model names no {', '.join(unknown)}; it names {', '.join(classes)}")
    wanted = {c: mapping.get(c, (c,)) for c in classes}
    labels = np.column_stack([prepared.labels_of(theirs).any(axis=1) for theirs in wanted.values()])
    return labels, tuple(c for c, theirs in wanted.items() if set(theirs) <= set(prepared.header.labelled))


def levels_of(prepared: PreparedSet) -> tuple[Level, ...]:
    """Those at which a set's labels can judge."""
    return tuple(Level) if prepared.header.labels_of == "slice" else (Level.EXAM, Level.PATIENT)


def measure_levels(
    judged: Mapping[Level, Judged], levels: Sequence[Level], readout: Readout, asked: Measuring
) -> dict[str, Tree]:
    """Every measure of each level, by its name."""
    return {level.value: measure_level(judged[level], thresholds_of(readout, level), asked) for level in levels}


def thresholds_of(readout: Readout, level: Level) -> dict[str, dict[Subtype, float]]:
    """Of each operating point for each class; a patient is called where an exam is."""
    points = readout.slices if level is Level.SLICE else readout.exams
    return {name: {c: getattr(points[c], name).threshold for c in readout.reported} for name in POINTS}


def about_the_set(prepared: PreparedSet, labelled: Sequence[Subtype], options: EvaluationOptions) -> Tree:
    """What a scorecard says of the set, its labels and how intervals were made."""
    header = prepared.header
    return {
        "set": header.fingerprint,
        "source": header.source,
        "labels_of": header.labels_of,
        "labelled": [c.value for c in labelled],
        "mapping": {c.value: [each.value for each in theirs] for c, theirs in options.mapping.items()},
        "counts": {"patients": header.patients, "exams": header.exams, "slices": header.slices},
        "left_out_of_the_set": header.skipped,
        "prevalence": {c.value: share for c, share in options.prevalence.items()},
        "bootstrap_seed": BOOTSTRAP_SEED,
        "resamples": options.resamples,
        "kaggle_clip": KAGGLE_CLIP,
    }
