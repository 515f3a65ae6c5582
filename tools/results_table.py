"""Writes the README's table of results from results/*.json; `--check` says whether it is up to date (a test asks)."""

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- results: python tools/results_table.py -->", "<!-- /results -->"
TITLES = {
    "ct-ich-paper-epochs": "ct-ich (real), random weights, the paper's epochs: too short to learn from",
    "ct-ich-from-scratch": "ct-ich (real), random weights, from-scratch length",
    "ct-ich-from-phantom": "ct-ich (real), the phantom's weights, the paper's epochs",
    "phantom-paper-epochs": "phantom (synthetic), random weights, the paper's epochs",
    "phantom-from-scratch": "phantom (synthetic), random weights, from-scratch length",
}


def table() -> str:
    """The table as Markdown: a row a model, a block a study, each number with its interval."""
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


def with_table(text: str) -> str:
    """The README's text with what stands between the marks replaced."""
    head, _, rest = text.partition(BEGIN)
    tail = rest.partition(END)[2]
    return f"{head}{BEGIN}\n{table()}\n{END}{tail}"


def _cell(estimate: dict[str, Any]) -> str:
    if estimate["value"] is None:
        return estimate["note"] or "not defined"
    if estimate["low"] is None:
        return f"{estimate['value']:.3f}"
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


def main() -> int:
    """Rewrite the README, or with --check compare."""
    readme = ROOT / "README.md"
    old = readme.read_text(encoding="utf-8")
    new = with_table(old)
    if "--check" in sys.argv:
        return int(old != new)
    readme.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
