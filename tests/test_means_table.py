"""The table of means: every two and every three of some members, the best first."""

import importlib
import itertools
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from ichnos.predictions import Predictions
from ichnos.readout import logit, sigmoid
from ichnos.subtypes import Subtype

TOOLS = Path(__file__).parents[1] / "tools"
NAMES = ("one", "two", "other study")
CLASSES = (Subtype.SUBDURAL, Subtype.ANY)


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(TOOLS)
    return importlib.import_module("means_table")


def said(seed: int, noise: float) -> Predictions:
    """Of twelve exams with six slices each: the truth, and so much noise in the logits."""
    truth = np.random.default_rng(7)
    labels = truth.random((72, len(CLASSES))) < 0.1
    labels[:, -1] = labels[:, :-1].any(axis=1)
    exam = np.repeat([f"e{k:02}" for k in range(12)], 6)
    logits = 2.0 * labels - 1 + np.random.default_rng(seed).normal(0, noise, labels.shape)
    names = np.array([f"{k}" for k in range(72)])
    return Predictions(CLASSES, exam, exam, names, np.tile(np.arange(6) * 5.0, 12), sigmoid(logits), labels)


def folds() -> list[dict[str, Predictions]]:
    return [{name: said(10 * k + n, 2.0 + n) for n, name in enumerate(NAMES)} for k in range(2)]


def test_every_one_two_and_three_has_its_row(tool: ModuleType) -> None:
    rows = tool.means_of(folds()[:1])
    wanted = [set(group) for size in (1, 2, 3) for group in itertools.combinations(NAMES, size)]
    assert [set(row["members"]) for row in rows] == wanted
    assert all(len(row[level]) == 1 for row in rows for level in ("slices", "exams"))


def test_a_mean_is_measured_as_a_model_that_says_it(tool: ModuleType) -> None:
    two_of_them = [{name: fold[name] for name in ("one", "two")} for fold in folds()]
    measured = {tuple(row["members"]): row for row in tool.means_of(two_of_them)}
    joined = []
    for fold in folds():
        one, two = fold["one"], fold["two"]
        mean = sigmoid((logit(one.probabilities) + logit(two.probabilities)) / 2)
        joined.append({"both": Predictions(**(vars(one) | {"probabilities": mean}))})
    (alone,) = tool.means_of(joined)
    for level in ("slices", "exams"):
        assert len(alone[level]) == 2
        assert measured["one", "two"][level] == pytest.approx(alone[level])
        assert measured[("one",)][level] != pytest.approx(alone[level])


def test_the_best_mean_of_both_levels_stands_first(tool: ModuleType) -> None:
    means: list[dict[str, Any]] = [
        {"members": ["one"], "slices": [0.8, 0.9], "exams": [0.7, 0.9]},
        {"members": ["two", "other study"], "slices": [0.85, 0.85], "exams": [0.9, 0.8]},
    ]
    rows = tool.table({"means": means}).written()
    assert [[str(cell) for cell in row] for row in rows] == [
        ["`two`, other study", "0.850", "0.850", "0.850", "0.800 to 0.900"],
        ["`one`", "0.850", "0.800", "0.825", "0.700 to 0.900"],
    ]
