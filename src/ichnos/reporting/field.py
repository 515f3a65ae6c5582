"""A comparison of many recipes as one self-contained page, and as Markdown."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ichnos
from ichnos.files import write_text
from ichnos.progress import SILENT, Progress
from ichnos.reporting.asked_sensitivity import asked_of_folds, asked_words
from ichnos.reporting.checklist import who_words
from ichnos.reporting.field_figures import field_figures
from ichnos.reporting.field_gains import printed_gains
from ichnos.reporting.field_tables import field_tables
from ichnos.reporting.folds import doubts, estimate_text, how_measured
from ichnos.reporting.measured_recipe import MeasuredRecipe
from ichnos.reporting.rendering import rendered
from ichnos.reporting.study_checklist import answers_of_field, left_of_study, widest
from ichnos.reporting.unfitted import Unfitted

WITHOUT_DELONG = (
    "Differences are tested by the bootstrap over patients. DeLong's test is of one model's scores on independent "
    "cases: over folds the scores are several models', and slices of a patient hang together. ichnos compare, given "
    "the folders of two of these recipes, has it beside the bootstrap for patients, and for exams where every "
    "patient has one."
)
"""Why no p here is DeLong's."""


@dataclass(frozen=True, eq=False)
class FieldReport:
    """What the page is made of."""

    scorecard: Mapping[str, Any]
    measured: tuple[MeasuredRecipe, ...]


def write_field(report: FieldReport, out: Path, progress: Progress = SILENT) -> None:
    """Write report.md and report.html into `out`; the page holds everything it shows."""
    card, first = report.scorecard, report.measured[0].card
    recipes = {each.name: each.recipe for each in report.measured}
    cards = {each.name: each.card for each in report.measured}
    items = answers_of_field(card, recipes, cards)
    told: dict[str, Any] = {
        "card": card,
        "title": card["title"] or f"{len(report.measured)} recipes on {card['source']}",
        "counts": first["counts"],
        "how": " ".join(how_measured(first)),
        "asked": asked_words(map(asked_of_folds, cards.values())),
        "who": who_words(widest(cards)),
        "in_short": field_in_short(card),
        "doubts": [*doubts(card["source"], list(recipes.values())), *_unranked(card), *_unfitted(cards)],
        "no_delong": WITHOUT_DELONG,
        "tables": field_tables(card),
        "items": items,
        "left": left_of_study(items),
        "version": ichnos.__version__,
    }
    write_text(out / "report.md", rendered("field.md.j2", **told))
    write_text(out / "report.html", rendered("field.html.j2", **told, figures=field_figures(report.measured, progress)))


def field_in_short(card: Mapping[str, Any]) -> list[str]:
    """Which recipe leads, of how many it can be told, and which steps can be told from chance; only what was ranked
    and compared."""
    said: list[str] = []
    if card["ranking"] and card["ranking"]["rows"]:
        best, *others = card["ranking"]["rows"]
        auc = card["recipes"][best["recipe"]]["exams"]["classes"]["any"]["auc_mean_of_folds"]
        told = sum(_is_told(row["difference"]) for row in others)
        of_others = f" {told or 'None'} of the others ({len(others)}) can be told from it (p after Holm below 0.05)."
        said.append(
            f"Any hemorrhage in exams: {best['recipe']} has the largest AUC, {estimate_text(auc)}, mean of folds."
            f"{of_others if others else ''}"
        )
    steps = [step for step in card["steps"] if not step["why_not"]]
    found = [step for step in steps if any(_is_told(gain) for gain in printed_gains(step["gains"]))]
    if steps and card.get("gain_tests") == 0:
        said.append(f"No step has a p, in any hemorrhage or a subtype, of {len(steps)} compared.")
    elif steps:
        names = ", ".join(f"{step['recipe']} against {step['against']}" for step in found)
        said.append(
            f"Steps with a p after Holm below 0.05, in any hemorrhage or a subtype: {names or 'none'}, of {len(steps)} "
            "compared."
        )
    return said


def _is_told(difference: Mapping[str, Any]) -> bool:
    p = difference.get("holm_p")
    return p is not None and p < SURE


SURE = 0.05
"""Below it a corrected p tells a difference from chance."""


def _unranked(card: Mapping[str, Any]) -> list[str]:
    """Where a ranking was wanted and there is none."""
    if not card["ranking"] or card["ranking"]["rows"]:
        return []
    return ["No recipe is ranked: of none is the AUC of any hemorrhage in exams defined."]


def _unfitted(cards: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What the readouts of the recipes, by name, lack: each sentence once, with whom it is of unless it is of all."""
    who: dict[str, list[str]] = {}
    for name, card in cards.items():
        for sentence in Unfitted.of_folds(card).sentences:
            who.setdefault(sentence, []).append(name)
    return [
        sentence if len(names) == len(cards) else f"{', '.join(names)}: {sentence[0].lower()}{sentence[1:]}"
        for sentence, names in who.items()
    ]
