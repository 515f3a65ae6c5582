"""What CLAIM and TRIPOD+AI ask of a curve by training patients, as far as the program knows it."""

from collections.abc import Mapping
from typing import Any

from ichnos.recipe import AnyKind
from ichnos.reporting.checklist import IN_THE_TABLES, Item
from ichnos.reporting.study_checklist import MISSING, left_out_words, limits, model_items
from ichnos.reporting.topics import Topic

Tree = Mapping[str, Any]


def answers_of_patients(card: Tree, recipe: AnyKind) -> list[Item]:
    """What the scorecard of `ichnos study patients` answers. recipe: the one that is in it."""
    return [
        *_data(card),
        *model_items({recipe.name: recipe}, {recipe.name: card}, {recipe.name: card["parameters"]}),
        *_measures(card),
        Item(Topic.COMPARISON, _comparison(card)),
        *limits(card),
    ]


def _data(card: Tree) -> list[Item]:
    counts = card["counts"]
    of_split = "the set's one split" if card["fold"] is None else f"fold {card['fold']} of {card['folds']}"
    parts = ", ".join(
        f"{counts[part]['patients']:,} to {what}"
        for part, what in (("train", "learn from"), ("validation", "choose by"), ("test", "measure on"))
    )
    points = ", ".join(f"{point['patients']:,}" for point in card["points"])
    return [
        Item(Topic.DATA_SOURCES, f"{card['source']}, prepared set {card['set']}"),
        Item(
            Topic.DATA_FLOW,
            f"{counts['patients']:,} patients and {counts['exams']:,} exams in the set, {counts['slices']:,} slices "
            f"measured; {left_out_words(card)}; {IN_THE_TABLES}",
        ),
        Item(
            Topic.PARTITIONS,
            f"By patient, so that no one is in two parts: {parts}; {of_split}, split seed {card['split_seed']}. Of the "
            f"training patients nested, stratified shares of {points} are learnt from, drawn by seed {card['seed']}.",
        ),
        Item(Topic.MISSING, MISSING),
    ]


def _measures(card: Tree) -> list[Item]:
    levels = ", ".join(f"{level}s" for level in card["levels"])
    return [
        Item(Topic.OUTPUTS, f"a probability of each class for {levels}"),
        Item(Topic.THRESHOLDS, "none: AUC needs no threshold"),
        Item(Topic.MEASURES, f"AUC of each class and their mean, of {levels}"),
        Item(
            Topic.CALIBRATION,
            "not measured; each run's readout is fitted on the validation patients, as `ichnos study folds` fits it",
        ),
        Item(
            Topic.UNCERTAINTY,
            f"95 % percentile intervals, {card['resamples']:,} resamples of test patients, seed "
            f"{card['bootstrap_seed']}; they hold the trained runs as they are: other patients to learn from, or "
            "training again, would add to them",
        ),
    ]


def _comparison(card: Tree) -> str:
    tested = (
        f"Holm's correction over all {card['tests']} p printed, none where fewer than ten patients have or lack "
        "the class"
        if card["tests"]
        else "no p, as fewer than ten patients have or lack each class"
    )
    return (
        "the largest point less each smaller one, paired on the same test patients: intervals by "
        f"{card['resamples']:,} resamples of patients; {tested}"
    )
