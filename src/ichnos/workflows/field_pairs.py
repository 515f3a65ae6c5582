"""Recipes of a comparison against each other: what each step gains, how far each is behind the best."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichnos.evaluation.calls import AS_FOUND, Prevalence
from ichnos.evaluation.fold_comparison import FoldGain, FoldSide, compare_sides
from ichnos.evaluation.levels import Level
from ichnos.evaluation.multiplicity import holm
from ichnos.evaluation.paired import Called, Paired, paired_exact_match, paired_kaggle_loss
from ichnos.evaluation.resampling import PatientResamples
from ichnos.reporting.measured_recipe import MeasuredRecipe
from ichnos.subtypes import CLASSES, Subtype
from ichnos.workflows.measured import BOOTSTRAP_SEED

Tree = dict[str, Any]

LEVELS = {"slices": Level.SLICE, "exams": Level.EXAM, "patients": Level.PATIENT}

RESAMPLES = 10_000
"""Of differences: the least p that so many can show, 2 in 10,001, is below 0.05 in a family of up to 250; with 1,000 no
more than 25 could be corrected and any of them still be told from chance."""


class Pairs:
    """Compares recipes. Each is measured once in the resamples, however many others it is compared with.

    prevalence: where predictive values are wanted besides the set's own.
    """

    def __init__(self, prevalence: Prevalence = AS_FOUND) -> None:
        self._prevalence = prevalence
        self._drawn: dict[bytes, PatientResamples] = {}
        self._sides: dict[tuple[str, str, tuple[Subtype, ...]], FoldSide] = {}

    def gains(self, first: MeasuredRecipe, second: MeasuredRecipe, level: str) -> list[FoldGain]:
        """Of every class that both name."""
        shared = tuple(c for c in CLASSES if c in first.reported and c in second.reported)
        return compare_sides(self._side(first, level, shared), self._side(second, level, shared))

    def exact_match(
        self, first: MeasuredRecipe, second: MeasuredRecipe, level: str, classes: Sequence[Subtype]
    ) -> dict[str, Paired]:
        """Of all these classes together, by operating point."""
        one, two = (each.of_classes(level, classes) for each in (first, second))
        drawn = self._resamples(one.patient)
        return paired_exact_match((Called(one.called), Called(two.called)), one.labels, drawn)

    def kaggle_loss(self, first: MeasuredRecipe, second: MeasuredRecipe, classes: Sequence[Subtype]) -> Paired:
        """Of slices; not defined unless these are all six classes."""
        one, two = (each.of_classes("slices", classes) for each in (first, second))
        drawn = self._resamples(one.patient)
        return paired_kaggle_loss(one.probabilities, two.probabilities, one.labels, classes, drawn)

    def _side(self, each: MeasuredRecipe, level: str, shared: tuple[Subtype, ...]) -> FoldSide:
        key = (each.name, level, shared)
        if key not in self._sides:
            table = each.of_classes(level, shared)
            self._sides[key] = FoldSide.of(table, shared, self._resamples(table.patient), self._prevalence)
        return self._sides[key]

    def _resamples(self, patient: NDArray[np.str_]) -> PatientResamples:
        """Slices and exams of the same patients share what was drawn: it is large where they are many."""
        names, units = np.unique(patient, return_inverse=True)
        key = names.tobytes()
        if key not in self._drawn:
            self._drawn[key] = PatientResamples.draw(patient, BOOTSTRAP_SEED, RESAMPLES)
        return PatientResamples(units.astype(np.intp), self._drawn[key].weights)


def gains_of_step(second: MeasuredRecipe, first: MeasuredRecipe, pairs: Pairs) -> Tree:
    """What the second has gained over the first, where both were measured on the same."""
    step: Tree = {
        "recipe": second.name,
        "against": first.name,
        "gains": {},
        "measures": {},
        "exact_match": {},
        "kaggle_loss": None,
        "why_not": None,
    }
    if second.recipe.population != first.recipe.population:
        return step | {"why_not": "they are of different slices: one of positives alone, or without some subtype"}
    for level in compared_levels(first):
        gains = pairs.gains(first, second, level)
        step["gains"][level] = {gain.subtype.value: gain.to_json() for gain in gains}
        classes = _measured(first, second, level)
        if not classes:
            continue
        step["measures"][level] = {g.subtype.value: g.measures.to_json() for g in gains if g.subtype in classes}
        match = pairs.exact_match(first, second, level, classes)
        step["exact_match"][level] = {point: each.to_json() for point, each in match.items()}
        if level == "slices":
            step["kaggle_loss"] = pairs.kaggle_loss(first, second, classes).to_json()
    return step


def _measured(first: MeasuredRecipe, second: MeasuredRecipe, level: str) -> tuple[Subtype, ...]:
    """The classes that both recipes' own scorecards measure at a level: of positives alone no `any`, and no exams."""
    trees = [each.card["levels"].get(LEVELS[level].value, {"classes": {}}) for each in (first, second)]
    return tuple(c for c in CLASSES if all(tree["classes"].get(c.value, {}).get("labelled") for tree in trees))


def compared_levels(measured: MeasuredRecipe) -> list[str]:
    """The levels of paired differences: patients where some have several exams, else they are the exams."""
    several = len(measured.judged["patients"].patient) < len(measured.judged["exams"].patient)
    return [level for level in LEVELS if level != "patients" or several]


def ranked(measured: Sequence[MeasuredRecipe]) -> list[MeasuredRecipe]:
    """The recipes of all slices, from the best in exams with any hemorrhage down."""
    ranked = [each for each in measured if each.recipe.population.slices == "all" and each.auc("exams") is not None]
    return sorted(ranked, key=lambda each: each.auc("exams") or 0.0, reverse=True)


def ranking_of(ranked: Sequence[MeasuredRecipe], pairs: Pairs, advance: Callable[[], None]) -> Tree:
    """How far the others are behind the best. advance: called after each of them."""
    if not ranked:
        return {"of": "exams", "class": Subtype.ANY.value, "rows": []}
    best, *others = ranked
    rows: list[Tree] = [{"recipe": best.name, "difference": None}]
    for each in others:
        (gain,) = (g for g in pairs.gains(best, each, "exams") if g.subtype is Subtype.ANY)
        rows.append({"recipe": each.name} | gain.to_json())
        advance()
    correct([row["difference"] for row in rows[1:]])
    return {"of": "exams", "class": Subtype.ANY.value, "rows": rows}


def correct(differences: Sequence[Tree]) -> None:
    """Lay Holm's p beside each one's own: all of these are one family."""
    corrected = holm([each["bootstrap_p"] for each in differences])
    for each, p in zip(differences, corrected, strict=True):
        each["holm_p"] = p
