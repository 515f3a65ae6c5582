"""Table 1 as a picture: each model on test with its interval, and the paper's value beside it."""

from matplotlib.axes import Axes

from ichnos.reporting.measured import MeasuredModel, MeasuredStudy
from ichnos.reporting.paper import PaperRow
from ichnos.reporting.style import GREY, MODELS, Picture, panels, picture, styled, wrapped

_PANELS = (
    ("exact_match", "Accuracy (exact match)"),
    ("macro_f1", "Macro F1"),
    ("mean_auc", "Mean AUC"),
    ("loss_mean", "Loss (nats)"),
)


def overview(study: MeasuredStudy) -> Picture:
    """Four panels, a row a model: the value on test, its 95 % interval, and the paper's own value (on validation)."""
    with styled():
        height = 1.1 + 0.42 * len(study.models)
        figure, axes = panels(1, len(_PANELS), 2.75, height)
        for k, (metric, title) in enumerate(_PANELS):
            for row, m in enumerate(study.models):
                _row(axes[0][k], row, m, metric)
            axes[0][k].set_title(title, fontsize=10)
            axes[0][k].set_ylim(len(study.models) - 0.5, -0.5)
            axes[0][k].set_yticks(
                range(len(study.models)), [wrapped(m.model.label) if k == 0 else "" for m in study.models]
            )
            axes[0][k].grid(visible=False, axis="y")
            axes[0][k].set_xlim(*((0, 1.02) if metric != "loss_mean" else (0, None)))
            axes[0][k].set_xlabel("lower is better" if metric == "loss_mean" else "higher is better", fontsize=9)
        handles = [
            axes[0][0].errorbar([], [], xerr=[], fmt="o", color="black", capsize=3, label="Test, 95 % interval"),
        ]
        if any(m.model.paper_row for m in study.models):
            handles += axes[0][0].plot([], [], "D", mfc="white", mec=GREY, label="Paper (its validation set)")
        figure.legend(handles=handles, loc="outside lower center", ncols=2)
        return picture(
            figure,
            "overview",
            "The models on test",
            "Points with bars: this study on test slices, with 95 % intervals by patient. "
            "Diamonds: the paper's own validation results, on other data.",
        )


def _row(axes: Axes, row: int, m: MeasuredModel, metric: str) -> None:
    estimate = m.test[metric]
    paper = _paper_value(m.model.paper_row, metric)
    if paper is not None:
        axes.plot([paper], [row + 0.2], "D", mfc="white", mec=GREY, markersize=5)
    if estimate.value is None:
        axes.text(0.02, row - 0.1, "not defined", fontsize=9, va="center", transform=axes.get_yaxis_transform())
        return
    colour = MODELS[row % len(MODELS)]
    if estimate.interval:
        axes.plot([estimate.interval.low, estimate.interval.high], [row - 0.1] * 2, color=colour)
    axes.plot([estimate.value], [row - 0.1], "o", color=colour, markersize=6, clip_on=False)


def _paper_value(paper: PaperRow | None, metric: str) -> float | None:
    if paper is None:
        return None
    values = {
        "exact_match": paper.accuracy,
        "macro_f1": paper.macro_f1,
        "mean_auc": paper.mean_auc,
        "loss_mean": paper.loss,
    }
    return values[metric]
