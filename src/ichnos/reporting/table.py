"""A table of a report: typed cells, written as HTML cells, Markdown or CSV."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from ichnos.evaluation.intervals import ALL_AGREE, Estimate


class Kind(StrEnum):
    """What a column holds, and so how it is written."""

    TEXT = "text"
    COUNT = "count"
    PERCENT = "percent"
    """0 to 1, written as per cent."""
    RATIO = "ratio"
    """Three decimals."""
    CHANGE = "change"
    """Three decimals with a sign."""
    NUMBER = "number"
    """Numbers that are written already, such as `0.29 to 0.41`."""
    P = "p"
    """A p value."""


Cell = str | int | float | Estimate | None


@dataclass(frozen=True)
class Column:
    """One column."""

    title: str
    kind: Kind


@dataclass(frozen=True)
class Written:
    """A cell as text: the number, and its interval or the reason why there is none."""

    main: str
    interval: str = ""
    note: str = ""

    def __str__(self) -> str:
        note = f"({self.note})" if self.note else ""
        return " ".join(part for part in (self.main, self.interval, note) if part)


@dataclass(frozen=True)
class Table:
    """Rows of cells under columns."""

    name: str
    """File name without its end, and anchor in the report."""
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    grouped: bool = False
    """Rows with the same first cell belong together: a rule is drawn where it changes."""
    folded: bool = False
    """A page shows its title, and the table where that is opened."""

    def written(self) -> list[list[Written]]:
        """All rows as text."""
        return [[write_cell(cell, c.kind) for cell, c in zip(row, self.columns, strict=True)] for row in self.rows]

    def to_markdown(self) -> str:
        """A GitHub table under its title, notes below."""
        lines = [f"**{self.title}**", "", _markdown_row(c.title for c in self.columns)]
        lines.append(_markdown_row("---" if c.kind is Kind.TEXT else "---:" for c in self.columns))
        lines.extend(_markdown_row(str(cell) for cell in row) for row in self.written())
        lines += [""] + [f"{note}\n" for note in self.notes]
        return "\n".join(lines)

    def to_csv(self) -> str:
        """Plain numbers: a column with intervals becomes four (value, low, high, note); absent numbers are empty."""
        with_interval = [any(isinstance(row[k], Estimate) for row in self.rows) for k in range(len(self.columns))]
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        head: list[str] = []
        for column, wide in zip(self.columns, with_interval, strict=True):
            head += [column.title] + ([f"{column.title} {end}" for end in ("low", "high", "note")] if wide else [])
        writer.writerow(head)
        for row in self.rows:
            writer.writerow([v for cell, wide in zip(row, with_interval, strict=True) for v in _plain(cell, wide)])
        return out.getvalue()


def write_cell(cell: Cell, kind: Kind) -> Written:
    """One cell as text; a missing number is a dash, or the note that says why."""
    match cell:
        case None:
            return Written("–")
        case str():
            return Written(cell)
        case Estimate(value=None):
            return Written("–", note=cell.note or "")
        case Estimate(value=float(value)):
            notes = [note for note in (_agreement(cell), cell.note) if note]
            return Written(write_number(value, kind), write_interval(cell, kind), "; ".join(notes))
        case int() | float():
            return Written(write_number(cell, kind))
        case Estimate():
            raise TypeError(f"an estimate holds a float or None, got {cell.value!r}")
        case _:
            assert_never(cell)


def write_number(value: float, kind: Kind) -> str:
    """A number as its kind is written."""
    match kind:
        case Kind.PERCENT:
            return f"{100 * value:.1f} %"
        case Kind.RATIO:
            return f"{value:.3f}".replace("-", "−")
        case Kind.CHANGE:
            return f"{value:+.3f}".replace("-", "−")
        case Kind.COUNT:
            return f"{value:,.0f}"
        case Kind.P:
            return "< 0.01" if value < 0.01 else f"{value:.2f}"
        case Kind.TEXT | Kind.NUMBER:
            return str(value)
        case _:
            assert_never(kind)


def write_interval(estimate: Estimate, kind: Kind) -> str:
    """[low, high], or nothing where there is none or all resamples agree."""
    if estimate.interval is None or not estimate.interval.tells:
        return ""
    low, high = (write_number(v, kind).removesuffix(" %") for v in (estimate.interval.low, estimate.interval.high))
    return f"[{low}, {high}]"


def _agreement(estimate: Estimate) -> str | None:
    return ALL_AGREE if estimate.interval is not None and not estimate.interval.tells else None


def _plain(cell: Cell, wide: bool) -> list[str]:
    if isinstance(cell, Estimate):
        ends = [cell.interval.low, cell.interval.high] if cell.interval else [None, None]
        return [*("" if v is None else f"{v:.6g}" for v in (cell.value, *ends)), cell.note or ""]
    text = "" if cell is None else f"{cell:.6g}" if isinstance(cell, float) else str(cell)
    return [text, "", "", ""] if wide else [text]


def _markdown_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"
