"""What choosing among recipes is worth: test patients have no say, not even between equals."""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytest

from ichnos.evaluation.folds import OutOfFold
from ichnos.reporting.measured_recipe import MeasuredRecipe
from ichnos.subtypes import Subtype
from ichnos.workflows.field_choice import choice_of_folds

PATIENTS = np.array([f"p{number:02d}" for number in range(40)])


@dataclass(frozen=True, eq=False)
class Stub:
    """Two folds whose inner scores are given; test patients are told by `skill`."""

    name: str
    inner: tuple[float | None, float | None]
    skill: float

    @property
    def card(self) -> dict[str, Any]:
        return {"folds": [{}, {}]}

    def inner_of_fold(self, fold: int) -> float | None:
        return self.inner[fold]

    def of_classes(self, level: str, classes: tuple[Subtype, ...]) -> OutOfFold:
        del level, classes
        positive = np.arange(len(PATIENTS)) % 3 == 0
        said = np.random.default_rng(0).random(len(PATIENTS)) * (1 - self.skill) + self.skill * positive
        column = said[:, None]
        return OutOfFold(PATIENTS, np.arange(len(PATIENTS)) % 2, column, column, positive[:, None], {})


def chosen(*recipes: Stub) -> list[str]:
    tree = choice_of_folds(cast("list[MeasuredRecipe]", list(recipes)))
    return [row["recipe"] for row in tree["folds"]]


def test_each_fold_takes_what_its_validation_patients_like_best() -> None:
    assert chosen(Stub("a", (0.9, 0.7), 0.1), Stub("b", (0.8, 0.8), 0.9)) == ["a", "b"]
    assert chosen(Stub("a", (None, 0.7), 0.1), Stub("b", (0.8, None), 0.9)) == ["b", "a"]


@pytest.mark.parametrize("better_first", [True, False])
def test_equals_are_not_told_apart_by_test_patients(better_first: bool) -> None:
    """The ranking, by test patients, may give the better first."""
    worse, better = Stub("a", (1.0, 1.0), 0.0), Stub("b", (1.0, 1.0), 1.0)
    assert chosen(*((better, worse) if better_first else (worse, better))) == ["a", "a"]
