"""ROC, precision-recall and reliability curves on test: one panel a model, one line a class."""

from collections.abc import Callable

from matplotlib.axes import Axes

from ichnos.evaluation import curves
from ichnos.evaluation.intervals import Estimate
from ichnos.reporting.measured import MeasuredModel, MeasuredStudy
from ichnos.reporting.style import CLASS_LINES, GREY, Picture, panels, picture, styled, unit_square, wrapped
from ichnos.subtypes import Subtype

_PER_ROW = 3
_LEAST_SLICES = 5
"""A bin of fewer slices says nothing of reliability and is not drawn."""


def class_curves(study: MeasuredStudy) -> tuple[Picture, ...]:
    """The three figures of curves."""
    return roc_curves(study), precision_recall_curves(study), reliability_curves(study)


def roc_curves(study: MeasuredStudy) -> Picture:
    """Sensitivity against false-positive rate."""
    return _figure(
        study,
        _draw_roc,
        "roc",
        "ROC curves on test",
        "One line a class; in the legend its AUC. The grey diagonal is chance.",
    )


def precision_recall_curves(study: MeasuredStudy) -> Picture:
    """Precision against recall."""
    return _figure(
        study,
        _draw_precision_recall,
        "precision_recall",
        "Precision-recall curves on test",
        "One line a class; in the legend its average precision (AP) and, in brackets, its share of the slices, which "
        "is the precision of chance.",
    )


def reliability_curves(study: MeasuredStudy) -> Picture:
    """The share that has the class against the probability given."""
    return _figure(
        study,
        _draw_reliability,
        "reliability",
        "Reliability on test",
        f"Slices in ten bins of probability (bins of {_LEAST_SLICES} slices or more). On the grey diagonal a "
        "probability means what it says; below it the model is too sure.",
    )


def _figure(
    study: MeasuredStudy, draw: Callable[[Axes, MeasuredModel, int, Subtype], None], name: str, title: str, caption: str
) -> Picture:
    with styled():
        count = len(study.models)
        columns = min(count, _PER_ROW)
        legend = 0.2 * max(len(m.model.test.classes) for m in study.models)
        figure, grid = panels(-(-count // columns), columns, 3.9, 4.1 + legend)  # each panel about square
        cells = [axes for row in grid for axes in row]
        for axes in cells[count:]:
            axes.set_visible(False)
        for axes, m in zip(cells, study.models, strict=False):
            for k, c in enumerate(m.model.test.classes):
                draw(axes, m, k, c)
            axes.set_title(wrapped(m.model.label))
            axes.legend(loc="upper left", bbox_to_anchor=(-0.12, -0.16), borderaxespad=0, handlelength=3.3)
        return picture(figure, name, title, caption)


def _draw_roc(axes: Axes, m: MeasuredModel, k: int, c: Subtype) -> None:
    if k == 0:
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
        unit_square(axes, "False-positive rate (1 − specificity)", "Sensitivity")
    test = m.model.test
    curve = curves.roc(test.probabilities[:, k], test.labels[:, k])
    label = _legend(c, "AUC", m.test["auc", c])
    _line(axes, curve, c, label)


def _draw_precision_recall(axes: Axes, m: MeasuredModel, k: int, c: Subtype) -> None:
    if k == 0:
        unit_square(axes, "Recall (sensitivity)", "Precision")
    test = m.model.test
    curve = curves.precision_recall(test.probabilities[:, k], test.labels[:, k])
    share = f" ({100 * test.labels[:, k].mean():.0f} %)" if test.labels[:, k].any() else ""
    _line(axes, curve, c, _legend(c, "AP", m.test["average_precision", c]) + share, drawstyle="steps-pre")


def _draw_reliability(axes: Axes, m: MeasuredModel, k: int, c: Subtype) -> None:
    if k == 0:
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
        unit_square(axes, "Mean probability given", "Share of slices with the class")
    test = m.model.test
    bins = curves.reliability(test.probabilities[:, k], test.labels[:, k])
    drawn = bins.slices >= _LEAST_SLICES
    axes.plot(bins.predicted[drawn], bins.observed[drawn], **CLASS_LINES[c], marker="o", label=c.display_name)


def _line(axes: Axes, curve: curves.Curve | None, c: Subtype, label: str, drawstyle: str = "default") -> None:
    x, y = ([], []) if curve is None else (curve.x, curve.y)
    axes.plot(x, y, **CLASS_LINES[c], label=label, drawstyle=drawstyle)


def _legend(c: Subtype, what: str, estimate: Estimate) -> str:
    if estimate.value is None:
        return f"{c.display_name}: {estimate.note or 'not defined'}"
    return f"{c.display_name}, {what} {estimate.value:.2f}"
