"""Figures of repeated measurements: medians with their spread, and ratios taken round by round."""

from collections.abc import Sequence
from statistics import median
from typing import Any

_DIGITS = 4


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, lowest, highest, and each value in the order taken."""
    return {
        "median": _rounded(median(values)),
        "lowest": _rounded(min(values)),
        "highest": _rounded(max(values)),
        "each": [_rounded(value) for value in values],
    }


def ratios(of: Sequence[float], to: Sequence[float]) -> dict[str, Any]:
    """`of` / `to`, round by round: on a machine whose speed drifts neighbours in time can be compared, medians less."""
    return spread([one / other for one, other in zip(of, to, strict=True)])


def parts_of(answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What each part took, from the answers of a contender that was asked so many times."""
    told = [each["parts"] for each in answers]
    return {name: spread([each[name] for each in told]) for name in told[0]}


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
