"""Confusion by subtype as a picture: one matrix a model, on test."""

from matplotlib.axes import Axes

from ichnos.reporting.measured import MeasuredModel
from ichnos.reporting.style import Picture, panels, picture, styled, wrapped
from ichnos.subtypes import SUBTYPES

_DARK = 0.55
"""Above this share the cell is dark and its text white."""


def confusion_matrix(m: MeasuredModel) -> Picture:
    """Rows: what is there; columns: what is called at 0.5 (`ichnos.evaluation.confusion` defines each cell)."""
    confusion = m.confusion
    with styled():
        size = len(confusion.classes) + 1
        rows = size if confusion.of[-1].any() else size - 1  # "none" only where there are slices without any subtype
        wide = max(size, len(SUBTYPES) + 1)  # cells of one size for all models
        figure, grid = panels(1, 1, 1.5 + 0.78 * wide, 1.1 + 0.66 * rows)
        axes = grid[0][0]
        axes.imshow(confusion.share[:rows], cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        axes.set_xlim(-0.5, wide - 0.5)
        for row in range(rows):
            for column in range(size):
                _cell(axes, row, column, int(confusion.called[row, column]), int(confusion.of[row, column]))
        names = [c.abbreviation for c in confusion.classes]
        axes.set_xticks(range(size), [*names, "none"])
        axes.set_yticks(range(rows), [*names, "none"][:rows])
        axes.set_xlabel("Called at 0.5")
        axes.set_ylabel("Labelled")
        axes.grid(visible=False)
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.set_title(wrapped(m.model.label))
        return picture(
            figure,
            f"confusion_{m.model.name}",
            f"{m.model.label}: confusion by subtype on test",
            "Diagonal: of the slices with the row's subtype, the share where it is called. Elsewhere: of the slices "
            "with the row's subtype and without the column's, the share where the column's is called all the same. "
            "Column “none”: nothing is called. Slices can have several subtypes, so rows do not add up to 100 %.",
        )


def _cell(axes: Axes, row: int, column: int, called: int, of: int) -> None:
    if not of:
        axes.text(column, row, "–", ha="center", va="center")
        return
    share = called / of
    colour = "white" if share > _DARK else "black"
    axes.text(column, row - 0.14, f"{100 * share:.0f} %", ha="center", va="center", color=colour, fontsize=11)
    axes.text(column, row + 0.22, f"{called}/{of}", ha="center", va="center", color=colour, fontsize=9)
