"""Writes docs/performance.md's tables from results/bench-*.json; `--check` says whether they are up to date."""

import json
import sys

from pages import ROOT, rewrite

from ichnos.workflows.bench import table, train_table

BENCHMARKS = {  # by the end of the file's name
    "predict": (table.predict_rows, table.predict_circumstances),
    "predict-shipped": (table.predict_rows, table.predict_circumstances),
    "prepare": (table.prepare_rows, table.prepare_circumstances),
    "train": (train_table.train_rows, train_table.train_circumstances),
    "train-bf16": (train_table.numerics_rows, train_table.numerics_circumstances),
    "evaluate": (table.evaluate_rows, table.evaluate_circumstances),
    "growth": (table.growth_rows, table.growth_circumstances),
}


def made(name: str) -> str:
    """The table of one benchmark as Markdown, with what it was measured on below it."""
    rows, circumstances = BENCHMARKS[name]
    file = ROOT / "results" / f"bench-{name}.json"
    if not file.exists():
        return "Not measured yet."
    tree = json.loads(file.read_text(encoding="utf-8"))
    lines = ["| what | measured | aim |", "|---|---|---|"]
    lines += [f"| {what} | {measured} | {aim} |" for what, measured, aim in rows(tree)]
    return "\n".join([*lines, "", circumstances(tree)])


def profile() -> str:
    """Where the time of predict, prepare and train goes, as Markdown."""
    files = [ROOT / "results" / f"bench-{name}.json" for name in ("predict", "prepare", "train")]
    if not all(file.exists() for file in files):
        return "Not measured yet."
    trees = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    return "\n".join(["| what | its time |", "|---|---|", *(f"| {a} | {b} |" for a, b in table.profile_rows(*trees))])


def main() -> int:
    """Rewrite the page, or with --check compare."""
    tables = {f"bench-{name}": made(name) for name in BENCHMARKS}
    return rewrite("bench_table.py", {"docs/performance.md": tables | {"bench-profile": profile()}})


if __name__ == "__main__":
    sys.exit(main())
