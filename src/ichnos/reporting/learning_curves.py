"""Figures 1-3: accuracy, loss and AUC by epoch, on training and validation slices."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ichnos.reporting.paper import PaperRow
from ichnos.reporting.study import ModelResult
from ichnos.reporting.style import GREY, TRAINING, VALIDATION, Picture, panels, picture, styled

_MARKED_EPOCHS = 30
"""Longer curves are drawn without a mark an epoch."""


def learning_curves(model: ModelResult, number: int) -> Picture:
    """Three panels as in the paper: (a) accuracy, (b) loss, (c) AUC; best epoch marked, paper's value dashed."""
    with styled():
        figure, axes = panels(1, 3, 3.7, 3.3)
        paper = model.paper_row
        for k, (metric, title, ylabel) in enumerate(_PANELS):
            _panel(axes[0][k], model, metric, _paper_value(paper, metric))
            axes[0][k].set_title(title)
            axes[0][k].set_ylabel(ylabel)
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        return picture(
            figure,
            f"figure_{number}_{model.name}",
            f"Figure {number}. {model.label}: training and validation by epoch",
            "Accuracy is exact match at 0.5; loss is binary cross-entropy, mean over classes; AUC is the mean over "
            f"classes. The dotted line marks epoch {model.best_epoch}, the lowest validation loss, whose weights are "
            "measured. Training values are those of the training journal."
            + (" The grey dashed line is the paper's validation value (Table 1)." if paper else ""),
        )


_PANELS = (
    ("exact_match", "(a) Accuracy", "Exact match (share of slices)"),
    ("loss_mean", "(b) Loss", "Cross-entropy (nats)"),
    ("mean_auc", "(c) AUC", "Mean AUC"),
)


def _panel(axes: Axes, model: ModelResult, metric: str, paper: float | None) -> None:
    epochs = [line["epoch"] for line in model.history]
    marked: dict[str, Any] = {} if len(epochs) <= _MARKED_EPOCHS else {"marker": ""}
    axes.plot(epochs, _values(model.history, "training", metric), **(TRAINING | marked), label="Training")
    axes.plot(epochs, _values(model.history, "validation", metric), **(VALIDATION | marked), label="Validation")
    axes.axvline(model.best_epoch, color=GREY, linestyle=":", linewidth=1.4, label=f"Best epoch ({model.best_epoch})")
    if paper is not None:
        axes.axhline(paper, color=GREY, linestyle=(0, (5, 3)), linewidth=1.1, label="Paper, validation")
    axes.set_xlabel("Epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
    if metric == "loss_mean":
        axes.set_ylim(bottom=0)
    else:
        axes.set_ylim(0 if metric == "exact_match" else min(0.5, axes.get_ylim()[0]), 1.02)


def _values(history: tuple[dict[str, Any], ...], part: str, metric: str) -> NDArray[np.float64]:
    """(epochs,) NaN where the metric is not defined, which leaves a gap in the line."""
    return np.array([np.nan if line[part][metric] is None else line[part][metric] for line in history], dtype=float)


def _paper_value(paper: PaperRow | None, metric: str) -> float | None:
    if paper is None:
        return None
    match metric:
        case "exact_match":
            return paper.accuracy
        case "loss_mean":
            return paper.loss
        case _:
            return paper.mean_auc
