"""How the answers of an ensemble's members become one: as data, applied in numpy, and fitted where it has to be."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ichnos.errors import InputError
from ichnos.evaluation.stacking import fit_stacking, groups_of
from ichnos.predictions import Predictions
from ichnos.readout import logit, sigmoid
from ichnos.subtypes import Subtype

KNOTS = 65
"""Of a member's distribution of one class. They lie at equal distances in the log-odds of the place, so that the ends,
where rare hemorrhages are told from all else, have as many as the middle."""

STEEPEST = 100.0
"""Places a logit: where a member's rise faster, the rounding of 32 bits (some 1e-6 of a logit) moves an answer by more
than an exported network may differ from the trained one (1e-4)."""

FARTHEST = 30.0
"""Log-odds beyond the smallest and largest validation logit after which a place does not change any more."""

_CERTAIN = 1e-15
"""What a double holds of σ(logit)."""

Row = tuple[float, ...]


class _Part(BaseModel):
    """Frozen, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Linear(_Part):
    """A weighted sum of logits: of each member's own of the class (a mean), or of all of all members (stacking)."""

    kind: Literal["linear"] = "linear"
    matrix: tuple[Row, ...] = Field(min_length=1)
    """(classes, members · classes): a row an output; columns are the first member's classes, then the second's."""
    bias: Row
    """(classes,)."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        widths = {len(row) for row in self.matrix}
        if len(self.bias) != len(self.matrix) or len(widths) != 1 or min(widths) % len(self.matrix):
            raise ValueError("a row and a number of bias for each class, and in a row the classes of every member")
        return self

    @classmethod
    def mean(cls, shares: Sequence[float], classes: int) -> Self:
        """The weighted mean."""
        matrix = np.hstack([share * np.eye(classes) for share in shares])
        return cls(matrix=_rows(matrix), bias=(0.0,) * classes)

    def apply(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """(members, n, classes) → (n, classes)."""
        return np.concatenate(list(logits), axis=1) @ np.array(self.matrix).T + np.array(self.bias)


class Places(_Part):
    """Where the logits of one member and class lie among those of the validation slices: a distribution function.

    Straight from knot to knot; beyond the ends it goes on as e⁻ᵈ of the distance d in log-odds, so that what is surer
    than every validation slice still has an order. It grows everywhere.
    """

    knots: Row = Field(min_length=1)
    """Logits, growing."""
    places: Row
    """At each: the share of slices below it and half of those at it, in (0, 1), growing."""

    @model_validator(mode="after")
    def _grows(self) -> Self:
        knots, places = np.array(self.knots), np.array(self.places)
        if len(knots) != len(places) or (np.diff(knots) <= 0).any() or (np.diff(places) <= 0).any():
            raise ValueError("knots and their places grow, one of each")
        if not 0 < places[0] <= places[-1] < 1:
            raise ValueError("places lie between 0 and 1")
        return self

    @classmethod
    def of(cls, logits: NDArray[np.float64]) -> Self:
        """Of (n,) finite logits; equal ones, to twelve decimals, have one place, in the middle of theirs."""
        values, counts = np.unique(logits.round(12) + 0.0, return_counts=True)
        places = (np.cumsum(counts) - counts / 2) / len(logits)
        ends = logit(places[[0, -1]])
        picked = np.interp(sigmoid(np.linspace(ends[0], ends[1], KNOTS)), places, values)
        knots = np.unique(picked)
        return cls(knots=_row(knots), places=_row(np.interp(knots, values, places)))

    @property
    def steepest(self) -> float:
        """How much a place changes a logit, where it changes fastest; endless where all slices have one logit."""
        if len(self.knots) == 1:
            return np.inf
        return float((np.diff(self.places) / np.diff(self.knots)).max())

    def sides(self, logits: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The share below and the share above; each exact where it is small."""
        knots, places = np.array(self.knots), np.array(self.places)
        inside = np.interp(logits, knots, places)
        below = np.exp(np.clip(logits - knots[0], -FARTHEST, 0))
        above = np.exp(np.clip(knots[-1] - logits, -FARTHEST, 0))
        low, high = logits < knots[0], logits > knots[-1]
        lower = np.where(low, places[0] * below, np.where(high, 1 - (1 - places[-1]) * above, inside))
        upper = np.where(high, (1 - places[-1]) * above, 1 - lower)
        return lower, upper


class Ranks(_Part):
    """The weighted mean of the places that members' logits take, as a log-odds."""

    kind: Literal["ranks"] = "ranks"
    shares: Row
    """Of members; they sum to 1."""
    places: tuple[tuple[Places, ...], ...]
    """(members, classes)."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.shares) != len(self.places) or len({len(each) for each in self.places}) != 1:
            raise ValueError("a share and a distribution of every class for each member")
        return self

    @classmethod
    def of(cls, logits: NDArray[np.float64], shares: Sequence[float]) -> Self:
        """Of (members, n, classes) logits of validation slices."""
        return cls(shares=tuple(shares), places=tuple(tuple(Places.of(c) for c in each.T) for each in logits))

    def undecided(self, members: Sequence[str], classes: Sequence[Subtype]) -> list[str]:
        """Which classes of which members (named in order) have validation logits too close together to be ranked."""
        return [
            f"{c} of {member}"
            for member, row in zip(members, self.places, strict=True)
            for c, place in zip(classes, row, strict=True)
            if place.steepest > STEEPEST
        ]

    def apply(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """(members, n, classes) → (n, classes)."""
        total = np.zeros((2, *logits.shape[1:]))
        for share, member, said in zip(self.shares, self.places, logits, strict=True):
            for k, place in enumerate(member):
                total[:, :, k] += share * np.stack(place.sides(said[:, k]))
        return np.log(total[0]) - np.log(total[1])


Combination = Annotated[Linear | Ranks, Field(discriminator="kind")]
"""Any."""


class FittedCombination(_Part):
    """combination.json of a run: what joins its members, and what that was fitted on."""

    form: Literal["ichnos-combination"] = "ichnos-combination"
    version: Literal[1] = 1
    combine: Literal["rank", "stacking"]
    members: tuple[str, ...]
    classes: tuple[Subtype, ...]
    shares: Row
    checkpoints: str
    """SHA-256 of the members' weights, one after the other."""
    fitted_on: Mapping[str, object]
    """Of whom, how many; of stacking the strengths that were chosen, and which classes keep the plain mean."""
    combination: Combination


def combined(combination: Linear | Ranks, tables: Sequence[Predictions]) -> Predictions:
    """What the members say of the same slices, as one."""
    return replace(tables[0], probabilities=sigmoid(combination.apply(logits_of(tables))))


def logits_of(tables: Sequence[Predictions]) -> NDArray[np.float64]:
    """(members, n, classes). Raises InputError where the tables are not of the same slices and classes."""
    first = tables[0]
    for other in tables[1:]:
        if other.classes != first.classes:
            raise InputError(
                f"an ensemble of unequal classes: one member names {', '.join(first.classes)}, another "
                f"{', '.join(other.classes)}; take members of one list of classes"
            )
        if not (np.array_equal(first.exam, other.exam) and np.array_equal(first.slice_name, other.slice_name)):
            raise InputError("an ensemble's members must be asked of the same slices, in the same order")
    return np.stack([logit(table.probabilities, certain=_CERTAIN) for table in tables])


def fit_combination(
    combine: Literal["rank", "stacking"], tables: Sequence[Predictions], shares: Sequence[float]
) -> tuple[Linear | Ranks, Mapping[str, object]]:
    """What the members' answers about validation slices make of them, and what was fitted on whom, for the record.

    In stacking a class of which not both slices with and without it are there keeps the plain mean of the members, and
    the record says so, as it does of a class whose weights had not settled when the solver stopped. Raises InputError
    where there are no slices.
    """
    logits = logits_of(tables)
    first = tables[0]
    if not len(first):
        raise InputError("there are no slices to fit the ensemble's combination on: the validation part is empty")
    record = {"patients": len(np.unique(first.patient)), "slices": len(first)}
    if combine == "rank":
        return Ranks.of(logits, shares), record
    fitted = fit_stacking(logits, first.labels, first.patient)
    record |= {"strengths": {c.value: s for c, s in zip(first.classes, fitted.strengths, strict=True)}}
    kept = [c.value for c, s in zip(first.classes, fitted.strengths, strict=True) if s is None]
    notes = [f"{c}: the plain mean, as not both slices with and without it are there" for c in kept]
    stopped = [c.value for c, settled in zip(first.classes, fitted.settled, strict=True) if not settled]
    notes += [f"{c}: its weights had not settled when the solver stopped" for c in stopped]
    return Linear(matrix=_rows(fitted.matrix), bias=_row(fitted.bias)), record | {"notes": notes}


def cross_fitted(tables: Sequence[Predictions]) -> Predictions:
    """Stacking of validation slices as for patients that it has not seen: each patient's by the fit of the others.

    What is calibrated on these is not flattered by the stacking's own fit.
    """
    logits = logits_of(tables)
    first = tables[0]
    said = np.empty(logits.shape[1:])
    for left_out in groups_of(first.patient):
        rest = ~left_out
        fitted = fit_stacking(logits[:, rest], first.labels[rest], first.patient[rest])
        said[left_out] = np.concatenate(list(logits[:, left_out]), axis=1) @ fitted.matrix.T + fitted.bias
    return replace(first, probabilities=sigmoid(said))


def _rows(matrix: NDArray[np.float64]) -> tuple[Row, ...]:
    return tuple(_row(row) for row in matrix)


def _row(values: NDArray[np.float64]) -> Row:
    return tuple(values.tolist())
