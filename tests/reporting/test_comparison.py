"""Figures and tables of a comparison: what stands in them is what was measured."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from ichnos.evaluation.intervals import Estimate
from ichnos.evaluation.level_comparison import compare_exact_match, compare_levels
from ichnos.evaluation.levels import Level
from ichnos.evaluation.paired_cases import Cases, StatedCalls, scored_cases
from ichnos.predictions import Predictions
from ichnos.readout import POINTS
from ichnos.reporting.comparison_figures import forest, rocs
from ichnos.reporting.comparison_tables import comparison_tables, together
from ichnos.subtypes import Subtype
from tests.evaluation.test_level_comparison import model

MAPPING = {"subdural": ["epidural", "subdural"]}


def called(table: Predictions, threshold: float) -> StatedCalls:
    calls = replace(table, probabilities=(table.probabilities >= threshold).astype(float))
    return StatedCalls(
        dict.fromkeys(POINTS, calls), {point: dict.fromkeys(table.classes, threshold) for point in POINTS}
    )


@pytest.fixture(scope="module")
def compared() -> tuple[Cases, list[dict[str, Any]]]:
    """Slices, any hemorrhage first."""
    first, second = model(0.5, 1, patients=16, exams=1), model(1.5, 2, patients=16, exams=1)
    stated = called(first, 0.4), called(second, 0.7)
    calls = {Level.SLICE: stated, Level.EXAM: stated}
    rows = compare_levels(first, second, called=calls, seed=0, resamples=50)
    return scored_cases(first, second, None)[0], [row.to_json() for row in reversed(rows) if row.level is Level.SLICE]


def test_every_difference_stands_at_its_place(
    compared: tuple[Cases, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, _file, **_: drawn.append(figure))
    _, rows = compared
    forest("slice", rows, MAPPING)
    panels = {axes.get_title(loc="left"): axes for axes in drawn[0].axes}
    assert [label.get_text() for label in panels["AUC"].get_yticklabels()] == ["Any hemorrhage", "Subdural †"]

    def marked(title: str) -> list[float]:
        """From the top."""
        lines = [line for line in panels[title].get_lines() if line.get_marker() != "None"]
        return [np.asarray(line.get_xdata()).item() for line in lines]

    assert marked("AUC") == [row["difference"]["value"] for row in rows]
    assert marked("Brier score") == [row["measures"]["brier"]["difference"]["value"] for row in rows]
    points = [row["measures"]["operating_points"][point] for row in rows for point in POINTS]
    assert marked("Sensitivity") == [point["sensitivity"]["difference"]["value"] for point in points]
    ends = [np.asarray(line.get_xdata()).tolist() for line in panels["F1"].get_lines() if line.get_marker() == "None"][
        1:
    ]
    assert ends == [[point["f1"]["difference"][end] for end in ("low", "high")] for point in points]


def test_a_panel_has_both_models_and_figures_are_drawn_the_same_twice(
    compared: tuple[Cases, list[dict[str, Any]]],
) -> None:
    cases, rows = compared
    made = [rocs(cases, rows, MAPPING) for _ in range(2)]
    assert made[0].svg == made[1].svg
    assert made[0].name == "rocs_slice"
    empty = replace(cases, labels=np.zeros_like(cases.labels))
    none = [row | {"auc_first": None, "auc_second": None, "positives": 0} for row in rows]
    assert rocs(empty, none, {}).svg, "a class without positives has no lines"
    assert {Subtype(row["class"]) for row in rows} == set(cases.classes)


@pytest.fixture(scope="module")
def tree() -> dict[str, Any]:
    """Of comparison.json what tables are made of; no thresholds are known of what the second says of exams."""
    first, second = model(0.5, 1, patients=16, exams=1), model(1.5, 2, patients=16, exams=1)
    both, one = (called(first, 0.4), called(second, 0.7)), (called(first, 0.4), StatedCalls(why_not="nobody said"))
    calls = {Level.SLICE: both, Level.EXAM: one}
    rows = [
        row.to_json()
        for row in compare_levels(first, second, called=calls, prevalence={Subtype.ANY: 0.06}, seed=0, resamples=50)
    ]
    for row in rows:
        known = {"first": 0.4, "second": 0.7 if row["level"] == "slice" else None}
        for at in row["measures"]["operating_points"].values():
            at["thresholds"] = known
    found = compare_exact_match(first, second, called=calls, seed=0, resamples=50)
    matches = {level.value: {point: each.to_json() for point, each in at.items()} for level, at in found.items()}
    return {"rows": rows, "mapping": {}, "prevalence": {"any": 0.06}, "exact_match": matches, "kaggle_loss": None}


def test_predictive_values_stand_beside_each_other_here_and_at_a_prevalence(tree: dict[str, Any]) -> None:
    tables = comparison_tables(tree)
    predictive = tables["slice"][-1]
    assert predictive.name == "slice_predictive"
    assert [column.title for column in predictive.columns[3::3]] == [
        f"{name}, first" for name in ("PPV", "NPV", "PPV at prevalence", "NPV at prevalence")
    ]
    whole, subdural = predictive.rows[0], predictive.rows[2]
    measures = next(row for row in tree["rows"] if (row["level"], row["class"]) == ("slice", "any"))["measures"]
    at = measures["operating_points"]["high_sensitivity"]
    for place, name in enumerate(("ppv", "npv", "ppv_at_prevalence", "npv_at_prevalence")):
        first, second, change = whole[3 + 3 * place : 6 + 3 * place]
        assert (first, second) == (at[name]["first"]["value"], at[name]["second"]["value"])
        assert isinstance(change, Estimate)
        assert change.to_json() == at[name]["difference"]
        assert change.interval is not None
    assert subdural[:2] == ("Subdural *", "high sensitivity")
    assert subdural[9:] == (None,) * 6, "its prevalence is not given"
    assert "as if so many of all slices had the class: any hemorrhage 6" in predictive.to_markdown().replace(
        "\u00a0", " "
    )
    elsewhere = comparison_tables(tree | {"prevalence": {}})["slice"][-1]
    assert len(elsewhere.columns) == 9
    exams = tables["exam"][-1].to_markdown()
    assert "PPV, NPV, F1 and exact match of the second: not defined (nobody said)." in exams
    assert any("ECE" in note for note in tables["slice"][1].notes), "why there is none"


def test_exact_match_is_one_row_a_level(tree: dict[str, Any]) -> None:
    (table,) = together(tree)
    assert [row[0] for row in table.rows] == ["slices", "exams"]
    wanted = tree["exact_match"]["slice"]["balanced"]
    first, second, change = table.rows[0][4:]
    assert (first, second) == (wanted["first"]["value"], wanted["second"]["value"])
    assert isinstance(change, Estimate)
    assert change.to_json() == wanted["difference"]
    assert "– (not defined (nobody said))" in table.to_markdown()
    assert "every class that is compared (2 of them)" in table.to_markdown()
    unknown = {point: dict.fromkeys(at, at["second"]) for point, at in tree["exact_match"]["exam"].items()}
    assert together(tree | {"exact_match": {"exam": unknown}}) == []
