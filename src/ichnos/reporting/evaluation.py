"""An evaluation as one self-contained page, and as Markdown."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ichnos
from ichnos.counting import counted
from ichnos.evaluation.levels import Judged, Level
from ichnos.files import write_text
from ichnos.progress import SILENT, Progress
from ichnos.reporting.asked_sensitivity import asked_of, asked_words
from ichnos.reporting.checklist import answers, left_to_the_author, who_words
from ichnos.reporting.evaluation_tables import evaluation_tables, mapping_words
from ichnos.reporting.folds import estimate_text
from ichnos.reporting.level_curves import level_curves
from ichnos.reporting.rendering import rendered
from ichnos.reporting.style import Picture, drawn
from ichnos.subtypes import Subtype


@dataclass(frozen=True, eq=False)
class EvaluationReport:
    """What the page is made of: the scorecard, what was judged at each level it has, and pictures of errors.

    errors: None where nobody looked for any.
    """

    scorecard: Mapping[str, Any]
    judged: Mapping[Level, Judged]
    classes: tuple[Subtype, ...]
    errors: tuple[Picture, ...] | None = None


def write_evaluation(report: EvaluationReport, out: Path, progress: Progress = SILENT) -> None:
    """Write report.md and report.html into `out`; the page holds everything it shows."""
    card = report.scorecard
    labelled = [Subtype(c) for c in card["labelled"]]
    figures = [
        partial(level_curves, level, report.judged[Level(level)], report.classes, labelled, tree, card["mapping"])
        for level, tree in card["levels"].items()
    ]
    curves = drawn(figures, progress)
    items = answers(card, None if report.errors is None else len(report.errors))
    told: dict[str, Any] = {
        "card": card,
        "model": card["model"],
        "tables": {table.name: table for table in evaluation_tables(card)},
        "items": items,
        "left": left_to_the_author(items),
        "version": ichnos.__version__,
        "who": who_words(card),
        "in_short": in_short(card),
        "asked": asked_words([asked_of(card)]),
        "measured": measured_words(card),
        "mapped": mapping_words(card["mapping"]),
    }
    write_text(out / "report.md", rendered("evaluation.md.j2", **told))
    write_text(out / "report.html", rendered("evaluation.html.j2", **told, curves=curves, errors=report.errors or ()))


def in_short(card: Mapping[str, Any]) -> list[str]:
    """A sentence a level: any hemorrhage where it is labelled, else the first class that is."""
    sentences: list[str] = []
    for level, tree in card["levels"].items():
        c = "any" if "any" in card["labelled"] else card["labelled"][0]
        row = tree["classes"][c]
        auc, point = row["auc"], row["operating_points"]["balanced"]
        name = Subtype(c).display_name
        sentences.append(
            f"{name}, {tree['n']:,} {level}s ({row['positives']:,} positive): AUC {_number(auc)}; at the balanced "
            f"point sensitivity {_number(point['sensitivity'])}, specificity {_number(point['specificity'])}."
        )
    return sentences


def measured_words(card: Mapping[str, Any]) -> str:
    """On how much the numbers stand, which of a run is its test part, and how much is in the set."""
    levels, counts = card["levels"], card["counts"]
    patients = max(tree["patients"] for tree in levels.values())
    parts = [counted(patients, "patient")]
    parts += [counted(levels[level]["n"], level) for level in ("exam", "slice") if level in levels]
    held = [counted(counts[f"{one}s"], one) for one in ("patient", "exam", "slice")]
    return f"{', '.join(parts)} measured; the set has {', '.join(held)}"


def _number(tree: Mapping[str, Any]) -> str:
    if tree["value"] is None:
        return tree["note"] or "not defined"
    return estimate_text(tree)
