"""Figures of a comparison of two models: their ROC curves on the same axes, and every difference with its interval."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from ichnos.evaluation import curves
from ichnos.evaluation.paired_cases import Cases
from ichnos.reporting.comparison_tables import SIDES
from ichnos.reporting.evaluation_tables import LEVELS, POINTS, mark
from ichnos.reporting.style import BLUE, GREY, VERMILION, Picture, panels, picture, styled, unit_square
from ichnos.subtypes import Subtype

Tree = Mapping[str, Any]

_PER_ROW = 3

_SIDES: dict[str, dict[str, Any]] = {
    "first": {"color": BLUE, "linestyle": (0, (6, 2))},
    "second": {"color": VERMILION, "linestyle": "-"},
}
"""Colour and dash of each model: either is enough to tell them apart."""

_POINTS: dict[str, dict[str, Any]] = {
    "high_sensitivity": {"color": BLUE, "marker": "o"},
    "balanced": {"color": VERMILION, "marker": "s", "markerfacecolor": "white"},
}

_SCORES = {"auc": "AUC", "average_precision": "Average precision", "brier": "Brier score", "log_loss": "Log loss"}
_RATES = {"sensitivity": "Sensitivity", "specificity": "Specificity", "f1": "F1"}
_BLANK: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
"""Behind words that stand on a line."""

_LOWER_IS_BETTER = ("brier", "log_loss")


def rocs(cases: Cases, rows: Sequence[Tree], mapping: Tree) -> Picture:
    """A panel a class, a line a model. rows: of the same level, in the order of the panels."""
    with styled():
        columns = min(_PER_ROW, len(rows))
        figure, grid = panels(-(-len(rows) // columns), columns, 3.6, 3.5)
        places = [axes for line in grid for axes in line]
        for axes in places[len(rows) :]:
            axes.set_axis_off()
        for axes, row in zip(places, rows, strict=False):
            _roc(axes, cases, row, mapping)
        level = cases.level.value
        return picture(
            figure,
            f"rocs_{level}",
            f"ROC curves of {LEVELS[level]}",
            "The first model dashed, the second solid; in the legends AUC. The grey diagonal is chance. A class that "
            "has no positives, or no negatives, has no lines.",
        )


def _roc(axes: Axes, cases: Cases, row: Tree, mapping: Tree) -> None:
    c = Subtype(row["class"])
    k = cases.classes.index(c)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
    unit_square(axes, "False-positive rate", "Sensitivity")
    for side, scores in zip(SIDES, (cases.first, cases.second), strict=True):
        curve = curves.roc(scores[:, k], cases.labels[:, k])
        x, y = ([], []) if curve is None else (curve.x, curve.y)
        value = row[f"auc_{side}"]
        axes.plot(x, y, **_SIDES[side], label=f"{side} {'not defined' if value is None else f'{value:.3f}'}")
    axes.set_title(f"{c.display_name}{mark(c, mapping)}, {row['positives']:,} positive", fontsize=10)
    axes.legend(loc="lower right", handlelength=2.8)


def forest(level: str, rows: Sequence[Tree], mapping: Tree) -> Picture:
    """A panel a measure, a line a class: second less first, with its interval."""
    called = any(_points(row, rate)[point] for row in rows for rate in _RATES for point in POINTS)
    names = [(c.display_name + mark(c, mapping)) for c in (Subtype(row["class"]) for row in rows)]
    with styled():
        figure, grid = panels(2 if called else 1, len(_SCORES), 2.7, 0.95 + 0.36 * len(rows))
        for axes, measure in zip(grid[0], _SCORES, strict=True):
            _panel(axes, [{"balanced": _score(row, measure)} for row in rows], one=True)
            axes.set_title(_SCORES[measure], fontsize=10)
            axes.set_xlabel("← second better" if measure in _LOWER_IS_BETTER else "second better →")
        for axes, rate in zip(grid[1] if called else (), _RATES, strict=False):
            _panel(axes, [_points(row, rate) for row in rows])
            axes.set_title(_RATES[rate], fontsize=10)
            axes.set_xlabel("second better →")
        for line in grid:
            line[0].set_yticks(range(len(rows))[::-1], names)
        if called:
            _legend(grid[1][-1])
        return picture(
            figure,
            f"differences_{level}",
            f"Differences of {LEVELS[level]}, the second less the first",
            "Points and 95 % intervals on the same resamples of patients. The grey line is no difference: an interval "
            "that holds it shows none. “n.d.”: not defined, for the reason that stands in the tables. An open diamond "
            "has no interval, or one that tells nothing as all resamples agree. None is widened for their number.",
        )


def _panel(axes: Axes, rows: Sequence[Mapping[str, Tree | None]], *, one: bool = False) -> None:
    """rows: for each class from the top, by operating point; one: a measure that has no points."""
    axes.axvline(0, color=GREY, linewidth=0.8)
    for place, row in zip(range(len(rows))[::-1], rows, strict=True):
        if not any(row.values()):
            axes.annotate(
                "n.d.",
                (0.5, place),
                xycoords=("axes fraction", "data"),
                color=GREY,
                fontsize=9,
                ha="center",
                bbox=_BLANK,
                va="center",
            )
        for point, tree in row.items():
            if tree is not None:
                shift = 0.0 if one else {"high_sensitivity": 0.15, "balanced": -0.15}[point]
                _mark(axes, tree, place + shift, _POINTS["high_sensitivity" if one else point])
    axes.set_yticks(range(len(rows))[::-1], [""] * len(rows))
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.locator_params(axis="x", nbins=4)
    low, high = axes.get_xlim()
    reach = 1.1 * max(-low, high, 1e-3)
    axes.set_xlim(-reach, reach)


def _mark(axes: Axes, tree: Tree, place: float, style: dict[str, Any]) -> None:
    if tree["low"] is None or tree["low"] == tree["high"]:
        axes.plot([tree["value"]], [place], "D", color=style["color"], markerfacecolor="white", markersize=5)
        return
    axes.plot([tree["low"], tree["high"]], [place, place], color=style["color"], linewidth=1.6)
    axes.plot([tree["value"]], [place], linestyle="none", markersize=5.5, **style)


def _legend(axes: Axes) -> None:
    """Of the operating points, in the panel that no measure has."""
    axes.set_axis_off()
    for point, title in POINTS.items():
        axes.plot([], [], linewidth=1.6, markersize=5.5, **_POINTS[point], label=f"at the {title} point")
    axes.legend(loc="center left", handlelength=2.6)


def _score(row: Tree, measure: str) -> Tree | None:
    tree = row["difference"] if measure == "auc" else row["measures"][measure]["difference"]
    return None if tree["value"] is None else tree


def _points(row: Tree, rate: str) -> dict[str, Tree | None]:
    each = {point: row["measures"]["operating_points"][point][rate]["difference"] for point in POINTS}
    return {point: None if tree["value"] is None else tree for point, tree in each.items()}
