"""Writes the tables of comparisons into docs/field.md from results/field-*.json.

`--check` says whether they are up to date (a test asks).
"""

import json
import sys

from pages import ROOT, rewrite

from ichnos.reporting.field_tables import field_tables

STUDIES = {"field": "field-ct-ich", "parts": "parts-ct-ich", "phantom": "field-phantom"}
"""A place on the page for each study."""

COSTS_ALONE = {"phantom"}
"""Of three test patients: what each recipe reached there stands in its scorecard, and ranks nothing."""


def tables(place: str, study: str) -> str:
    """As Markdown, with the command that made them."""
    path = ROOT / "results" / f"{study}.json"
    if not path.exists():
        return "Not run yet."
    card = json.loads(path.read_text(encoding="utf-8"))
    lines = [f"`results/{study}.json`, made by `{card['command']}`:", ""]
    made = list(field_tables(card).values())
    lines += [table.to_markdown() for table in (made[-1:] if place in COSTS_ALONE else made)]
    return "\n".join(lines).rstrip()


def main() -> int:
    """Rewrite the page, or with --check compare."""
    made = {place: tables(place, study) for place, study in STUDIES.items()}
    return rewrite("field_table.py", {"docs/field.md": made})


if __name__ == "__main__":
    sys.exit(main())
