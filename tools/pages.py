"""How the tables of a page are replaced: all that stands between `<!-- NAME: python tools/SCRIPT.py -->` and
`<!-- /NAME -->`."""

import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]

Tables = Mapping[str, str]
"""Markdown by the name of its place."""


def rewrite(script: str, pages: Mapping[str, Tables]) -> int:
    """Put tables into pages, named from the root on; with --check write nothing. Returns the exit code: 1 where one
    that was checked is out of date. script: the file name of who calls.

    Raises SystemExit where a page lacks a place.
    """
    stale = False
    for page, tables in pages.items():
        old = (ROOT / page).read_text(encoding="utf-8")
        new = _replaced(page, old, script, tables)
        if "--check" in sys.argv:
            stale |= old != new
        else:
            (ROOT / page).write_text(new, encoding="utf-8")
    return int(stale)


def _replaced(page: str, text: str, script: str, tables: Tables) -> str:
    for name, table in tables.items():
        begin, end = f"<!-- {name}: python tools/{script} -->", f"<!-- /{name} -->"
        head, opened, rest = text.partition(begin)
        _, closed, tail = rest.partition(end)
        if not opened or not closed:
            raise SystemExit(f"{page} has no place for the table {name}; write {begin} and {end} where it belongs")
        text = f"{head}{begin}\n{table}\n{end}{tail}"
    return text
