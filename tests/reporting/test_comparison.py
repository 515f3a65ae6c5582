"""Figures of a comparison: what stands in them is what was measured."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from ichnos.evaluation.level_comparison import compare_levels
from ichnos.evaluation.levels import Level
from ichnos.evaluation.paired_cases import Cases, StatedCalls, scored_cases
from ichnos.predictions import Predictions
from ichnos.readout import POINTS
from ichnos.reporting.comparison_figures import forest, rocs
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
