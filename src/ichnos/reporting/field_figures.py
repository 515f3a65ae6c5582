"""Figures of a comparison of many recipes: AUC with intervals, ROC curves, validation by epoch."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ichnos.evaluation import curves
from ichnos.progress import SILENT, Progress
from ichnos.reporting.level_curves import LEAST_IN_BIN
from ichnos.reporting.measured_recipe import MeasuredRecipe
from ichnos.reporting.style import BLUE, GREY, MODELS, VERMILION, Picture, drawn, panels, picture, styled, unit_square
from ichnos.subtypes import Subtype

_PER_ROW = 4

_DASHES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1, 2)), (0, (9, 3)), (0, (1, 1)), (0, (3, 1, 1, 1, 1, 1)))
"""Of lines in one panel, beside their colours: either tells them apart, also where one lies on another."""

_LINES: dict[str, dict[str, Any]] = {
    "training": {"color": BLUE, "linestyle": (0, (4, 2))},
    "validation": {"color": VERMILION},
}


def field_figures(measured: Sequence[MeasuredRecipe], progress: Progress = SILENT) -> tuple[Picture, ...]:
    """Those that can be drawn."""
    whole = [each for each in measured if each.auc("slices") is not None]
    of_any = [partial(figure, whole) for figure in (aucs, rocs, reliability)] if whole else []
    return drawn([*of_any, partial(epochs, measured)], progress)


def aucs(measured: Sequence[MeasuredRecipe]) -> Picture:
    """A line a recipe: slice and exam AUC of any hemorrhage, with intervals."""
    with styled():
        figure, grid = panels(1, 2, 5.0, 0.9 + 0.32 * len(measured))
        places = np.arange(len(measured))[::-1]
        for axes, level, colour in zip(grid[0], ("slices", "exams"), (BLUE, VERMILION), strict=True):
            for place, each in zip(places, measured, strict=True):
                tree = each.card[level]["classes"]["any"]["auc_mean_of_folds"]
                if tree["value"] is None:
                    continue
                if tree["low"] is not None:
                    axes.plot([tree["low"], tree["high"]], [place, place], color=colour, linewidth=2)
                axes.plot([tree["value"]], [place], "o", color=colour, markersize=6)
            axes.axvline(0.5, color=GREY, linewidth=0.8)
            axes.set_yticks(places, [each.name for each in measured] if level == "slices" else [""] * len(measured))
            axes.set_ylim(-0.6, len(measured) - 0.4)
            axes.set_xlabel("AUC of any hemorrhage")
            axes.set_title(level.capitalize())
        ends = [end for axes in grid[0] for end in axes.get_xlim()]
        for axes in grid[0]:
            axes.set_xlim(min(ends), max(ends))
        return picture(
            figure,
            "aucs",
            "AUC of any hemorrhage",
            "Mean of folds, with 95 % intervals by patient where there are any. The grey line is chance.",
        )


def rocs(measured: Sequence[MeasuredRecipe]) -> Picture:
    """Exams: a line a recipe, as many to a panel as there are colours."""
    groups = [measured[start : start + len(MODELS)] for start in range(0, len(measured), len(MODELS))]
    with styled():
        rows = -(-len(groups) // 2)
        figure, grid = panels(rows, min(2, len(groups)), 4.8, 4.6)
        places = [axes for row in grid for axes in row]
        for axes in places[len(groups) :]:
            axes.set_axis_off()
        for axes, group in zip(places, groups, strict=False):
            axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
            unit_square(axes, "False-positive rate (1 − specificity)", "Sensitivity")
            for colour, dashes, each in zip(MODELS, _DASHES, group, strict=False):
                table = each.of_classes("exams", (Subtype.ANY,))
                curve = curves.roc(table.probabilities[:, 0], table.labels[:, 0])
                x, y = ([], []) if curve is None else (curve.x, curve.y)
                axes.plot(x, y, color=colour, linestyle=dashes, label=each.name)
            axes.legend(loc="lower right", handlelength=3.2)
        return picture(
            figure,
            "rocs",
            "ROC curves of exams, any hemorrhage",
            "All folds together, by calibrated probabilities. The grey diagonal is chance.",
        )


def reliability(measured: Sequence[MeasuredRecipe]) -> Picture:
    """A panel a recipe: what was said of any hemorrhage beside what was so, before and after calibration."""
    with styled():
        rows = -(-len(measured) // _PER_ROW)
        columns = min(_PER_ROW, len(measured))
        figure, grid = panels(rows, columns, 2.9, 2.8)
        places = [axes for row in grid for axes in row]
        for axes in places[len(measured) :]:
            axes.set_axis_off()
        for axes, each in zip(places, measured, strict=False):
            axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
            unit_square(axes, "", "")
            for level, colour in (("slices", BLUE), ("exams", VERMILION)):
                table = each.of_classes(level, (Subtype.ANY,))
                for values, line in ((table.raw, (0, (4, 2))), (table.probabilities, "-")):
                    bins = curves.reliability(values[:, 0], table.labels[:, 0])
                    shown = bins.slices >= LEAST_IN_BIN
                    style = {"color": colour, "linestyle": line, "marker": "o", "markersize": 3.5, "linewidth": 1.3}
                    axes.plot(bins.predicted[shown], bins.observed[shown], **style)
            axes.set_title(each.name, fontsize=10)
        for row in grid:
            row[0].set_ylabel("Share with hemorrhage")
        for axes in places[: len(measured)][-columns:]:
            axes.set_xlabel("Mean probability given")
        return picture(
            figure,
            "reliability",
            "Reliability of any hemorrhage",
            "Slices (blue) and exams (orange), raw (dashed) and calibrated. On the grey diagonal a probability means "
            f"what it says. Ten bins of probability, those of {LEAST_IN_BIN} or more.",
        )


def epochs(measured: Sequence[MeasuredRecipe]) -> Picture:
    """A panel a stage: mean AUC of the validation patients by epoch, a line a fold."""
    stages = [(each, stage) for each in measured for stage in each.journals]
    with styled():
        rows = -(-len(stages) // _PER_ROW)
        figure, grid = panels(rows, min(_PER_ROW, len(stages)), 2.9, 2.4)
        places = [axes for row in grid for axes in row]
        for axes in places[len(stages) :]:
            axes.set_axis_off()
        for axes, (each, stage) in zip(places, stages, strict=False):
            _epochs(axes, each.journals[stage])
            axes.set_title(f"{each.name}\n{stage}" if stage else each.name, fontsize=10)
        for row in grid:
            row[0].set_ylabel("Mean AUC")
        for axes in places[: len(stages)][-_PER_ROW:]:
            axes.set_xlabel("Epoch")
        return picture(
            figure,
            "epochs",
            "Learning, by epoch",
            "Mean AUC over the classes: validation (orange) and training (blue, dashed), a line a fold.",
        )


def _epochs(axes: Axes, journals: Sequence[Sequence[Any]]) -> None:
    for journal in journals:
        for part, line in _LINES.items():
            known = [(e["epoch"], e[part]["mean_auc"]) for e in journal if e.get(part)]
            values = [np.nan if value is None else value for _, value in known]
            axes.plot([epoch for epoch, _ in known], values, linewidth=1.2, marker=".", **line)
    lowest = min([0.4, *(value for line in axes.get_lines() for value in np.asarray(line.get_ydata()) if value >= 0)])
    axes.set_ylim(lowest - 0.02, 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
