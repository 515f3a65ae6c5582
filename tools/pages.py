"""How the tables of a page are replaced: all that stands between `<!-- NAME: python tools/SCRIPT.py -->` and
`<!-- /NAME -->`."""

import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]

Tables = Mapping[str, str]
"""Markdown by the name of its place."""

WIDTH = 118
"""Columns of a line of a command."""


def command_block(command: str) -> str:
    """A command as a block of Markdown that a shell reads as it stands: lines are broken before options, and where
    they are longer still behind the commas of a list, from where the next begins at the margin."""
    options: list[str] = []
    for word in shlex.split(command):
        if options and not word.startswith("--"):
            options[-1] += f" {shlex.quote(word)}"
        else:
            options.append(shlex.quote(word))
    lines = options[:1]
    for option in options[1:]:
        if len(lines[-1]) + len(option) < WIDTH:
            lines[-1] += f" {option}"
        else:
            lines.append(f"    {option}")
    return "```sh\n" + " \\\n".join(map(_broken, lines)) + "\n```"


def _broken(line: str) -> str:
    """A line cut behind commas; what is quoted, or has none, stays as long as it is."""
    pieces = [line] if "'" in line else re.split(r"(?<=,)", line)
    cut = pieces[:1]
    for piece in pieces[1:]:
        if len(cut[-1]) + len(piece) < WIDTH:
            cut[-1] += piece
        else:
            cut.append(piece)
    return "\\\n".join(cut)


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
