"""report.html: one exam on one page that holds everything it shows, and names no patient."""

from base64 import b64encode
from dataclasses import dataclass

from ichnos.counting import counted, ranges
from ichnos.findings import ClassFinding
from ichnos.reporting.exam.contact_sheet import contact_sheet
from ichnos.reporting.exam.heat import labelled, overlaid, plain, png
from ichnos.reporting.exam.result import ExamResult
from ichnos.reporting.rendering import rendered
from ichnos.subtypes import Subtype

_WIDEST = 12.0
"""CSS pixels of a slice's bar, with the gap beside it, where there is room."""

_NARROWEST = 2.0
"""The same of a long exam's: the chart is then wider than the page and can be moved sideways."""

_CHART = 1000.0
"""CSS pixels that all bars share, so that a page shows a thin series whole."""

_LEFT = 34
"""CSS pixels that the chart's scale takes on the left."""

_APART = 30.0
"""CSS pixels from one slice's number under the chart to the next."""

_TALLEST = 90
"""CSS pixels of a probability of 1."""


@dataclass(frozen=True)
class Plate:
    """A slice as it is, and with a class's map over it where the class is called and the network has maps.

    Sources are data URIs.
    """

    title: str
    caption: str
    pictures: tuple[tuple[str, str], ...]
    """Source and alternative text of each."""


@dataclass(frozen=True)
class Chart:
    """The chart of slices, in CSS pixels. wide: of a bar; right: where its lines end; step: of how many slices one is
    numbered."""

    bars: tuple["Bar", ...]
    wide: float
    right: int
    step: int


@dataclass(frozen=True)
class Bar:
    """A slice in the chart of slices: from which x, how high, whether it is called, and what is said of it."""

    x: float
    height: float
    called: bool
    title: str


def exam_page(result: ExamResult) -> str:
    """The whole page as text; from the same exam the same."""
    rows, columns = result.exam.hu.shape[1:]
    row_mm, column_mm = result.exam.pixel_spacing
    return rendered(
        "exam.html.j2",
        findings=result.findings,
        called=_named(result),
        classes=(result.findings.any, *result.findings.subtypes),
        reading=result.reading,
        plates=[_called(each, result) for each in result.present] or [_most_suspicious(result)],
        chart=_chart(result),
        sheet=contact_sheet(result),
        tallest=_TALLEST,
        shape=f"{columns * column_mm:.1f} / {rows * row_mm:.1f}",
        ranges=slice_ranges,
        counted=counted,
        maps=result.maps is not None,
    )


def slice_ranges(slices: tuple[int, ...]) -> str:
    """Slices as people count them, from 1: (0, 1, 2, 5) → "1–3, 6"."""
    return ranges(index + 1 for index in slices)


def _named(result: ExamResult) -> str:
    """The subtypes that are called, or any hemorrhage where none is."""
    subtypes = [each for each in result.present if each.subtype is not Subtype.ANY] or list(result.present)
    return ", ".join(f"{each.subtype.display_name.lower()} ({each.probability:.2f})" for each in subtypes)


def _called(finding: ClassFinding, result: ExamResult) -> Plate:
    index = finding.key_slice
    assert index is not None
    place = _place(result, index)
    name = finding.subtype.display_name
    here = result.findings.slices[index].probabilities[finding.subtype]
    pictures = [(_source(result, index, None), f"{place}, brain window")]
    if result.maps is not None:
        pictures.append((_source(result, index, finding.subtype), f"{place} with the map of {name.lower()} over it"))
    return Plate(
        title=f"{name}: {finding.probability:.2f}",
        caption=f"Key {place}, {here:.2f} in this slice.",
        pictures=tuple(pictures),
    )


def _most_suspicious(result: ExamResult) -> Plate:
    every = [each.probabilities[Subtype.ANY] for each in result.findings.slices]
    index = every.index(max(every))
    place = _place(result, index)
    return Plate(
        title="Nothing called",
        caption=f"The slice with the highest probability of any hemorrhage, {every[index]:.2f}: {place}.",
        pictures=((_source(result, index, None), f"{place}, brain window"),),
    )


def _place(result: ExamResult, index: int) -> str:
    offset = result.findings.slices[index].offset_mm - result.findings.slices[0].offset_mm
    return f"slice {index + 1} of {len(result.exam)}, {offset:.0f} mm above the lowest"


def _source(result: ExamResult, index: int, subtype: Subtype | None) -> str:
    picture = plain(result, index) if subtype is None else overlaid(result, subtype, index)
    named = labelled(picture, "" if subtype is None else subtype.display_name, "not for diagnosis")
    return f"data:image/png;base64,{b64encode(png(named)).decode()}"


def _chart(result: ExamResult) -> Chart:
    findings = result.findings
    bar = round(min(_WIDEST, max(_NARROWEST, _CHART / len(findings.slices))), 2)
    called = {index for each in (findings.any, *findings.subtypes) for index in each.slices}
    bars = tuple(
        Bar(
            x=round(_LEFT + 1 + index * bar, 2),
            height=round(max(1.0, _TALLEST * each.probabilities[Subtype.ANY]), 1),
            called=index in called,
            title=f"slice {index + 1}: {each.probabilities[Subtype.ANY]:.2f}",
        )
        for index, each in enumerate(findings.slices)
    )
    return Chart(
        bars,
        wide=round(bar - min(2.0, 0.25 * bar), 2),
        right=round(_LEFT + 2 + len(bars) * bar),
        step=next(step for step in (5, 10, 20) if step * bar >= _APART),
    )
