"""The figure of a curve by patients: test AUC against the patients that were learnt from."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from ichnos.reporting.style import BLUE, GREEN, GREY, VERMILION, Picture, panels, picture, styled
from ichnos.subtypes import CLASSES, Subtype

Tree = Mapping[str, Any]

_PER_ROW = 4

_LINES: dict[str, dict[str, Any]] = {
    "slice": {"color": BLUE, "linestyle": "-", "marker": "o"},
    "exam": {"color": VERMILION, "linestyle": (0, (5, 2)), "marker": "s"},
    "patient": {"color": GREEN, "linestyle": (0, (2, 1.5)), "marker": "^"},
}
"""Colour, dash and mark of each level: any of them is enough to tell them apart."""

_ASIDE = 0.04
"""Levels stand beside each other at a point, by so large a share of its patients, so that their intervals are seen."""


def curve_names(card: Tree) -> list[str]:
    """The mean, then what is measured: any hemorrhage first."""
    measured = next(iter(card["levels"].values()))["classes"]
    ordered = (Subtype.ANY, *(c for c in CLASSES if c is not Subtype.ANY))
    return ["mean", *(c.value for c in ordered if c.value in measured)]


def curve_title(name: str) -> str:
    """What a panel or a row is of."""
    return "Mean of the classes" if name == "mean" else Subtype(name).display_name


def patients_figure(card: Tree) -> Picture:
    """A panel for the mean and for each class: a line a level, with 95 % intervals."""
    names = curve_names(card)
    with styled():
        rows = -(-len(names) // _PER_ROW)
        figure, grid = panels(rows, min(_PER_ROW, len(names)), 2.9, 2.8)
        places = [axes for row in grid for axes in row]
        for axes in places[len(names) :]:
            axes.set_axis_off()
        drawn = places[: len(names)]
        for axes, name in zip(drawn, names, strict=True):
            _panel(axes, card, name)
            axes.set_title(curve_title(name), fontsize=10)
        lowest = min(axes.get_ylim()[0] for axes in drawn)
        for axes in drawn:
            axes.set_ylim(max(-0.02, min(0.45, lowest)), 1.02)
        for row in grid:
            row[0].set_ylabel("Test AUC")
        for axes in drawn[-_PER_ROW:]:
            axes.set_xlabel("Training patients")
        handles, labels = drawn[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        return picture(
            figure,
            "auc_by_patients",
            "Test AUC by the patients that were learnt from",
            "The axis of patients is logarithmic. Bars: 95 % intervals by the bootstrap over test patients, where "
            "there are any; they hold the runs as they are. "
            + ("Small marks are single runs, the line is their mean. " if card["repeats"] > 1 else "")
            + "The grey line is chance."
            + (
                " Levels stand a little beside each other so that all bars are seen." if len(card["levels"]) > 1 else ""
            ),
        )


def _panel(axes: Axes, card: Tree, name: str) -> None:
    patients = [point["patients"] for point in card["points"]]
    axes.set_xscale("log")
    axes.axhline(0.5, color=GREY, linewidth=0.8)
    for k, (level, tree) in enumerate(card["levels"].items()):
        style = _LINES[level]
        aside = 1 + _ASIDE * (k - (len(card["levels"]) - 1) / 2)
        told = [point[name] for point in tree["points"]]
        known = [(n * aside, each) for n, each in zip(patients, told, strict=True) if each["auc"]["value"] is not None]
        axes.plot([n for n, _ in known], [each["auc"]["value"] for _, each in known], label=f"{level}s", **style)
        for n, each in known:
            if each["auc"]["low"] is not None:
                axes.plot([n, n], [each["auc"]["low"], each["auc"]["high"]], color=style["color"], linewidth=1.1)
            if card["repeats"] > 1:
                axes.plot([n] * len(each["runs"]), each["runs"], style["marker"], color=style["color"], markersize=2)
    axes.set_xlim(min(patients) / 1.2, max(patients) * 1.2)
    axes.xaxis.set_major_locator(FixedLocator(patients))
    axes.set_xticklabels([f"{n:,}" for n in patients])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
