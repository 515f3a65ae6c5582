"""The gallery: for each class the test slices of which a model is most certain, rightly and wrongly."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from matplotlib.axes import Axes

from ichnos.evaluation.metrics import THRESHOLD
from ichnos.predictions import Predictions
from ichnos.reporting.measured import MeasuredModel
from ichnos.reporting.study import SlicePicture
from ichnos.reporting.style import GREEN, GREY, ORANGE, VERMILION, Picture, panels, picture, styled
from ichnos.subtypes import Subtype


class Choice(StrEnum):
    """What a slice is shown for."""

    RIGHT = "Most certain and right"
    FALSE_CALL = "Most certain false call"
    MISS = "Most certain miss"


_COLOURS = {Choice.RIGHT: GREEN, Choice.FALSE_CALL: VERMILION, Choice.MISS: ORANGE}


@dataclass(frozen=True)
class Shown:
    """One slice of the gallery."""

    row: int
    """In the predictions."""
    probability: float
    labelled: tuple[Subtype, ...]


def choose(predictions: Predictions, c: Subtype, choice: Choice) -> Shown | None:
    """The slice of which the model is most certain for class c among those of that kind; None where there is none."""
    k = predictions.classes.index(c)
    p, y = predictions.probabilities[:, k], predictions.labels[:, k]
    match choice:
        case Choice.RIGHT:
            rows, certainty = np.flatnonzero(y & (p >= THRESHOLD)), p
        case Choice.FALSE_CALL:
            rows, certainty = np.flatnonzero(~y & (p >= THRESHOLD)), p
        case Choice.MISS:
            rows, certainty = np.flatnonzero(y & (p < THRESHOLD)), -p
    if not len(rows):
        return None
    row = int(rows[np.argmax(certainty[rows])])
    labelled = tuple(t for t, held in zip(predictions.classes, predictions.labels[row], strict=True) if held)
    return Shown(row, float(p[row]), tuple(t for t in labelled if t is not Subtype.ANY))


def gallery(m: MeasuredModel, slice_picture: SlicePicture) -> Picture:
    """A row a choice that any class has a slice for, a column a class; under each slice its exam, place and labels."""
    test = m.model.test
    chosen = {choice: [choose(test, c, choice) for c in test.classes] for choice in Choice}
    rows = [choice for choice, shown in chosen.items() if any(shown)] or [Choice.RIGHT]
    with styled():
        figure, grid = panels(len(rows), len(test.classes), 2.15, 2.8)
        for i, choice in enumerate(rows):
            for k, c in enumerate(test.classes):
                _show(grid[i][k], test, chosen[choice][k], slice_picture, choice)
                if i == 0:
                    grid[i][k].set_title(c.display_name, fontsize=10, loc="center")
            grid[i][0].set_ylabel(choice.value, fontsize=10, color="black", labelpad=6)
        return picture(
            figure,
            f"gallery_{m.model.name}",
            f"{m.model.label}: slices of which it is most certain, on test",
            "For each class (column) the slice with the highest probability where the class is labelled, the highest "
            "where it is not, and the lowest where it is. Brain window (width 80 HU, level 40 HU). Under each: exam, "
            "place along the slice normal, the model's probability of the column's class, and the slice's labels. "
            "A row that is not there has no slice.",
            raster=True,
        )


def _show(axes: Axes, test: Predictions, shown: Shown | None, slice_picture: SlicePicture, choice: Choice) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    if shown is None:
        axes.set_facecolor("#F4F4F4")
        axes.text(0.5, 0.5, "no such slice", ha="center", va="center", color=GREY, transform=axes.transAxes)
        axes.set_box_aspect(1)
        for spine in axes.spines.values():
            spine.set_visible(False)
        return
    exam, name = str(test.exam[shown.row]), str(test.slice_name[shown.row])
    axes.imshow(slice_picture(exam, name), cmap="gray", vmin=0, vmax=255)
    labels = ", ".join(t.abbreviation for t in shown.labelled) or "none"
    place = f"{test.offset[shown.row]:.0f} mm".replace("-", "−")
    caption = f"{short_exam(exam)}, {place}\np = {shown.probability:.2f}\nlabelled {labels}"
    axes.set_xlabel(caption, fontsize=9, labelpad=3)
    for spine in axes.spines.values():
        spine.set(visible=True, color=_COLOURS[choice], linewidth=2.5)


def short_exam(exam: str) -> str:
    """An exam's name under a picture; of a long one the end, as the UIDs of one scanner all begin alike."""
    return exam if len(exam) <= 16 else f"…{exam[-15:]}"
