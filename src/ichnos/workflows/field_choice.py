"""What choosing among recipes is worth: each fold takes the one that its own validation patients like best."""

from collections.abc import Sequence
from typing import Any

from ichnos.evaluation.folds import OutOfFold, mean_of_folds
from ichnos.evaluation.resampling import PatientResamples
from ichnos.reporting.measured_recipe import MeasuredRecipe
from ichnos.subtypes import Subtype
from ichnos.workflows.measured import BOOTSTRAP_SEED

Tree = dict[str, Any]

_LEVELS = ("slices", "exams")


def choice_of_folds(recipes: Sequence[MeasuredRecipe]) -> Tree:
    """Any hemorrhage where the choice is nested too: {"folds": [{"recipe", "inner", "slices", "exams"}], "slices",
    "exams", "why_not"}.

    In each fold the recipe with the largest inner score, the mean of its validation AUC of slices and exams in that
    fold (of equals the first by name, as `recipes` may come in the order of their test patients), is measured on that
    fold's test patients, who had no part in it. A choice by the mean over all folds has them in view: each patient
    validates in one fold and tests in another.
    """
    if len(recipes) < 2:
        return {"why_not": "there is nothing to choose from"}
    folds = len(recipes[0].card["folds"])
    chosen: list[tuple[MeasuredRecipe, float]] = []
    for k in range(folds):
        scores = [(each, each.inner_of_fold(k)) for each in recipes]
        known = [(each, score) for each, score in scores if score is not None]
        if not known:
            return {"why_not": f"of no recipe do fold {k}'s validation patients define an AUC"}
        chosen.append(min(known, key=lambda each: (-each[1], each[0].name)))
    rows: list[Tree] = [{"recipe": each.name, "inner": score} for each, score in chosen]
    tree: Tree = {"folds": rows, "why_not": None}
    for level in _LEVELS:
        parts = [each.of_classes(level, (Subtype.ANY,)).of_fold(k) for k, (each, _) in enumerate(chosen)]
        for row, part in zip(rows, parts, strict=True):
            row[level] = mean_of_folds(part, 0, PatientResamples.draw(part.patient, BOOTSTRAP_SEED, 1)).estimate.value
        joined = OutOfFold.joined(parts)
        drawn = PatientResamples.draw(joined.patient, BOOTSTRAP_SEED)
        tree[level] = mean_of_folds(joined, 0, drawn).estimate.to_json()
    return tree
