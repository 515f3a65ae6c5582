"""What each model says of the same test slices, drawn by lot, so that a reader sees ordinary ones, not chosen ones."""

import numpy as np
from matplotlib.axes import Axes

from ichnos.evaluation.metrics import THRESHOLD
from ichnos.predictions import Predictions
from ichnos.reporting.gallery import short_exam
from ichnos.reporting.study import ModelResult, SlicePicture, StudyResult
from ichnos.reporting.style import GREY, MODELS, Picture, panels, picture, styled
from ichnos.subtypes import Subtype

_MARKERS = "osD^vPX"
"""Of models, in the order in which a study lists them: the shape tells them apart without the colour."""


def what_models_say(result: StudyResult) -> Picture:
    """One test slice for each class, drawn by lot among those that have it, and one more among all."""
    widest = max(result.models, key=lambda m: len(m.test.classes))
    rows = draw_slices(widest.test, result.seed)
    with styled():
        figure, grid = panels(-(-len(rows) // 2), 4, 2.35, 2.35)
        cells = [(line[k], line[k + 1]) for line in grid for k in (0, 2)]
        for (image, chart), row in zip(cells, rows, strict=False):
            _show(image, widest.test, row, result.slice_picture)
            _chart(chart, widest.test, row, result.models)
        for image, chart in cells[len(rows) :]:
            image.set_axis_off()
            chart.set_axis_off()
        handles, labels = cells[0][1].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(result.models))
        return picture(
            figure,
            "what_models_say",
            "What each model says of test slices",
            f"For each class one test slice that has it, and one more of any class, drawn by lot (seed {result.seed}). "
            "Points are probabilities, the line is 0.5; classes that the slice is labelled with are bold and marked "
            "▸. A model that leaves a slice's class out of its task has no point there. Brain window (width 80 HU, "
            "level 40 HU).",
            raster=True,
        )


def draw_slices(test: Predictions, seed: int) -> list[int]:
    """Rows of the predictions: for each class that has any, one by lot, none twice; then one of the rest."""
    rng = np.random.default_rng(seed)
    rows: list[int] = []
    for k in range(len(test.classes)):
        candidates = [int(r) for r in np.flatnonzero(test.labels[:, k]) if int(r) not in rows]
        if candidates:
            rows.append(int(rng.choice(candidates)))
    rest = [r for r in range(len(test)) if r not in rows]
    if rest:
        rows.append(int(rng.choice(rest)))
    return rows


def _show(axes: Axes, test: Predictions, row: int, slice_picture: SlicePicture) -> None:
    axes.imshow(slice_picture(str(test.exam[row]), str(test.slice_name[row])), cmap="gray", vmin=0, vmax=255)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    exam = str(test.exam[row])
    place = f"{test.offset[row]:.0f} mm".replace("-", "−")
    axes.set_xlabel(f"{short_exam(exam)}, {place}", fontsize=9)


def _chart(axes: Axes, test: Predictions, row: int, models: tuple[ModelResult, ...]) -> None:
    classes = test.classes
    axes.axvline(THRESHOLD, color=GREY, linewidth=1)
    for number, model in enumerate(models):
        said = _probabilities(model.test, str(test.exam[row]), str(test.slice_name[row]))
        shift = 0.22 * (number - (len(models) - 1) / 2)
        places = [k + shift for k, c in enumerate(classes) if c in said]
        axes.plot(
            [said[c] for c in classes if c in said],
            places,
            linestyle="none",
            marker=_MARKERS[number % len(_MARKERS)],
            color=MODELS[number % len(MODELS)],
            markersize=6,
            label=model.label,
        )
    axes.set(xlim=(-0.04, 1.04), ylim=(len(classes) - 0.5, -0.5), xlabel="probability")
    axes.set_xticks([0, 0.5, 1])
    axes.set_yticks(range(len(classes)), [_name(c, labelled=bool(test.labels[row, k])) for k, c in enumerate(classes)])
    for text, labelled in zip(axes.get_yticklabels(), test.labels[row], strict=True):
        text.set_fontweight("bold" if labelled else "normal")


def _probabilities(test: Predictions, exam: str, name: str) -> dict[Subtype, float]:
    """A model's probabilities of one slice; empty where the slice is not in its population."""
    found = np.flatnonzero((test.exam == exam) & (test.slice_name == name))
    if not len(found):
        return {}
    return dict(zip(test.classes, test.probabilities[found[0]].tolist(), strict=True))


def _name(c: Subtype, *, labelled: bool) -> str:
    return f"▸ {c.abbreviation}" if labelled else c.abbreviation
