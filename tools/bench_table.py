"""Writes docs/performance.md's table from results/bench-predict.json; `--check` says whether it is up to date."""

import json
import sys
from pathlib import Path

from ichnos.workflows.bench.table import predict_circumstances, predict_rows

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- bench-predict: python tools/bench_table.py -->", "<!-- /bench-predict -->"


def table() -> str:
    """The table of `ichnos bench predict` as Markdown, with what it was measured on below it."""
    tree = json.loads((ROOT / "results" / "bench-predict.json").read_text(encoding="utf-8"))
    lines = ["| what | measured | aim |", "|---|---|---|"]
    lines += [f"| {what} | {measured} | {aim} |" for what, measured, aim in predict_rows(tree)]
    return "\n".join([*lines, "", predict_circumstances(tree)])


def with_table(text: str) -> str:
    """The page with what stands between the marks replaced."""
    head, _, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


def main() -> int:
    """Rewrite the page, or with --check compare."""
    old = PAGE.read_text(encoding="utf-8")
    new = with_table(old)
    if "--check" in sys.argv:
        return int(old != new)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
