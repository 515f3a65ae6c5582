"""The one look of all figures: colours for any colour vision, text of 9 points or more, the same SVG bytes."""

import base64
import io
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar, cast

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ichnos.progress import Progress
from ichnos.subtypes import Subtype

# Okabe and Ito 2008, "Color Universal Design": told apart with any colour vision
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#6B6B6B"

TRAINING: dict[str, Any] = {"color": BLUE, "linestyle": (0, (4, 2)), "marker": "o", "markerfacecolor": "white"}
VALIDATION: dict[str, Any] = {"color": VERMILION, "linestyle": "-", "marker": "s"}
MODELS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
"""Of models, in the order in which a study lists them."""

CLASS_LINES: dict[Subtype, dict[str, Any]] = {
    Subtype.EPIDURAL: {"color": VERMILION, "linestyle": "-"},
    Subtype.INTRAPARENCHYMAL: {"color": BLUE, "linestyle": (0, (6, 2))},
    Subtype.INTRAVENTRICULAR: {"color": GREEN, "linestyle": (0, (6, 2, 1, 2))},
    Subtype.SUBARACHNOID: {"color": PURPLE, "linestyle": (0, (2, 1.5))},
    Subtype.SUBDURAL: {"color": ORANGE, "linestyle": (0, (9, 2, 1, 2, 1, 2))},
    Subtype.ANY: {"color": BLACK, "linestyle": "-"},
}
"""Colour and dash of each class: either is enough to tell them apart."""

_SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same glyphs on every machine
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "svg.hashsalt": "ichnos",
    "svg.fonttype": "path",
    "savefig.facecolor": "white",
    "image.interpolation": "antialiased",
}
Drawn = TypeVar("Drawn")
"""A picture, or some."""

_DOTS_PER_INCH = 200
_CSS_PIXELS_PER_INCH = 96


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure, drawn when its bytes are first asked for, with what is said of it."""

    name: str
    """File name without its end."""
    title: str
    caption: str
    figure: Figure
    raster: bool = False
    """It is made of pixels (CT slices): a report shows the PNG."""

    @cached_property
    def svg(self) -> bytes:
        """Lines as lines."""
        return self._drawn("svg", metadata={"Date": None, "Creator": None})

    @cached_property
    def png(self) -> bytes:
        """200 dots per inch."""
        return self._drawn("png", dpi=_DOTS_PER_INCH, metadata={"Software": None})

    @property
    def shown(self) -> tuple[str, bytes]:
        """What a page shows: the subtype of its media type image/..., and the bytes."""
        return ("png", self.png) if self.raster else ("svg+xml", self.svg)

    @property
    def source(self) -> str:
        """What a page shows, as a data URI: pixels as PNG, lines as SVG."""
        kind, data = self.shown
        return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"

    @property
    def width(self) -> int:
        """CSS pixels at which its text has the size that it says."""
        return round(self.figure.get_figwidth() * _CSS_PIXELS_PER_INCH)

    def _drawn(self, form: str, **settings: Any) -> bytes:
        file = io.BytesIO()
        with styled():
            self.figure.savefig(file, format=form, **settings)
            self.figure.set_layout_engine("none")  # as laid out once: a second drawing costs half
        return file.getvalue()


@contextmanager
def styled() -> Iterator[None]:
    """Inside, figures are made and drawn in this style."""
    with mpl.rc_context(cast("Any", _SETTINGS)):
        yield


def panels(rows: int, columns: int, width: float, height: float) -> tuple[Figure, list[list[Axes]]]:
    """A figure of rows × columns axes, each `width` × `height` inches: [row][column]."""
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False).tolist()


def wrapped(label: str) -> str:
    """A model's label in lines that fit over a panel."""
    return textwrap.fill(label, 26)


def unit_square(axes: Axes, xlabel: str, ylabel: str) -> None:
    """Both axes from 0 to 1."""
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=xlabel, ylabel=ylabel)
    ticks = [0, 0.2, 0.4, 0.6, 0.8, 1]
    axes.set_xticks(ticks)
    axes.set_yticks(ticks)


def picture(figure: Figure, name: str, title: str, caption: str, raster: bool = False) -> Picture:
    """A figure drawn as a page shows it; the same figure always gives the same bytes."""
    made = Picture(name, title, caption, figure, raster)
    _ = made.shown
    return made


def drawn(figures: Sequence[Callable[[], Drawn]], progress: Progress) -> tuple[Drawn, ...]:
    """Make each: drawing takes most of the time that a report takes."""
    made: list[Drawn] = []
    with progress.task("Drawing figures", len(figures)) as task:
        for figure in figures:
            made.append(figure())
            task.advance()
    return tuple(made)
