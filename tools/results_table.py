"""Writes the tables of results from results/*.json into README.md and results/README.md.

`--check` says whether they are up to date (a test asks).
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

from pages import ROOT, rewrite

from ichnos.reporting.evaluation_tables import localisation
from ichnos.reporting.folds import estimate_text, folds_tables

TITLES = {
    "ct-ich-paper-epochs": "ct-ich (real), random weights, the paper's epochs: too short to learn from",
    "ct-ich-from-scratch": "ct-ich (real), random weights, from-scratch length",
    "ct-ich-from-phantom": "ct-ich (real), the phantom's weights, the paper's epochs",
    "phantom-paper-epochs": "phantom (synthetic), random weights, the paper's epochs",
    "phantom-from-phantom": "phantom (synthetic), the phantom's weights (of other heads), the paper's epochs",
    "phantom-from-scratch": "phantom (synthetic), random weights, from-scratch length",
}


FOLDS = {
    "reader-from-scratch-ct-ich": "three slices as channels, random weights",
    "reader-plain-ct-ich": "three slices as channels, the phantom's weights",
    "reader-ct-ich": "the same with synthetic lesions",
    "reader-ct-ich-seed-1": "the same, other folds (split seed 1)",
    "reader-ct-ich-seed-2": "the same, other folds (split seed 2)",
    "reader-ct-ich-seed-3": "the same, other folds (split seed 3)",
    "reader-views-ct-ich": "the first folds' networks, each slice with its mirror image",
    "single-from-scratch-ct-ich": "single slices, random weights",
    "small-from-scratch-ct-ich": "the same with `small-cnn`, a tenth of the parameters",
    "single-ct-ich": "single slices, the phantom's weights, no synthetic lesions",
    "single-views-ct-ich": "the same networks, each slice with its mirror image",
    "single-views-ct-ich-seed-1": "the same, other folds (split seed 1)",
    "single-views-ct-ich-seed-2": "the same, other folds (split seed 2)",
    "single-views-ct-ich-seed-3": "the same, other folds (split seed 3)",
    "single-160-ct-ich": "single slices at 160 px, from weights of that size",
    "single-160-views-ct-ich": "the same networks, each slice with its mirror image",
    "single-160-views-ct-ich-seed-1": "the same, other folds (split seed 1)",
    "single-160-views-ct-ich-seed-2": "the same, other folds (split seed 2)",
    "single-160-views-ct-ich-seed-3": "the same, other folds (split seed 3)",
    "pair-ct-ich": "`ensemble_pair`, 160 px with mirror images and 96 px averaged: the bundle's procedure",
    "pair-from-scratch-ct-ich": "the bundle's procedure from random weights, 8 epochs",
    "pair-ct-ich-seed-1": "the bundle's procedure, other folds (split seed 1)",
    "pair-ct-ich-seed-2": "the bundle's procedure, other folds (split seed 2)",
    "pair-ct-ich-seed-3": "the bundle's procedure, other folds (split seed 3)",
}

BUNDLE = {name: title for name, title in FOLDS.items() if name.startswith("pair-")} | {
    "single-160-views-ct-ich": "`model_2_any_160_views`, a network like the better of its two, alone",
    "single-ct-ich": "`model_2_any_25d`: single slices, 96 px, the phantom's weights, 6 epochs",
    "single-from-scratch-ct-ich": "`model_2_any`, the same from random weights, 12 epochs",
    "pair-ct-ich": "the bundle's procedure",
}
"""What the front page shows; results/README.md has every procedure that was measured."""

MEASURES = ("slice AUC", "mean of folds", "exam AUC", "mean of folds", "exam, high sensitivity", "balanced")
"""Of any hemorrhage, in the tables of procedures."""


def study_table() -> str:
    """As Markdown: a row a model, a block a study, each number with its interval."""
    lines = [
        "| study and model | test slices (patients) | exact match | macro F1 | mean AUC | loss |",
        "|---|---|---|---|---|---|",
    ]
    paper: dict[str, Any] = {}
    for name, title in TITLES.items():
        path = ROOT / "results" / f"{name}.json"
        if not path.exists():
            continue
        card = json.loads(path.read_text(encoding="utf-8"))
        lines.append(f"| **{title}** | | | | | |")
        for model in card["models"].values():
            test = model["test"]
            paper |= {model["label"]: model["paper"]} if model["paper"] else {}
            cells = [_cell(test[metric]) for metric in ("exact_match", "macro_f1", "mean_auc", "loss_mean")]
            lines.append(f"| {model['label']} | {test['slices']} ({test['patients']}) | {' | '.join(cells)} |")
    lines.append("| *the paper, RSNA 2019, its validation set* | | | | | |")
    for label, row in paper.items():
        cells = [f"{row[metric]:.3g}" for metric in ("exact_match", "macro_f1", "mean_auc", "loss")]
        lines.append(f"| {label} | – | {' | '.join(cells)} |")
    return "\n".join(lines)


def front_table() -> str:
    """Any hemorrhage over folds, a row a study of the front page."""
    lines = [f"| procedure | {' | '.join(MEASURES)} |", "|---" * (1 + len(MEASURES)) + "|"]
    lines += [f"| {title} | {' | '.join(cells)} |" for _, title, cells in _rows(BUNDLE)]
    return "\n".join(lines)


def reader_table() -> str:
    """Any hemorrhage over folds, a row a study, with the name of its file."""
    lines = [f"| procedure | file | {' | '.join(MEASURES)} |", "|---" * (2 + len(MEASURES)) + "|"]
    lines += [f"| {title} | `{name}.json` | {' | '.join(cells)} |" for name, title, cells in _rows(FOLDS)]
    return "\n".join(lines)


def _rows(studies: Mapping[str, str]) -> list[tuple[str, str, list[str]]]:
    """Of each study that is there: its name, its title, and a cell for each of MEASURES."""
    found: list[tuple[str, str, list[str]]] = []
    for name, title in studies.items():
        path = ROOT / "results" / f"{name}.json"
        if not path.exists():
            continue
        card = json.loads(path.read_text(encoding="utf-8"))
        rows = [card[level]["classes"]["any"] for level in ("slices", "exams")]
        cells = [estimate_text(row[measure]) for row in rows for measure in ("auc", "auc_mean_of_folds")]
        points = rows[1]["operating_points"]
        cells += [
            f"{estimate_text(points[p]['sensitivity'], 2)} / {estimate_text(points[p]['specificity'], 2)}"
            for p in ("high_sensitivity", "balanced")
        ]
        found.append((name, title, cells))
    return found


def classes_tables() -> str:
    """Every class of the bundle's procedure, from both kinds of first weights."""
    parts: list[str] = []
    for name in ("pair-ct-ich", "pair-from-scratch-ct-ich"):
        path = ROOT / "results" / f"{name}.json"
        if path.exists():
            card = json.loads(path.read_text(encoding="utf-8"))
            parts += [f"**{FOLDS[name]}** (`{name}.json`)", "", *folds_tables(card), ""]
    return "\n".join(parts).rstrip()


def maps_table() -> str:
    """Where the included bundle's class maps point, on synthetic slices whose blood is known."""
    card = json.loads((ROOT / "results" / "masked-phantom.json").read_text(encoding="utf-8"))
    return localisation(card).to_markdown().rstrip()


TABLES = {
    "README.md": {"results": study_table, "reader": front_table},
    "results/README.md": {"reader": reader_table, "classes": classes_tables, "maps": maps_table},
}


def _cell(estimate: dict[str, Any]) -> str:
    if estimate["value"] is None:
        return estimate["note"] or "not defined"
    return estimate_text(estimate)


def main() -> int:
    """Rewrite the pages, or with --check compare."""
    made = {page: {name: table() for name, table in tables.items()} for page, tables in TABLES.items()}
    return rewrite("results_table.py", made)


if __name__ == "__main__":
    sys.exit(main())
