"""No item of a guideline is lost: each belongs to a topic, and every report answers that or leaves it to the author."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from ichnos import recipes
from ichnos.reporting.checklist import Item, answers, left_to_the_author
from ichnos.reporting.guidelines import CLAIM, TRIPOD_AI
from ichnos.reporting.patients_checklist import answers_of_patients
from ichnos.reporting.rendering import environment
from ichnos.reporting.study_checklist import answers_of_field, answers_of_folds, left_of_study
from ichnos.reporting.topics import Topic
from tests.reporting.test_checklist import card as evaluated
from tests.reporting.test_study_checklist import NAMES, card, field_card

LETTERS = {3: "abc", 5: "ab", 6: "abc", 8: "abc", 9: "abc", 12: "abcdefg", 18: "abcdef", 20: "abc", 23: "ab", 27: "abc"}
"""The items of TRIPOD+AI that have parts."""

Lists = tuple[list[Item], list[tuple[Topic, str]]]


def patients_card() -> dict[str, Any]:
    counts = {part: {"patients": 9} for part in ("train", "validation", "test")}
    told = card("reader") | {"fold": None, "seed": 0, "tests": 0, "points": [{"patients": 4}, {"patients": 9}]}
    return told | {"counts": told["counts"] | counts}


def evaluation(external: bool, errors: int | None) -> Lists:
    items = answers(evaluated() | {"external": external}, errors)
    return items, left_to_the_author(items)


def folds() -> Lists:
    items = answers_of_folds(card("reader"), recipes.find("reader").recipe)
    return items, left_of_study(items)


def field() -> Lists:
    chosen = {name: recipes.find(name).recipe for name in NAMES}
    items = answers_of_field(field_card(), chosen, {name: card(name) for name in NAMES})
    return items, left_of_study(items)


def patients() -> Lists:
    items = answers_of_patients(patients_card(), recipes.find("reader").recipe)
    return items, left_of_study(items)


REPORTS: dict[str, Callable[[], Lists]] = {
    "evaluate, another set": lambda: evaluation(True, None),
    "evaluate, held-out patients": lambda: evaluation(False, 2),
    "study folds": folds,
    "study field": field,
    "study patients": patients,
}


def test_both_guidelines_are_whole() -> None:
    assert list(CLAIM) == [str(number) for number in range(1, 45)]
    numbers = [f"{number}{letter}" for number in range(1, 28) for letter in LETTERS.get(number, [""])]
    assert list(TRIPOD_AI) == numbers
    assert len(numbers) == 52


def test_every_item_has_a_topic_and_no_topic_an_item_that_is_not_there() -> None:
    assert {number for topic in Topic for number in topic.claim} == set(CLAIM)
    assert {number for topic in Topic for number in topic.tripod} == set(TRIPOD_AI)
    assert all(topic.claim or topic.tripod for topic in Topic)


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_every_report_answers_each_item_or_leaves_it_to_the_author(report: Callable[[], Lists]) -> None:
    items, left = report()
    assert {item.topic for item in items} | {topic for topic, _ in left} == set(Topic)
    assert all(item.answer for item in items)
    assert all(what for _, what in left)


@pytest.mark.parametrize("page", ["parts.md.j2", "parts.html.j2"])
@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_every_item_stands_on_the_page_by_its_number(report: Callable[[], Lists], page: str) -> None:
    items, left = report()
    macro = {"parts.md.j2": "checklist", "parts.html.j2": "show_checklist"}[page]
    words = f"{{% from '{page}' import {macro} %}}{{{{ {macro}(items, left) }}}}"
    table = environment(html="html" in page).from_string(words).render(items=items, left=left)
    shown = re.sub(r' title="[^"]*"', "", table)
    printed = {"CLAIM": set[str](), "TRIPOD+AI": set[str]()}
    for guideline, numbers in re.findall(r"(CLAIM|TRIPOD\+AI)\s(\d+[a-g]?(?:, \d+[a-g]?)*)", shown):
        printed[guideline] |= set(numbers.split(", "))
    assert printed == {"CLAIM": set(CLAIM), "TRIPOD+AI": set(TRIPOD_AI)}


def test_a_topic_tells_by_which_items_it_is_asked() -> None:
    assert Topic.DATA_SOURCES.asked_by == "CLAIM 7; TRIPOD+AI 5a"
    assert Topic.IMBALANCE.asked_by == "TRIPOD+AI 13"
    assert Topic.IMBALANCE.asked == "TRIPOD+AI 13: class imbalance"


def test_what_no_report_measures_is_left_to_the_author() -> None:
    for report in REPORTS.values():
        left = dict(report()[1])
        assert {Topic.ROBUSTNESS, Topic.FAIRNESS, Topic.DESIGN, Topic.ACQUISITION, Topic.HYPERPARAMETERS} <= set(left)
    for report in (folds, field, patients):
        assert Topic.EXPLAINABILITY in dict(report()[1])
    assert Topic.OTHER_DATA in dict(evaluation(True, None)[1])
    assert Topic.OTHER_DATA not in dict(evaluation(False, None)[1])
