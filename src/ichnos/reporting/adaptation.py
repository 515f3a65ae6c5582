"""What adapting to another hospital was worth, as tables, as Markdown and as one page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ichnos
from ichnos.evaluation.intervals import Estimate
from ichnos.evaluation.levels import Level
from ichnos.files import write_text
from ichnos.reporting.field_gains import TOO_FEW, WHY_TOO_FEW
from ichnos.reporting.rendering import rendered
from ichnos.reporting.table import Cell, Column, Kind, Table
from ichnos.subtypes import CLASSES, Subtype

Tree = Mapping[str, Any]


def write_adaptation(card: Tree, out: Path) -> None:
    """Write report.md and report.html into `out`."""
    told: dict[str, Any] = {"card": card, "tables": adaptation_tables(card), "version": ichnos.__version__}
    for kind in ("md", "html"):
        write_text(out / f"report.{kind}", rendered(f"adaptation.{kind}.j2", **told))


def adaptation_tables(card: Tree) -> list[Table]:
    """One a level: a row a way and class."""
    return [_of_level(card, level) for level in card["ways"][0]["levels"]]


def _of_level(card: Tree, level: str) -> Table:
    columns = (
        Column("Class", Kind.TEXT),
        Column("Way", Kind.TEXT),
        Column("Labelled patients", Kind.COUNT),
        Column("Validation AUC, slices", Kind.RATIO),
        Column("Test AUC", Kind.RATIO),
        Column("Change", Kind.CHANGE),
        Column("p", Kind.P),
        Column("p after Holm", Kind.P),
    )
    named = card["ways"][0]["levels"][level]
    ordered = [c for c in (Subtype.ANY, *(c for c in CLASSES if c is not Subtype.ANY)) if c.value in named]
    rows = tuple(_row(way, level, c) for c in ordered for way in card["ways"])
    n = {"slice": "test_slices", "exam": "test_exams", "patient": "test_patients"}[level]
    scored = "An exam's score is its largest slice's, and a patient's their largest: no readout is fitted here."
    notes = (
        *(() if level == Level.SLICE else (scored,)),
        "Choose a way by the validation column; the test columns are for reporting.",
        "Fine-tuning chose its epoch by the validation patients, which flatters that column for it.",
        "Changes are against the run as it was, on the same patients, with paired 95 % intervals by patient.",
        "Holm's correction is over all ways, classes and levels that were tested.",
        WHY_TOO_FEW,
    )
    title = f"By {level}: {card['counts'][n]:,} {level}s of {card['counts']['test_patients']:,} test patients"
    return Table(level, title, columns, rows, notes, grouped=True)


def _row(way: Tree, level: str, c: Subtype) -> tuple[Cell, ...]:
    gain = next((g for g in way["gains"] if g["level"] == level and g["class"] == c.value), None)
    difference = gain["difference"] if gain else None
    return (
        c.display_name,
        way["name"],
        way["labelled_patients"],
        _validation(way, c),
        Estimate.from_json(way["levels"][level][c.value]),
        Estimate.from_json(difference) if difference else None,
        *_p_cells(gain),
    )


def _p_cells(gain: Tree | None) -> tuple[Cell, Cell]:
    if gain is None:
        return None, None
    if gain["descriptive_only"]:
        return TOO_FEW, TOO_FEW
    return gain["difference"]["bootstrap_p"], gain["difference"]["holm_p"]


def _validation(way: Tree, c: Subtype) -> float | None:
    return way["validation"]["auc"].get(c.value)
