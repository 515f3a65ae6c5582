"""What can be chosen about a curve by patients, whom each point learns from, and what is held equal between points."""

import itertools
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import numpy as np

from ichnos.counting import counted, exactly
from ichnos.data.drawing import PatientOrder, order_patients
from ichnos.data.splits import Part
from ichnos.errors import UsageError
from ichnos.recipe import EXAM, ExamRecipe, Recipe, exam_networks, fits_of, join
from ichnos.reporting.recipe_words import grouped
from ichnos.subtypes import Subtype
from ichnos.training.sampling import steps_of_epoch, synthetic_of_batch
from ichnos.workflows.train import OpenData, Sets, data_words

SHARES = (0.125, 0.25, 0.5, 1.0)
"""Each doubling is a step that whoever collects patients can weigh."""


class Equal(StrEnum):
    """What all points have alike: fewer patients make shorter epochs."""

    EPOCHS = "epochs"
    """As often through the patients: the recipe as it is. Fewer patients are learnt from in fewer steps."""
    STEPS = "steps"
    """As many optimiser steps an epoch as the whole training part has: fewer patients are seen more often."""


RESAMPLES = 10_000
"""Of differences, as `ichnos study field` takes them: with 1,000 no p of so many could survive Holm's correction."""


@dataclass(frozen=True)
class PatientsOptions:
    """What can be chosen about the study."""

    recipe: str | None = None
    """As it was asked for: a name, or the path of a file."""
    changes: Mapping[str, str] = field(default_factory=dict[str, str])
    """Of its fields, as text: they are in the recipe that is studied already."""
    shares: tuple[float, ...] = SHARES
    """Of the training patients, one a point."""
    fold: int | None = None
    """None: the set's one split."""
    repeats: int = 1
    """Runs a point, each with patients and seeds of its own."""
    seed: int = 0
    """Of drawing the patients."""
    equal: Equal = Equal.EPOCHS
    resamples: int = RESAMPLES

    def __post_init__(self) -> None:
        check_shares(self.shares)
        if self.repeats < 1:
            raise UsageError(f"a point needs at least 1 run (--repeats), got {self.repeats}")

    @classmethod
    def parse(cls, recipe: str, changes: Mapping[str, str], shares: tuple[float, ...], equal: str, **more: Any) -> Self:
        """From the command line's words. Raises UsageError."""
        if equal not in set(Equal):
            raise UsageError(f"--equal is {' or '.join(Equal)}, got {equal!r}")
        return cls(recipe, changes, shares, equal=Equal(equal), **more)

    def command(self, data: Sets, out: Path) -> str | None:
        """What to type to measure the same again; None where it was asked for in Python."""
        if self.recipe is None:
            return None
        words = ["ichnos", "study", "patients", self.recipe, *data_words(data), "--out", str(out)]
        words += ["--shares", ",".join(map(exactly, self.shares))]
        words += ["--fold", str(self.fold)] if self.fold is not None else []
        words += ["--repeats", str(self.repeats)] if self.repeats > 1 else []
        words += ["--seed", str(self.seed)] if self.seed else []
        words += ["--equal", self.equal.value] if self.equal is not Equal.EPOCHS else []
        words += ["--resamples", str(self.resamples)] if self.resamples != RESAMPLES else []
        words += [word for pair in self.changes.items() for word in ("--set", "=".join(pair))]
        return shlex.join(words)


@dataclass(frozen=True)
class Draw:
    """The patients of one run: the first so many of an order of all."""

    repeat: int
    """Counted from 0; the order is drawn by the seed and this number."""
    order: tuple[str, ...]
    """All patients of the training part."""
    count: int
    positives: dict[Subtype, int]
    """How many of the first `count` have each class."""

    @property
    def patients(self) -> tuple[str, ...]:
        """Who is learnt from, by name."""
        return tuple(sorted(self.order[: self.count]))


@dataclass(frozen=True)
class Point:
    """One point of the curve: so many patients, drawn once for each of its runs."""

    share: float
    draws: tuple[Draw, ...]

    @property
    def patients(self) -> int:
        """How many its runs learn from."""
        return self.draws[0].count


def check_shares(shares: Sequence[float]) -> None:
    """Raise UsageError where these are not two or more different shares of (0, 1]."""
    if bad := [share for share in shares if not 0 < share <= 1]:
        raise UsageError(
            f"a share of the training patients is above 0 and at most 1, got {', '.join(f'{each:g}' for each in bad)}"
        )
    if len(set(shares)) < len(shares):
        raise UsageError(f"a share is given twice in {', '.join(f'{each:g}' for each in shares)}; give each once")
    if len(shares) < 2:
        raise UsageError("a curve needs two shares or more, such as --shares 0.25,0.5,1")


def draw_points(data: OpenData, recipe: Recipe, shares: Sequence[float], repeats: int, seed: int) -> list[Point]:
    """Every point, the smallest first: nested and stratified patients of the training part who have slices of the
    recipe's population.

    Raises UsageError where two shares are as many patients, or where one of them leaves a class that the training part
    has without any patient.
    """
    rows = data.rows(recipe.population, Part.TRAIN)
    names = data.prepared.index["patient"].to_numpy()[rows].astype(np.str_)
    labels = data.prepared.labels_of(recipe.classes)[rows]
    orders = [order_patients(names, labels, seed + repeat) for repeat in range(repeats)]
    if not len(orders[0]) or not orders[0].has.any():
        raise UsageError(
            f"the training part has {counted(len(orders[0]), 'patient')} with slices of {recipe.name}'s population, "
            "and none of them has a hemorrhage: nothing can be learnt from any share; give another set or --fold"
        )
    counts = {share: math.floor(share * len(orders[0]) + 0.5) for share in sorted(shares)}
    _check_counts(counts, len(orders[0]))
    for share, count in counts.items():
        for order in orders:
            _check_classes(share, count, order, recipe.classes)
    return [
        Point(share, tuple(_draw(repeat, order, count, recipe) for repeat, order in enumerate(orders)))
        for share, count in counts.items()
    ]


def _draw(repeat: int, order: PatientOrder, count: int, recipe: Recipe) -> Draw:
    positives = zip(recipe.classes, order.positives(count).tolist(), strict=True)
    return Draw(repeat, tuple(order.names.tolist()), count, dict(positives))


def _check_counts(counts: dict[float, int], patients: int) -> None:
    shares = list(counts)
    for one, other in itertools.pairwise(shares):
        if counts[one] == counts[other]:
            raise UsageError(
                f"the shares {one:g} and {other:g} are both {counted(counts[one], 'patient')} of {patients} in the "
                "training part; give shares that lie further apart"
            )


def _check_classes(share: float, count: int, order: PatientOrder, classes: Sequence[Subtype]) -> None:
    whole, kept = order.positives(len(order)), order.positives(count)
    absent = [(c, int(n)) for c, n, k in zip(classes, whole, kept, strict=True) if n and not k]
    if not absent:
        return
    said = ", ".join(f"{c.display_name.lower()} ({n} of all have it)" for c, n in absent)
    least = math.ceil(1000 * order.fewest / len(order)) / 1000
    raise UsageError(
        f"the share {share:g} is {counted(count, 'patient')} of {len(order)} in the training part, too few to have one "
        f"of each class: it leaves no positive of {said}; give no share below {least:g}"
    )


def held_equal(recipe: Recipe, data: OpenData, equal: Equal) -> Recipe:
    """The recipe of every point: as it is, or with the optimiser steps that an epoch of the whole training part has."""
    if equal is Equal.EPOCHS:
        return recipe
    places = fits_of(recipe)
    changes: dict[str, int] = {}
    for path, stage in recipe.stages.items():
        real = len(data.rows(stage.population, Part.TRAIN))
        synthetic = synthetic_of_batch(stage.fit, stage.synthetic.share) if stage.synthetic else 0
        changes[f"{places[path]}.steps_per_epoch"] = steps_of_epoch(stage.fit, real, synthetic)
    return recipe.derive(**changes)


def of_repeat(recipe: Recipe, repeat: int) -> Recipe:
    """The recipe with seeds of training of its own."""
    if not repeat:
        return recipe
    seeds = {path: stage.fit.seed for path, stage in recipe.stages.items()}
    seeds |= {join(path, EXAM): each.fit.seed for path, each in exam_networks(recipe).items()}
    return recipe.derive(**{f"{place}.seed": seeds[path] + repeat for path, place in fits_of(recipe).items()})


def equal_words(recipe: Recipe, equal: Equal) -> str:
    """What the points have alike, in a sentence or two. recipe: as `held_equal` gave it."""
    steps = grouped({path: f"{s.fit.steps_per_epoch:,}" for path, s in recipe.stages.items() if s.fit.steps_per_epoch})
    if equal is Equal.STEPS:
        said = (
            f"Optimiser steps are held equal: {steps} an epoch at every point, as many as all training patients have, "
            "so fewer patients are seen more often."
        )
    elif steps:
        said = f"The recipe's own number of optimiser steps an epoch is the same at every point: {steps}."
    else:
        said = (
            "Epochs are held equal, at most as many as the recipe has. An epoch of fewer patients has fewer optimiser "
            "steps, so smaller points are trained less too; `--equal steps` holds the steps equal instead."
        )
    if exam_networks(recipe):
        return f"{said} The network of exams has its recipe's epochs at every point: fewer exams are fewer steps."
    if not isinstance(recipe, ExamRecipe):
        return said
    return f"{said} Boosted trees are grown on the validation patients, all of them at every point."
