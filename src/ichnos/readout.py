"""What a model's numbers mean: from logits to calibrated probabilities of slices and exams, and where a call begins.

Data and numpy only: evaluation/ fits a Readout on patients that the model has not seen, a bundle carries it, and
inference/ applies it.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal, Self, assert_never

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ichnos.subtypes import CLASSES, SUBTYPES, Subtype, bound_any, cap_subtypes

_CERTAIN = 1e-7
"""Probabilities are kept this far from 0 and 1 before the logarithm, as in evaluation's cross-entropy."""


SMOOTHING_MM = 5.0
"""From a slice to what it is mixed with: the distance of slices in most head CT, at which weights are chosen."""

COUNTED_MM = 5.0
"""mm of the head for which an exam's score counts one slice, as most head CT has them."""

NEVER_FIRES = "any: never fires"
"""How the note of a readout begins whose network, or cascade's gate, finds no hemorrhage in anyone it was fitted on."""

_PLACE_DECIMALS = 2
"""Of mm: below that DICOM's and NIfTI's places of one exam differ."""


class _Part(BaseModel):
    """Frozen, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class AnyRule(StrEnum):
    """Where a slice's probability of any hemorrhage comes from."""

    EXPLICIT = "explicit"
    """The network has an output for it."""
    NOISY_OR = "noisy-or"
    """1 − ∏(1 − p) over the subtypes, as if they were independent."""
    MAX = "max"
    """The largest of the subtypes."""


class Bound(StrEnum):
    """What gives way where a subtype comes out likelier than any hemorrhage, or any than all subtypes together.

    In slices and in exams.
    """

    RAISE_ANY = "raise-any"
    """Any is raised to the largest subtype."""
    CAP_SUBTYPES = "cap-subtypes"
    """Subtypes are lowered to any: it rests on the most patients, and a subtype that few have moves no alarm."""
    BETWEEN = "between"
    """Any is raised to the largest subtype and lowered to the sum of all five, beyond which no union of them can be
    (RSNA 2019's 12th place)."""


class Aggregator(_Part):
    """How the probabilities of an exam's slices become one score of the exam."""

    kind: Literal["max", "noisy-or", "top-mean"]
    k: Annotated[int, Field(ge=1)] = 1
    """Of `top-mean`: the mean of the k largest (of all, where there are fewer)."""

    @property
    def text(self) -> str:
        """For people: `max`, `noisy-or`, `mean of the top 3`."""
        return f"mean of the top {self.k}" if self.kind == "top-mean" else self.kind

    def apply(self, probabilities: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """(slices, classes) → (classes,); at least one slice. weights: (slices,), see `slice_weights`."""
        match self.kind:
            case "max":
                return probabilities.max(axis=0)
            case "noisy-or":
                return 1 - np.prod((1 - probabilities) ** weights[:, None], axis=0)
            case "top-mean":
                return _top_mean(probabilities, weights, self.k)
            case _:
                assert_never(self.kind)


class Scaling(_Part):
    """A straight line in the log-odds: probability = σ(slope · logit(score) + intercept). Rankings stay."""

    slope: Annotated[float, Field(gt=0)] = 1.0
    intercept: float = 0.0

    def apply(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores in [0, 1] → probabilities."""
        return sigmoid(self.slope * logit(scores) + self.intercept)


class OperatingPoint(_Part):
    """A threshold, and what it gave where it was chosen: a class is called where its probability is at least this."""

    threshold: Annotated[float, Field(ge=0, le=1)]
    sensitivity: float | None = None
    specificity: float | None = None
    positives: int = 0
    """Slices or exams with the class on which the threshold was chosen; 0: it was not chosen but set."""
    negatives: int = 0


POINTS = ("high_sensitivity", "balanced")
"""The fields of Thresholds."""


class Thresholds(_Part):
    """The two operating points of a class."""

    high_sensitivity: OperatingPoint
    """At least the sensitivity that was asked for: nothing must be missed."""
    balanced: OperatingPoint
    """The largest sum of sensitivity and specificity (Youden 1950)."""


_UNCHOSEN = Thresholds(high_sensitivity=OperatingPoint(threshold=0.5), balanced=OperatingPoint(threshold=0.5))


class Readout(_Part):
    """From logits to calls."""

    classes: tuple[Subtype, ...] = Field(min_length=1)
    """The network's outputs, in its order."""
    smoothing: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The weight of the logits SMOOTHING_MM below and above beside 1 for a slice's own: few hemorrhages fill a single
    slice. See `smoothed`."""
    temperatures: Mapping[Subtype, Annotated[float, Field(gt=0)]]
    """For each output: calibrated probability = σ(logit / temperature + shift) (Guo 2017,
    https://arxiv.org/abs/1706.04599, and a shift)."""
    shifts: Mapping[Subtype, float] = {}
    """For each output, in log-odds; 0 where not named. A network that was trained on balanced batches or on drawn
    lesions thinks hemorrhage more common than it is, which no temperature mends."""
    any_rule: AnyRule
    bound: Bound = Bound.RAISE_ANY
    aggregator: Aggregator
    exam_scaling: Mapping[Subtype, Scaling]
    """For each reported class: from the aggregator's score to the exam's probability."""
    slices: Mapping[Subtype, Thresholds]
    """For each reported class: the operating points of a slice's probability."""
    exams: Mapping[Subtype, Thresholds]
    """For each reported class: the operating points of an exam's probability."""
    calibrated: bool
    """False: nothing here was fitted; temperatures are 1, thresholds 0.5."""
    high_sensitivity: Annotated[float, Field(gt=0, le=1)] = 0.95
    """The sensitivity that was asked of the high-sensitivity points."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("a class is named twice")
        if self.classes == (Subtype.ANY,):
            raise ValueError("a bundle names at least one subtype")
        if self.bound is Bound.BETWEEN and not set(SUBTYPES) <= set(self.classes):
            raise ValueError("any is at most the sum of all five subtypes, not of some: bound=between needs all five")
        if (self.any_rule is AnyRule.EXPLICIT) != (Subtype.ANY in self.classes):
            raise ValueError("any is explicit exactly where the network has an output for it")
        if set(self.temperatures) != set(self.classes):
            raise ValueError("every output needs one temperature, and nothing else does")
        if not set(self.shifts) <= set(self.classes):
            raise ValueError("shifts are of outputs alone")
        for name in ("exam_scaling", "slices", "exams"):
            if set(getattr(self, name)) != set(self.reported):
                raise ValueError(f"{name} must be given for every reported class, and for nothing else")
        return self

    @classmethod
    def uncalibrated(cls, classes: tuple[Subtype, ...]) -> Self:
        """What is said without any patients to calibrate on: σ(logit), the largest slice, thresholds of 0.5."""
        explicit = Subtype.ANY in classes
        reported = [c for c in CLASSES if c in classes or c is Subtype.ANY]
        return cls(
            classes=classes,
            temperatures=dict.fromkeys(classes, 1.0),
            any_rule=AnyRule.EXPLICIT if explicit else AnyRule.NOISY_OR,
            aggregator=Aggregator(kind="max"),
            exam_scaling=dict.fromkeys(reported, Scaling()),
            slices=dict.fromkeys(reported, _UNCHOSEN),
            exams=dict.fromkeys(reported, _UNCHOSEN),
            calibrated=False,
        )

    @property
    def reported(self) -> tuple[Subtype, ...]:
        """The subtypes among the outputs in the one order, then `any`: the columns of every probability."""
        return tuple(c for c in CLASSES if c in self.classes or c is Subtype.ANY)

    def smoothed(self, logits: NDArray[np.floating], offsets: NDArray[np.floating]) -> NDArray[np.float64]:
        """(n, outputs) of one exam's slices from foot to head → the same, each mixed with what lies beside it.

        offsets: (n,) mm along the slice normal, z. With w = smoothing and s = SMOOTHING_MM

            L'(z) = (L(z) + w · (L(z − s) + L(z + s))) / (1 + 2 w)

        where L runs straight from slice to slice, and beyond the exam's ends stays what it is there. So slices that lie
        s apart are mixed with their neighbours by w each; thinner ones with those s away; of slices d > s apart a
        neighbour counts w · s / d, and across a wide gap next to nothing.
        """
        own = logits.astype(np.float64)
        places = np.round(np.asarray(offsets, dtype=np.float64) - np.min(offsets), _PLACE_DECIMALS)
        around = np.zeros_like(own)
        for k in range(own.shape[1]):
            for step in (-SMOOTHING_MM, SMOOTHING_MM):
                around[:, k] += np.interp(places + step, places, own[:, k])
        return (own + self.smoothing * around) / (1 + 2 * self.smoothing)

    def slice_probabilities(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """(n, outputs), smoothed → calibrated probabilities (n, reported); any ≥ each subtype in every row."""
        scaled = {
            c: sigmoid(logits[:, k].astype(np.float64) / self.temperatures[c] + self.shifts.get(c, 0.0))
            for k, c in enumerate(self.classes)
        }
        subtypes = np.column_stack([scaled[c] for c in self.reported if c is not Subtype.ANY])
        match self.any_rule:
            case AnyRule.EXPLICIT:
                some = scaled[Subtype.ANY]
            case AnyRule.NOISY_OR:
                some = noisy_or(subtypes, axis=1)
            case AnyRule.MAX:
                some = subtypes.max(axis=1)
            case _:
                assert_never(self.any_rule)
        return self._bounded(np.column_stack([subtypes, some]).astype(np.float64, copy=False))

    def exam_probabilities(
        self, slice_probabilities: NDArray[np.float64], offsets: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        """(n, reported) of one exam's slices → (reported,); any ≥ each subtype. offsets: (n,) mm along the normal."""
        scores = self.aggregator.apply(slice_probabilities, slice_weights(offsets))
        return self._bounded(np.array([self.exam_scaling[c].apply(scores[k]) for k, c in enumerate(self.reported)]))

    def _bounded(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., reported) → the same, any ≥ each subtype; where the bound says so, any ≤ their sum."""
        subtypes, some = probabilities[..., :-1], probabilities[..., -1]
        match self.bound:
            case Bound.RAISE_ANY:
                some = bound_any(some, subtypes)
            case Bound.CAP_SUBTYPES:
                subtypes = cap_subtypes(some, subtypes)
            case Bound.BETWEEN:
                some = np.minimum(bound_any(some, subtypes), subtypes.sum(axis=-1))
            case _:
                assert_never(self.bound)
        return np.concatenate([subtypes, some[..., np.newaxis]], axis=-1).astype(np.float64, copy=False)

    def slice_calls(self, probabilities: NDArray[np.float64]) -> dict[str, NDArray[np.bool_]]:
        """At each operating point, which classes of (n, reported) slice probabilities reach their own threshold."""
        return {
            name: probabilities >= np.array([getattr(self.slices[c], name).threshold for c in self.reported])
            for name in POINTS
        }

    def exam_calls(self, probabilities: NDArray[np.float64]) -> dict[str, NDArray[np.bool_]]:
        """At each operating point, which classes of (..., reported) exam probabilities are called.

        Any hemorrhage where it reaches its threshold; a subtype where it reaches its own and any is called: so a
        subtype whose threshold few patients set raises no alarm by itself.
        """
        calls: dict[str, NDArray[np.bool_]] = {}
        for name in POINTS:
            own = probabilities >= np.array([getattr(self.exams[c], name).threshold for c in self.reported])
            calls[name] = own & own[..., -1:]
        return calls


def slice_weights(offsets: NDArray[np.floating]) -> NDArray[np.float64]:
    """How much each of an exam's slices counts in its score: its share of the height in COUNTED_MM, at most 1. (n,)

    offsets: (n,) mm along the slice normal, in any order. A slice reaches half way to those below and above, the first
    and last as far outwards; slices at one place share its weight. So slices 5 mm apart and more count 1 each, and five
    of 1 mm count as one of 5 mm: a head is not likelier to bleed where it is cut into more slices.
    """
    rounded = np.round(np.asarray(offsets, dtype=np.float64) - np.min(offsets), _PLACE_DECIMALS)
    places, of, count = np.unique(rounded, return_inverse=True, return_counts=True)
    if len(places) == 1:
        return np.ones(len(offsets))
    gaps = np.diff(places).round(_PLACE_DECIMALS)
    around = np.concatenate([gaps[:1], gaps, gaps[-1:]])
    return (np.minimum((around[:-1] + around[1:]) / 2 / COUNTED_MM, 1) / count)[of]


def _top_mean(probabilities: NDArray[np.float64], weights: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """The mean of the largest that together weigh k, each class by itself."""
    order = np.argsort(-probabilities, axis=0, kind="stable")
    each = weights[order]
    before = np.cumsum(each, axis=0) - each
    counted = np.clip(k - before, 0, each)
    return (np.take_along_axis(probabilities, order, axis=0) * counted).sum(axis=0) / counted.sum(axis=0)


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + e⁻ˣ), without overflow."""
    return np.exp(-np.logaddexp(0, -x))


def logit(p: NDArray[np.float64], certain: float = _CERTAIN) -> NDArray[np.float64]:
    """ln(p / (1 − p)); p is kept so far from 0 and 1."""
    inside = np.clip(p, certain, 1 - certain)
    return np.log(inside) - np.log1p(-inside)


def noisy_or(probabilities: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """1 − ∏(1 − p) along an axis."""
    return np.asarray(1 - np.prod(1 - probabilities, axis=axis))
