"""ROC, precision-recall and reliability of one level: a line a class."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from ichnos.evaluation import curves
from ichnos.evaluation.levels import Judged
from ichnos.reporting.evaluation_tables import LEVELS, NOTHING_MAPPED, ClassMapping, Tree, mapping_words, mark
from ichnos.reporting.style import CLASS_LINES, GREY, Picture, panels, picture, styled, unit_square
from ichnos.subtypes import SUBTYPES, Subtype

LEAST_IN_BIN = 5
"""Of a bin: with fewer it says nothing of reliability and is not drawn."""


_CAPTION = (
    "One line a class, the same in all panels; in the legends AUC and average precision (AP). Grey diagonals: chance "
    "in the ROC panel; in the others a probability that means what it says. Reliability in ten bins of probability, "
    f"those of {LEAST_IN_BIN} {{}} or more. A class that is not defined has no line. "
    + ", ".join(f"{c.abbreviation}: {c.display_name.lower()}" for c in SUBTYPES)
    + "."
)


def level_curves(
    level: str,
    judged: Judged,
    classes: Sequence[Subtype],
    labelled: Sequence[Subtype],
    tree: Tree,
    mapping: ClassMapping = NOTHING_MAPPED,
) -> Picture:
    """Four panels: ROC, precision-recall, reliability raw and calibrated. classes: the columns of `judged`.

    mapping: for a class of the model those of the set that it is measured against, where it is not itself.
    """
    drawn = [(k, c) for k, c in enumerate(classes) if c in labelled]
    names = {c: c.abbreviation + mark(c, mapping) for c in labelled}
    caption = f"{_CAPTION} † {mapping_words(mapping)}." if mapping else _CAPTION
    with styled():
        figure, grid = panels(2, 2, 4.6, 4.3)
        for axes, draw in zip((grid[0][0], grid[0][1]), (_roc, _precision_recall), strict=True):
            for k, c in drawn:
                draw(axes, judged, k, c, tree["classes"][c.value], names[c])
            axes.legend(loc="lower right" if draw is _roc else "best", handlelength=2.6)
        for axes, values, title in (
            (grid[1][0], judged.raw, "Reliability, raw"),
            (grid[1][1], judged.probabilities, "Reliability, calibrated"),
        ):
            for k, c in drawn:
                _reliability(axes, values[:, k], judged.labels[:, k], c)
            axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
            unit_square(axes, "Mean probability given", f"Share of {LEVELS[level]} with the class")
            axes.set_title(title)
        return picture(
            figure,
            f"curves_{level}",
            f"Curves of {LEVELS[level]}",
            caption.format(LEVELS[level]),
        )


def _roc(axes: Axes, judged: Judged, k: int, c: Subtype, row: Tree, name: str) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
    unit_square(axes, "False-positive rate (1 − specificity)", "Sensitivity")
    axes.set_title("ROC")
    _line(axes, curves.roc(judged.probabilities[:, k], judged.labels[:, k]), c, f"{name} AUC", row["auc"])


def _precision_recall(axes: Axes, judged: Judged, k: int, c: Subtype, row: Tree, name: str) -> None:
    unit_square(axes, "Recall (sensitivity)", "Precision (PPV)")
    axes.set_title("Precision-recall")
    curve = curves.precision_recall(judged.probabilities[:, k], judged.labels[:, k])
    _line(axes, curve, c, f"{name} AP", row["average_precision"], "steps-pre")


def _line(
    axes: Axes, curve: curves.Curve | None, c: Subtype, name: str, number: Tree, drawstyle: str = "default"
) -> None:
    x, y = ([], []) if curve is None else (curve.x, curve.y)
    said = "not defined" if number["value"] is None else f"{number['value']:.2f}"
    axes.plot(x, y, **CLASS_LINES[c], label=f"{name} {said}", drawstyle=drawstyle)


def _reliability(axes: Axes, values: NDArray[np.float64], positive: NDArray[np.bool_], c: Subtype) -> None:
    bins = curves.reliability(values, positive)
    shown = bins.slices >= LEAST_IN_BIN
    axes.plot(bins.predicted[shown], bins.observed[shown], **CLASS_LINES[c], marker="o", markersize=4)
