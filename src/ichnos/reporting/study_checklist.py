"""What CLAIM and TRIPOD+AI ask of a study by folds, or of many on the same folds, as far as the program knows it.

The guidelines and the form of an answer: ichnos.reporting.checklist.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from ichnos.counting import counted
from ichnos.recipe import AnyKind
from ichnos.reporting.asked_sensitivity import asked_of_folds, asked_words
from ichnos.reporting.checklist import (
    IN_THE_TABLES,
    NOT_UPDATED,
    ONE_SET,
    PREDICTORS,
    Item,
    demographics_words,
    left_to_the_author,
    subgroup_words,
)
from ichnos.reporting.field_gains import BESIDE, WORDS
from ichnos.reporting.folds import how_measured
from ichnos.reporting.recipe_words import (
    balance_words,
    by_words,
    epoch_words,
    exam_training_words,
    grouped,
    joined_words,
    network_words,
    road_words,
    training_words,
)
from ichnos.reporting.topics import Topic
from ichnos.reporting.unfitted import LACKING, Unfitted
from ichnos.subtypes import Subtype

Tree = Mapping[str, Any]


def left_of_study(items: Iterable[Item]) -> list[tuple[Topic, str]]:
    """Every topic that the answers of a study leave open, and what to say of it."""
    return left_to_the_author(items, _OF_A_STUDY)


_OF_A_STUDY = {
    Topic.HYPERPARAMETERS: "who chose those that are no part of this study, by what, and how many were tried",
    Topic.FAILURES: "which cases fail, and why; a run's surest errors are shown where it is evaluated",
    Topic.EXPLAINABILITY: "whether and how what models say was explained; a run's maps are shown where it is evaluated",
}
"""What else to say of a topic than an evaluation has it."""


def widest(cards: Mapping[str, Tree]) -> Tree:
    """Of several recipes' scorecards one that measured most: a recipe of positives measures fewer."""
    return max(cards.values(), key=lambda each: each["counts"]["slices"])


MISSING = (
    "no label is imputed: only sets of which every slice is labelled for every subtype are trained on; beyond an "
    "exam's ends its last slice stands in for a neighbour"
)


def answers_of_folds(card: Tree, recipe: AnyKind) -> list[Item]:
    """What the scorecard of `ichnos study folds` answers. recipe: the one that is in it."""
    return [
        *_data(card),
        *model_items({recipe.name: recipe}, {recipe.name: card}, {recipe.name: card["parameters"]}),
        *_measures({recipe.name: card}),
        Item(Topic.SUBGROUPS, subgroup_words(card)),
        Item(Topic.COMPARISON, "none: one procedure is measured"),
        *limits(card),
    ]


def answers_of_field(card: Tree, recipes: Mapping[str, AnyKind], cards: Mapping[str, Tree]) -> list[Item]:
    """What the scorecard of `ichnos study field` and those of its recipes (`cards`) answer."""
    most = widest(cards)
    parameters = {name: card["recipes"][name]["cost"]["parameters"] for name in recipes}
    return [
        *_data(most),
        *model_items(recipes, cards, parameters),
        *_measures(cards),
        Item(Topic.SUBGROUPS, _subgroups(card, cards)),
        Item(Topic.COMPARISON, _comparison(card)),
        *limits(card),
    ]


def _data(card: Tree) -> list[Item]:
    counts, folds = card["counts"], card["folds"]
    patients = _least_to_most([fold["test_patients"] for fold in folds])
    each = "test patients" if len(folds) == 1 else "test patients a fold"
    return [
        Item(Topic.DATA_SOURCES, f"{card['source']}, prepared set {card['set']}"),
        Item(
            Topic.DATA_FLOW,
            f"{counts['patients']:,} patients and {counts['exams']:,} exams in the set, {counts['slices']:,} slices "
            f"measured; {left_out_words(card)}; {IN_THE_TABLES}",
        ),
        Item(
            Topic.PARTITIONS,
            f"By patient, so that no one is in two parts: {patients} {each}{_others(card)}, split seed "
            f"{card['split_seed']}. " + " ".join(how_measured(card)),
        ),
        *_demographics(card),
        Item(Topic.MISSING, MISSING),
    ]


def _demographics(card: Tree) -> list[Item]:
    words = demographics_words(card)
    return [Item(Topic.DEMOGRAPHICS, words)] if words else []


def _others(card: Tree) -> str:
    """Who is not tested; nothing where the scorecard is from before it said so."""
    said = [f"{_least_to_most(card['parts'][part])} {do}" for part, do in _OTHERS.items() if "parts" in card]
    return f" ({', '.join(said)})" if said else ""


_OTHERS = {"validation": "validate", "train": "train"}


def _least_to_most(counts: Sequence[int]) -> str:
    return f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"


def left_out_words(card: Tree) -> str:
    """What preparing the set has left out, by reason."""
    reasons = card.get("skipped", [])
    if not reasons:
        return "none left out when it was prepared"
    said = "; ".join(f"{each['reason']}: {each['count']:,}" for each in reasons)
    return f"left out when it was prepared: {said}"


def model_items(recipes: Mapping[str, AnyKind], cards: Mapping[str, Tree], parameters: Mapping[str, int]) -> list[Item]:
    """What the recipes, by name, see, are and are trained by. cards: of each its versions and first_weights."""
    joined = {name: joined_words(recipe) for name, recipe in recipes.items()}
    several = "; ".join(f"{words} ({name})" for name, words in joined.items() if words)
    if len(recipes) == 1:
        several = next(iter(joined.values()))
    versions = next(iter(cards.values()))["versions"]
    kept = by_words(recipes, lambda stage: epoch_words(stage.fit), epoch_words)
    return [
        Item(Topic.PREDICTORS, PREDICTORS),
        Item(
            Topic.PREPROCESSING,
            f"from Hounsfield units at 512 × 512: {by_words(recipes, lambda s: road_words(s.input))}",
        ),
        Item(Topic.OUTCOME, f"labels of slices: {_outcomes(recipes)}; an exam has what any of its slices has"),
        Item(Topic.MODEL, f"{by_words(recipes, network_words)}; each recipe stands whole in scorecard.json"),
        Item(Topic.PARAMETERS, grouped({name: f"{n / 1e6:.2f} M" for name, n in parameters.items()})),
        Item(Topic.FIRST_WEIGHTS, grouped({name: _first_weights(each) for name, each in cards.items()})),
        Item(Topic.TRAINING, by_words(recipes, training_words, exam_training_words)),
        Item(Topic.IMBALANCE, by_words(recipes, balance_words)),
        Item(
            Topic.SELECTION,
            f"the epoch kept is that of {kept}; always of the validation patients, never of those measured",
        ),
        Item(Topic.ENSEMBLING, several or "none: one model"),
        Item(Topic.SOFTWARE, ", ".join(f"{name} {number}" for name, number in versions.items())),
    ]


def _outcomes(recipes: Mapping[str, AnyKind]) -> str:
    named = {c for recipe in recipes.values() for c in recipe.classes}
    return ", ".join(c.display_name.lower() for c in Subtype if c in named)


def _first_weights(card: Tree) -> str:
    tree = card["first_weights"]
    if "remark" in tree:
        return tree["remark"]
    told: dict[str, list[str]] = {}
    for stage, each in tree.items():
        told.setdefault(each["remark"], []).append(stage)
    return ", ".join(f"{', '.join(stages)}: {remark}" for remark, stages in told.items())


def _measures(cards: Mapping[str, Tree]) -> list[Item]:
    """cards: of each recipe, by name; what they measure is said of the one that measured most."""
    card = widest(cards)
    levels = card["levels"]
    measures = "AUC, average precision, sensitivity, specificity, PPV, NPV, F1, exact match"
    loss = levels["slice"]["kaggle_loss"]["after"]["value"]
    prevalence = ", ".join(
        f"{100 * share:g} % ({Subtype(c).display_name.lower()})" for c, share in card["prevalence"].items()
    )
    of = "slices, exams and patients" if "patient" in levels else "slices"
    return [
        Item(Topic.OUTPUTS, f"a probability of each class for {of}; calls at two operating points"),
        Item(
            Topic.THRESHOLDS,
            f"set on each fold's validation patients: at least {asked_words(map(asked_of_folds, cards.values()))} "
            f"sensitivity there, and the largest sensitivity + specificity{_but_not(cards, 'at_half', '; 0.5')}",
        ),
        Item(
            Topic.MEASURES,
            measures
            + ("" if loss is None else ", Kaggle's weighted log loss")
            + f", of {of}; PPV and NPV "
            + (f"at a prevalence of {prevalence} too" if prevalence else "as common as hemorrhage is in this set"),
        ),
        Item(
            Topic.CALIBRATION,
            "a temperature and a shift a class, and a slope and an intercept for exams, fitted on validation patients; "
            "Brier score and expected calibration error with intervals, and reliability diagrams, before and after"
            + _but_not(cards, "uncalibrated", "; not fitted"),
        ),
        Item(
            Topic.UNCERTAINTY,
            f"95 % percentile intervals, {card['resamples']:,} resamples of patients, seed {card['bootstrap_seed']}; "
            "they hold the trained models as they are: training again would add to them",
        ),
    ]


def _but_not(cards: Mapping[str, Tree], what: Literal["at_half", "uncalibrated"], words: str) -> str:
    """The exceptions of the recipes, by name; nothing where there are none."""
    told = {name: getattr(Unfitted.of_folds(card), what) or "none" for name, card in cards.items()}
    return f"{words} {LACKING}: {grouped(told)}" if set(told.values()) != {"none"} else ""


def _subgroups(card: Tree, cards: Mapping[str, Tree]) -> str:
    """By what exams were parted, and of which recipes where not of all: one of positives alone judges no exams."""
    parted = {name: told for name, told in cards.items() if told.get("subgroups")}
    if not parted:
        asked = card.get("by")
        return f"asked for by {asked}, and no recipe here judges exams" if asked else subgroup_words(card)
    words = subgroup_words(next(iter(parted.values())))
    return words if len(parted) == len(cards) else f"{words} ({', '.join(parted)})"


def _comparison(card: Tree) -> str:
    steps = sum(1 for step in card["steps"] if not step["why_not"])
    if not steps:
        return "none"
    return (
        f"paired differences of AUC on the same patients, {counted(steps, 'step')}: intervals and p by "
        f"{card['gain_resamples']:,} resamples of patients, Holm's correction over all {card['gain_tests']} p that are "
        "printed; no p where fewer than ten patients have or lack the class; differences of "
        f"{', '.join(WORDS[name] for name in BESIDE)} and exact match have intervals and no p"
    )


def limits(card: Tree) -> list[Item]:
    """What every study is of, and by what it was made."""
    made = f"; made by `{card['command']}`" if card.get("command") else ""
    return [
        Item(Topic.EXTERNAL, "none: all patients are of the set that was trained on"),
        Item(Topic.OTHER_DATA, ONE_SET),
        Item(Topic.UPDATING, NOT_UPDATED),
        Item(Topic.CODE, f"ichnos {card['versions']['ichnos']}, Apache-2.0{made}"),
    ]
