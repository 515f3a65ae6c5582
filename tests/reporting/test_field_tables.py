"""The tables of a field study, from the scorecard of one that was run."""

import json
from pathlib import Path

from ichnos.reporting.field_gains import TRAINED_ONCE
from ichnos.reporting.field_tables import field_tables
from ichnos.reporting.table import Kind

STUDY = Path(__file__).parents[2] / "results" / "field-ct-ich.json"


def test_every_table_of_differences_says_that_each_recipe_was_trained_once() -> None:
    tables = field_tables(json.loads(STUDY.read_text(encoding="utf-8")))
    of_differences = {name for name, table in tables.items() if any(c.kind is Kind.CHANGE for c in table.columns)}
    assert of_differences >= {"gains", "gains_epidural", "ranking"}
    assert {name for name, table in tables.items() if TRAINED_ONCE in table.notes} == of_differences
