"""The gallery of errors: exams that a model missed or called wrongly, most surely first, with its maps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from ichnos.reporting.exam.heat import brain_window, coloured
from ichnos.reporting.style import GREY, ORANGE, VERMILION, Picture, panels, picture, styled
from ichnos.subtypes import Subtype

COLUMNS = 4
"""Errors of a kind that are shown."""

_CAPTION = (
    "At the balanced point: misses with the lowest probability, false calls with the highest, by one slice an exam. Of "
    "a miss it is the labelled slice with the highest probability (any slice where slices are not labelled), of a "
    "false call the slice with the highest. Exams are numbered by the rows of exams.parquet. Brain window, W 80 L 40."
)
_MAPS = " Below each the class map over it (Grad-CAM: where the network looked, no outline)."


@dataclass(frozen=True, eq=False)
class ShownError:
    """One exam that was judged wrongly, by one of its slices."""

    hu: NDArray[np.int16]
    heat: NDArray[np.float32] | None
    """The class's map over the slice, (rows, columns); None where there is none."""
    caption: str


def errors_gallery(
    c: Subtype, misses: Sequence[ShownError], false_calls: Sequence[ShownError], dagger: str = ""
) -> Picture | None:
    """Two rows a kind, the slice and the slice with the map over it; None where there is no error of either kind.

    dagger: what stands behind the class's name where it is measured against others.
    """
    kinds = [(name, shown, colour) for name, shown, colour in _kinds(misses, false_calls) if shown]
    if not kinds:
        return None
    with_maps = any(each.heat is not None for _, shown, _ in kinds for each in shown)
    rows_a_kind = 2 if with_maps else 1
    with styled():
        figure, grid = panels(rows_a_kind * len(kinds), COLUMNS, 2.5, 2.75)
        for i, (name, shown, colour) in enumerate(kinds):
            own = grid[i * rows_a_kind : (i + 1) * rows_a_kind]
            for k in range(COLUMNS):
                _column([row[k] for row in own], shown[k] if k < len(shown) else None, colour)
            own[0][0].set_ylabel(name, fontsize=10, labelpad=6)
        return picture(
            figure,
            f"errors_{c.value}",
            f"{c.display_name}{dagger}: the surest errors in exams",
            _CAPTION + (_MAPS if with_maps else " This network has no class maps."),
            raster=True,
        )


def _kinds(misses: Sequence[ShownError], false_calls: Sequence[ShownError]):
    return (("Missed", misses[:COLUMNS], ORANGE), ("Called wrongly", false_calls[:COLUMNS], VERMILION))


def _column(cells: list[Axes], shown: ShownError | None, colour: str) -> None:
    for axes in cells:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.grid(visible=False)
        if shown is None:
            for spine in axes.spines.values():
                spine.set_visible(False)
    if shown is None:
        cells[0].text(0.5, 0.5, "no more", ha="center", va="center", color=GREY, transform=cells[0].transAxes)
        return
    grey = brain_window(shown.hu)
    cells[0].imshow(grey)
    cells[0].set_title(shown.caption, fontsize=9, loc="center", fontweight="normal")
    for spine in cells[0].spines.values():
        spine.set(visible=True, color=colour, linewidth=2.5)
    if len(cells) > 1:
        cells[1].imshow(grey if shown.heat is None else coloured(grey, shown.heat))
