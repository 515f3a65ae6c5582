"""Writes docs/performance.md's tables from results/bench-*.json; `--check` says whether they are up to date."""

import json
import sys
from pathlib import Path

from ichnos.workflows.bench import table

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"

BENCHMARKS = {
    "predict": (table.predict_rows, table.predict_circumstances),
    "prepare": (table.prepare_rows, table.prepare_circumstances),
    "train": (table.train_rows, table.train_circumstances),
    "evaluate": (table.evaluate_rows, table.evaluate_circumstances),
    "growth": (table.growth_rows, table.growth_circumstances),
}


def made(name: str) -> str:
    """The table of `ichnos bench NAME` as Markdown, with what it was measured on below it."""
    rows, circumstances = BENCHMARKS[name]
    file = ROOT / "results" / f"bench-{name}.json"
    if not file.exists():
        return "Not measured yet."
    tree = json.loads(file.read_text(encoding="utf-8"))
    lines = ["| what | measured | aim |", "|---|---|---|"]
    lines += [f"| {what} | {measured} | {aim} |" for what, measured, aim in rows(tree)]
    return "\n".join([*lines, "", circumstances(tree)])


def with_tables(text: str) -> str:
    """The page with what stands between the marks replaced."""
    for name in BENCHMARKS:
        begin, end = f"<!-- bench-{name}: python tools/bench_table.py -->", f"<!-- /bench-{name} -->"
        head, _, rest = text.partition(begin)
        text = f"{head}{begin}\n{made(name)}\n{end}{rest.partition(end)[2]}"
    return text


def main() -> int:
    """Rewrite the page, or with --check compare."""
    old = PAGE.read_text(encoding="utf-8")
    new = with_tables(old)
    if "--check" in sys.argv:
        return int(old != new)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
