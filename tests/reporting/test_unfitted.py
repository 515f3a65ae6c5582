"""What a readout lacks is said in words: which classes, in which folds, and nothing where nothing lacks."""

from functools import cache
from typing import Any

import numpy as np

from ichnos import recipes
from ichnos.evaluation.readout import fit_readout
from ichnos.predictions import Predictions
from ichnos.reporting.field import _unfitted
from ichnos.reporting.study_checklist import answers_of_field, answers_of_folds
from ichnos.reporting.unfitted import LACKING, Unfitted
from ichnos.subtypes import CLASSES, Subtype
from tests.reporting.test_study_checklist import by_topic, card


@cache
def _without_subdural() -> tuple[str, ...]:
    """The notes of a readout that was fitted on slices without it."""
    rng = np.random.default_rng(0)
    labels = rng.random((60, 6)) < 0.3
    labels[:6], labels[30:] = True, False
    labels[:, CLASSES.index(Subtype.SUBDURAL)] = False
    labels[:, CLASSES.index(Subtype.ANY)] = labels[:, : CLASSES.index(Subtype.ANY)].any(axis=1)
    names = np.array([f"e{k // 3:02d}" for k in range(60)])
    given = np.clip(0.7 * labels + 0.3 * rng.random((60, 6)), 0.01, 0.99)
    slices = np.array([f"s{k}" for k in range(60)])
    table = Predictions(CLASSES, names, names, slices, np.arange(60.0) % 3, given, labels)
    return tuple(fit_readout(table).report["notes"])


def notes_without(*absent: Subtype) -> list[str]:
    """As a readout has them that was fitted on slices without these classes."""
    return [note.replace("subdural", c.value) for c in absent for note in _without_subdural()]


def told(*folds: list[str]) -> dict[str, Any]:
    whole = card("reader", folds=len(folds))
    whole["levels"]["slice"]["classes"] = {c.value: {} for c in CLASSES}
    for fold, notes in zip(whole["folds"], folds, strict=True):
        fold["notes"] = notes
    return whole


def test_a_class_that_validation_lacks_is_named_with_its_folds() -> None:
    lacking = notes_without(Subtype.SUBDURAL)
    assert len(lacking) == 3, "a temperature, and thresholds of slices and of exams"
    several = Unfitted.of_folds(told(lacking, notes_without(), notes_without(Subtype.EPIDURAL, Subtype.SUBDURAL)))
    assert several.uncalibrated == "epidural (fold 2), subdural (folds 0 and 2)"
    assert several.at_half == f"of slices and exams for {several.uncalibrated}"
    assert several.sentences == [
        f"Thresholds of 0.5 that nobody chose, {LACKING}: {several.at_half}.",
        f"Not calibrated, {LACKING}: {several.uncalibrated}.",
    ]
    assert Unfitted.of_folds(told(lacking)).uncalibrated == "subdural", "one split has no folds to name"
    assert Unfitted.of_folds(told(notes_without(), notes_without())).sentences == []


def test_thresholds_of_exams_alone_and_a_silent_network_are_told_apart() -> None:
    notes = ["any: exam thresholds of 0.5, as not both", "any: never fires: before calibration"]
    thresholds, silent = Unfitted.of_folds(told(notes, [])).sentences
    assert thresholds.endswith(": of exams for any hemorrhage (fold 0).")
    assert silent.startswith("The network never fires (fold 0)")


def test_a_class_that_is_not_measured_is_not_told_of() -> None:
    """A recipe of positives measures no `any`, which its validation slices always have."""
    whole = told(["any: no temperature, as not both", "any: slice thresholds of 0.5, as not both"])
    del whole["levels"]["slice"]["classes"]["any"]
    assert Unfitted.of_folds(whole).sentences == []


def test_the_answers_for_a_manuscript_name_the_exception() -> None:
    lacking, whole = notes_without(Subtype.SUBDURAL), notes_without()
    recipe = recipes.find("reader").recipe
    items = by_topic(answers_of_folds(told(whole, lacking), recipe))
    assert items["Thresholds"].endswith(f"; 0.5 {LACKING}: of slices and exams for subdural (fold 1)")
    assert items["Calibration"].endswith(f"; not fitted {LACKING}: subdural (fold 1)")
    assert LACKING not in "".join(by_topic(answers_of_folds(told(whole, whole), recipe)).values())


def test_a_field_says_once_what_all_recipes_lack_and_of_whom_what_some_do() -> None:
    lacking, whole = notes_without(Subtype.SUBDURAL), notes_without()
    both = {"reader": told(whole, lacking), "cascade": told(whole, lacking)}
    assert _unfitted(both) == Unfitted.of_folds(both["reader"]).sentences
    one = both | {"cascade": told(whole, whole)}
    assert [sentence.split(":")[0] for sentence in _unfitted(one)] == ["reader", "reader"]
    chosen = {name: recipes.find(name).recipe for name in one}
    study = {
        "recipes": {name: {"cost": {"parameters": 1}} for name in one},
        "steps": [],
        "gain_resamples": 1,
        "gain_tests": 0,
        "versions": {"ichnos": "0.1.0"},
    }
    thresholds = by_topic(answers_of_field(study, chosen, one))["Thresholds"]
    assert thresholds.endswith("of slices and exams for subdural (fold 1) (reader); none (cascade)")
