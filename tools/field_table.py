"""Writes the tables of comparisons from results/field-*.json: the whole of each into a page beside it, the few that
the guide speaks of into docs/field.md.

`--check` says whether they are up to date (a test asks).
"""

import json
import sys
from collections.abc import Collection, Mapping

from pages import ROOT, command_block, rewrite

from ichnos.reporting.field_tables import field_tables
from ichnos.reporting.table import Table

STUDIES = ("field-ct-ich", "parts-ct-ich", "epidural-ct-ich", "field-phantom")

LATER = "field-phantom-venugopal"
"""Of one recipe that has changed since every recipe was run once; it stands on the same page."""

WHOLE: Mapping[str, Collection[str]] = {
    "epidural-ct-ich": ("any", "subtypes_slices", "subtypes_exams", "gains", "gains_epidural", "cost"),
    "field-phantom": ("cost",),
    LATER: ("cost",),
}
"""Of some studies a few tables; the rest stands in their scorecards. Three test patients of a phantom rank nothing."""

GUIDE = {
    "field": ("field-ct-ich", ("any", "gains")),
    "parts": ("parts-ct-ich", ("gains",)),
    "drawn": ("epidural-ct-ich", ("gains_epidural",)),
}
"""The guide's places, the study of each and its tables there."""


def tables(study: str) -> dict[str, Table]:
    """Of one study, by name."""
    return field_tables(_card(study))


def page_of(study: str) -> str:
    """All that a study's page shows, with the command that made it."""
    made = tables(study)
    lines = [f"`results/{study}.json`, made by", "", command_block(_card(study)["command"]), ""]
    return "\n".join([*lines, *(made[name].to_markdown() for name in WHOLE.get(study, made))]).rstrip()


def _card(study: str) -> Mapping[str, object]:
    return json.loads((ROOT / "results" / f"{study}.json").read_text(encoding="utf-8"))


def main() -> int:
    """Rewrite the pages, or with --check compare."""
    guide = {
        place: "\n".join(tables(study)[name].to_markdown() for name in names).rstrip()
        for place, (study, names) in GUIDE.items()
    }
    pages = {f"results/{study}.md": {study: page_of(study)} for study in STUDIES}
    pages["results/field-phantom.md"][LATER] = page_of(LATER)
    return rewrite("field_table.py", {"docs/field.md": guide, **pages})


if __name__ == "__main__":
    sys.exit(main())
