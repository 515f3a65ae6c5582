"""A study by folds as one self-contained page, and as Markdown."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ichnos
from ichnos.counting import counted
from ichnos.evaluation.fold_levels import JudgedFolds
from ichnos.evaluation.levels import Level
from ichnos.files import write_text
from ichnos.progress import SILENT, Progress
from ichnos.recipe import AnyKind
from ichnos.reporting.asked_sensitivity import asked_of_folds, asked_words
from ichnos.reporting.checklist import who_words
from ichnos.reporting.evaluation import in_short
from ichnos.reporting.evaluation_tables import evaluation_tables
from ichnos.reporting.folds import doubts, first_weights, folds_tables, folds_text, how_measured
from ichnos.reporting.level_curves import level_curves
from ichnos.reporting.rendering import rendered
from ichnos.reporting.study_checklist import answers_of_folds, left_of_study
from ichnos.reporting.style import drawn
from ichnos.reporting.table import Column, Kind, Table
from ichnos.reporting.unfitted import Unfitted
from ichnos.subtypes import Subtype


@dataclass(frozen=True, eq=False)
class FoldsReport:
    """What the page is made of: the scorecard, its recipe, and what was judged, in columns of `reported`."""

    scorecard: Mapping[str, Any]
    recipe: AnyKind
    judged: JudgedFolds
    reported: tuple[Subtype, ...]


def write_folds(report: FoldsReport, out: Path, progress: Progress = SILENT) -> None:
    """Write report.md and report.html into `out`; the page holds everything it shows."""
    card = report.scorecard
    levels = _shown_levels(card)
    shown = {**card, "levels": levels}
    labelled = [c for c in report.reported if c.value in levels["slice"]["classes"]]
    figures = [
        partial(level_curves, level, report.judged.pooled(Level(level)), report.reported, labelled, tree)
        for level, tree in levels.items()
    ]
    curves = drawn(figures, progress)
    items = answers_of_folds(card, report.recipe)
    told: dict[str, Any] = {
        "card": shown,
        "title": f"{card.get('title') or card['recipe']['title']}: {folds_text(card)} of {card['source']}",
        "how": " ".join(how_measured(card)),
        "asked": asked_words([asked_of_folds(card)]),
        "doubts": [*doubts(card["source"], [report.recipe]), *Unfitted.of_folds(card).sentences],
        "who": who_words(card),
        "same": len(levels) < len(card["levels"]),
        "first_weights": first_weights(card["first_weights"]),
        "left_out": [f"{each['reason']}: {counted(each['count'], 'slice')}" for each in card.get("skipped", [])],
        "in_short": in_short(shown | {"labelled": [c.value for c in labelled]}),
        "summary": folds_tables(card),
        "tables": {table.name: table for table in evaluation_tables(shown)},
        "folds": fold_table(card),
        "items": items,
        "left": left_of_study(items),
        "version": ichnos.__version__,
    }
    write_text(out / "report.md", rendered("folds.md.j2", **told))
    write_text(out / "report.html", rendered("folds.html.j2", **told, curves=curves))


def _shown_levels(card: Mapping[str, Any]) -> dict[str, Any]:
    """Without patients where each has one exam: their numbers are the exams'."""
    levels = dict(card["levels"])
    if "patient" in levels and levels["patient"]["n"] == levels["exam"]["n"]:
        del levels["patient"]
    return levels


def fold_table(card: Mapping[str, Any]) -> Table:
    """A row a fold: whom it tested, how long it learnt, and what its validation patients said."""
    columns = (
        Column("Fold", Kind.TEXT),
        Column("Test patients", Kind.COUNT),
        Column("Epochs", Kind.TEXT),
        Column("Best", Kind.TEXT),
        Column("Validation loss", Kind.TEXT),
        Column("Validation AUC of any, slices", Kind.RATIO),
        Column("exams", Kind.RATIO),
        Column("Aggregator", Kind.TEXT),
    )
    rows = tuple(
        (
            str(fold["fold"]),
            fold["test_patients"],
            of_stages(fold["epochs"]),
            of_stages(fold["best_epoch"]),
            of_stages(fold["validation_loss"], ".4f"),
            fold["validation_auc"]["slices"]["any"],
            fold["validation_auc"]["exams"]["any"],
            fold["aggregator"],
        )
        for fold in card["folds"]
    )
    notes = (
        "Epochs: how many were trained, and which was kept.",
        "Validation: the patients who choose the epoch, calibrate and set thresholds. Choose recipes by these columns.",
    )
    return Table("folds", "How each fold was trained", columns, rows, notes)


def of_stages(value: Any, form: str = "") -> str:
    """One model's number, or those of several stages: `gate 6, subtypes 4`."""
    if isinstance(value, Mapping):
        return ", ".join(f"{stage} {each:{form}}" for stage, each in value.items())
    return f"{value:{form}}"
