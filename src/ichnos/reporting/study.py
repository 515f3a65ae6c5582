"""What a study hands over to be reported: the models, what they said of which slices, and where it all came from."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichnos.errors import UsageError
from ichnos.evaluation.resampling import RESAMPLES
from ichnos.predictions import Predictions
from ichnos.recipe import SliceRecipe
from ichnos.reporting.paper import PaperRow
from ichnos.subtypes import Subtype

SlicePicture = Callable[[str, str], NDArray[np.uint8]]
"""(exam, slice name) → (rows, columns) uint8, brain window, for the gallery."""


@dataclass(frozen=True)
class ModelResult:
    """One trained model, how it was trained, and what it says of validation and test slices."""

    label: str
    """The short name for tables and figures: "Model 1"."""
    recipe: SliceRecipe
    history: tuple[dict[str, Any], ...]
    """A line an epoch: epoch, step, seconds, learning_rate, training and validation (each SliceMetrics as JSON)."""
    best_epoch: int
    """From 1: the lowest validation loss."""
    stopped_early: bool
    parameters: int
    training_seconds: float
    validation: Predictions
    """Of the best epoch."""
    test: Predictions
    """Of the best epoch."""
    first_weights: str = ""
    """A sentence: where they came from, with the digest of a file."""
    trained_on: str = ""
    """Device, precision and day, as the run's environment.json has them."""
    until_milestone: dict[int, tuple[Predictions, Predictions]] = field(default_factory=dict)
    """{n: (validation, test)} of the best of the first n epochs."""
    paper_row: PaperRow | None = None

    @property
    def name(self) -> str:
        """The recipe's name: what files are called after."""
        return self.recipe.name


@dataclass(frozen=True)
class PartSummary:
    """One part of a split."""

    name: str
    """train, validation or test."""
    patients: int
    exams: int
    slices: int
    positive_slices: dict[Subtype, int]
    positive_patients: dict[Subtype, int]


@dataclass(frozen=True)
class SetSummary:
    """The prepared set that the study was run on."""

    source: str
    fingerprint: str
    patients: int
    exams: int
    slices: int
    parts: tuple[PartSummary, ...]


@dataclass(frozen=True)
class SkippedReason:
    """Slices that were left out when the set was prepared, by reason."""

    reason: str
    count: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class LikeForLike:
    """Which two models test the study's hypothesis: the same but for the classes that the second leaves out."""

    full: str
    """Recipe name of the model of all classes (Model 2)."""
    reduced: str
    """Recipe name of the model without some (Model 3)."""


@dataclass(frozen=True)
class StudyResult:
    """Everything that the report, the scorecard and the tables are made of."""

    title: str
    subtitle: str
    notices: tuple[str, ...]
    """Shown near the top: what a reader must know before any number ("phantom results are phantom results")."""
    models: tuple[ModelResult, ...]
    set_summary: SetSummary
    skipped: tuple[SkippedReason, ...]
    environment: dict[str, str]
    """Versions and machine of the runs, in the order in which they are shown."""
    seed: int
    """Of the bootstrap."""
    command: str
    """What to type to get this report again."""
    slice_picture: SlicePicture
    like_for_like: LikeForLike | None = None
    resamples: int = RESAMPLES

    def __post_init__(self) -> None:
        names = [m.name for m in self.models]
        if not names:
            raise UsageError("a study has no models to report: train at least one recipe first")
        if len(set(names)) != len(names):
            raise UsageError(f"a study reports each recipe once, got {', '.join(names)}; rename one of them")
        if self.like_for_like and not {self.like_for_like.full, self.like_for_like.reduced} <= set(names):
            raise UsageError(f"a like-for-like comparison needs two of {', '.join(names)}, got {self.like_for_like}")

    @property
    def positives_only(self) -> bool:
        """Every model was trained and measured on slices with a hemorrhage alone."""
        return all(m.recipe.population.slices == "positives" for m in self.models)

    def model(self, name: str) -> ModelResult:
        """The model of the recipe of that name."""
        return next(m for m in self.models if m.name == name)
