"""Writes the tables of comparisons into docs/field.md from results/field-*.json.

`--check` says whether they are up to date (a test asks).
"""

import json
import sys

from pages import ROOT, rewrite

from ichnos.reporting.field_tables import field_tables

STUDIES = {
    "field": "field-ct-ich",
    "parts": "parts-ct-ich",
    "drawn": "epidural-ct-ich",
    "phantom": "field-phantom",
    "phantom-parts": "field-phantom-parts",
}
"""A place on the page for each study."""

SHOWN = {
    "drawn": ("any", "subtypes_slices", "subtypes_exams", "gains", "gains_epidural", "cost"),
    "phantom": ("cost",),
    "phantom-parts": ("cost",),
}
"""Of some studies a few tables; the rest stands in their scorecards. Three test patients of a phantom rank nothing."""


def tables(place: str, study: str) -> str:
    """As Markdown, with the command that made them."""
    path = ROOT / "results" / f"{study}.json"
    if not path.exists():
        return "Not run yet."
    card = json.loads(path.read_text(encoding="utf-8"))
    lines = [f"`results/{study}.json`, made by `{card['command']}`:", ""]
    made = field_tables(card)
    lines += [made[name].to_markdown() for name in SHOWN.get(place, made)]
    return "\n".join(lines).rstrip()


def main() -> int:
    """Rewrite the page, or with --check compare."""
    made = {place: tables(place, study) for place, study in STUDIES.items()}
    return rewrite("field_table.py", {"docs/field.md": made})


if __name__ == "__main__":
    sys.exit(main())
