"""Subgroups: the same measures among exams that share a value."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ichnos.errors import UsageError
from ichnos.evaluation.level_measures import Measuring, StatedThresholds, measure_level
from ichnos.evaluation.levels import Judged, Level
from ichnos.subtypes import Subtype

MOST_VALUES = 12
"""Of words: a column with more makes groups that say nothing."""

_ALL_DIGITS = 17
"""Of a double."""

_BANDS = 4
"""Quartiles, of numbers that take more than so many values."""

_ABOVE = "above "
"""Begins the name of every band but the first: its lower end belongs to the band before it."""

NOT_KNOWN = "not known"

VARIES = "varies from slice to slice"
"""Of an exam whose slices do not agree."""


def grouped(values: Sequence[object]) -> list[str]:
    """A group for each value: words and few numbers as they are, many numbers in quartiles, None as NOT_KNOWN. VARIES
    stays, beside words and numbers.

    Raises UsageError where there are too many words to make groups of.
    """
    known = [value for value in values if value not in (None, VARIES) and value == value]  # NaN is not itself
    if known and all(isinstance(value, int | float) for value in known) and len(set(known)) > _BANDS:
        return _bands(values, np.array(known, dtype=np.float64))
    if len(set(known)) > MOST_VALUES:
        raise UsageError(
            f"{len(set(known))} different values make no subgroups; give a column of at most {MOST_VALUES}"
        )
    numbers = sorted({value for value in known if isinstance(value, float)})
    names = dict(zip(numbers, _numbers(numbers), strict=True))
    return [_text(value, names) for value in values]


def measure_subgroups(
    by: str,
    groups: Sequence[str],
    exams: Judged,
    thresholds: StatedThresholds,
    asked: Measuring,
) -> dict[str, Any]:
    """Every measure of the exams of each group. groups: one an exam."""
    names = np.array(groups)
    c = Subtype.ANY if Subtype.ANY in asked.labelled else asked.labelled[0]
    trees = {
        str(name): measure_level(Level.EXAM, exams.select(names == name), thresholds, asked)
        for name in dict.fromkeys(sorted(groups, key=_order))
    }
    return {"by": by, "class": c.value, "groups": trees}


def _bands(values: Sequence[object], known: np.ndarray[Any, np.dtype[np.float64]]) -> list[str]:
    edges = np.unique(np.quantile(known, np.linspace(0, 1, _BANDS + 1)))
    first, *others = pairwise(_numbers(edges.tolist()))
    names = [f"{first[0]} to {first[1]}", *(f"{_ABOVE}{low} to {high}" for low, high in others)]
    inner = edges[1:-1]

    def band(value: object) -> str:
        if value == VARIES:
            return VARIES
        if not isinstance(value, int | float) or value != value:
            return NOT_KNOWN
        return names[int(np.searchsorted(inner, value, side="left"))]

    return [band(value) for value in values]


def _text(value: object, names: Mapping[float, str]) -> str:
    if value is None or value != value:
        return NOT_KNOWN
    return names[value] if isinstance(value, float) else str(value) or NOT_KNOWN


def _numbers(values: Sequence[float]) -> list[str]:
    """Different numbers with as many digits as tell them apart, six at least, and all before the point: dates have
    eight."""
    before = max((len(f"{abs(value):.0f}") for value in values), default=0)
    for digits in range(max(6, min(before, _ALL_DIGITS)), _ALL_DIGITS):
        names = [f"{value:.{digits}g}" for value in values]
        if len(set(names)) == len(values):
            return names
    return [f"{value:.{_ALL_DIGITS}g}" for value in values]


def _order(name: str) -> tuple[bool, float, str]:
    """Bands by their lower end, words by the alphabet, what varies or is not known last."""
    last = name in (VARIES, NOT_KNOWN)
    first = name.removeprefix(_ABOVE).split(" to ")[0]
    try:
        return last, float(first), name
    except ValueError:
        return last, 0.0, name
