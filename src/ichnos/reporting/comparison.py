"""A comparison of two models as one self-contained page, and as Markdown."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ichnos
from ichnos.evaluation.intervals import ALL_AGREE
from ichnos.evaluation.paired_cases import Cases
from ichnos.files import write_text
from ichnos.progress import SILENT, Progress
from ichnos.reporting.asked_sensitivity import asked_words
from ichnos.reporting.comparison_figures import forest, rocs
from ichnos.reporting.comparison_tables import (
    UNTESTED,
    comparison_tables,
    p_text,
    rows_of,
    together,
    untested,
    why_no_calls,
)
from ichnos.reporting.evaluation_tables import LEVELS, mapping_words, mark
from ichnos.reporting.field_gains import TOO_FEW, WHY_TOO_FEW
from ichnos.reporting.rendering import rendered
from ichnos.reporting.style import drawn
from ichnos.subtypes import Subtype

Tree = Mapping[str, Any]

NOT_WHETHER_IT_MATTERS = (
    "A p says how surely two models differ on cases like these, not whether the difference matters."
)


@dataclass(frozen=True, eq=False)
class ComparisonReport:
    """What the page is made of: comparison.json's tree, and at each level what both models said."""

    tree: Tree
    cases: tuple[Cases, ...]


def write_comparison(report: ComparisonReport, out: Path, progress: Progress = SILENT) -> None:
    """Write report.md and report.html into `out`; the page holds everything it shows."""
    tree = report.tree
    wanted = [
        partial(figure, of, rows_of(tree, each.level.value), tree["mapping"])
        for each in report.cases
        for figure, of in ((rocs, each), (forest, each.level.value))
    ]
    made = drawn(wanted, progress)
    figures = {each.level.value: made[2 * k : 2 * k + 2] for k, each in enumerate(report.cases)}
    page = rendered(
        "comparison.html.j2",
        tree=tree,
        mapped=mapping_words(tree["mapping"]),
        in_short=in_short(tree),
        asked=asked_words(tree["high_sensitivity"].values()),
        tested=tested_words(tree),
        untested=UNTESTED,
        notes=[f"{note[0].upper()}{note[1:]}." for note in tree["notes"]],
        matters=NOT_WHETHER_IT_MATTERS,
        tables=comparison_tables(tree),
        no_calls={level: why_no_calls(rows_of(tree, level)) for level in figures},
        figures=figures,
        together=together(tree),
        version=ichnos.__version__,
    )  # fmt: skip
    write_text(out / "report.md", comparison_report(tree))
    write_text(out / "report.html", page)


def in_short(tree: Tree) -> list[str]:
    """A sentence a level: any hemorrhage where it is compared, else the first class that is."""
    sentences: list[str] = []
    for level in dict.fromkeys(row["level"] for row in tree["rows"]):
        row = rows_of(tree, level)[0]
        difference, c = row["difference"], Subtype(row["class"])
        name = c.display_name + mark(c, tree["mapping"])
        said = f"{name}, {row['n']:,} {LEVELS[level]} ({row['positives']:,} positive): "
        if difference["value"] is None:
            sentences.append(f"{said}{difference['note']}.")
            continue
        said += f"AUC {row['auc_first']:.3f} and {row['auc_second']:.3f}, the second less the first "
        said += _difference(difference)
        tested = "no p" if difference["holm_p"] is None else f"p after Holm {p_text(difference['holm_p'])}"
        sentences.append(f"{said}; {tested}.")
    return sentences


def tested_words(tree: Tree) -> str:
    """Which p belong together."""
    tests = tree["tested"]
    return (
        f"{tree['correction']}: {tests['bootstrap']} by the bootstrap are one family, {tests['delong']} by DeLong's "
        "test another"
    )


def comparison_report(tree: Tree) -> str:
    """The whole report as Markdown, from comparison.json's tree."""
    first, second = (tree[name] for name in ("first", "second"))
    lines = [
        f"# Two models on the same {tree['rows_of']}s",
        "",
        f"**{tree['notice']}**",
        "",
        f"First: `{first['file']}` ({first['sha256'][:12]}). Second: `{second['file']}` ({second['sha256'][:12]}).",
        f"An exam's score is {tree['exam_score']}. Differences are of AUC here, the second less the first.",
        "",
        "| level | class | n | positives | first | second | difference | bootstrap p (Holm) | DeLong p (Holm) |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
        *(_row(row, tree["mapping"]) for row in tree["rows"]),
        "",
        f"Brackets: 95 % intervals, {tree['bootstrap']['resamples']:,} resamples of patients, the same for both.",
        f"In parentheses: p after {tested_words(tree)}.",
        "",
        *([f"- † {mapping_words(tree['mapping'])}."] if tree["mapping"] else []),
        *(f"- {note[0].upper()}{note[1:]}." for note in tree["notes"]),
        f"- {NOT_WHETHER_IT_MATTERS}",
        *([f"- {WHY_TOO_FEW}"] if any(row["descriptive_only"] for row in tree["rows"]) else []),
        *(f"- {reason}" for reason in untested(tree["rows"])),
        "",
        "## Beside AUC",
        "",
        UNTESTED,
        "",
    ]
    for level, (_, *tables) in comparison_tables(tree).items():
        lines += [table.to_markdown() for table in tables]
        if len(tables) == 1:
            lines += [f"{LEVELS[level].capitalize()}: {reason}\n" for reason in why_no_calls(rows_of(tree, level))]
    lines += [table.to_markdown() for table in together(tree)]
    return "\n".join(lines).rstrip() + "\n"


def _row(row: Tree, mapping: Tree) -> str:
    difference, exact, c = row["difference"], row["delong"], Subtype(row["class"])
    cells = [
        row["level"],
        c.display_name.lower() + mark(c, mapping),
        f"{row['n']:,}",
        f"{row['positives']:,}",
        _auc(row["auc_first"]),
        _auc(row["auc_second"]),
        _difference(difference),
        _p_cell(row, difference["bootstrap_p"], difference["holm_p"]),
        "–" if exact is None else _p_cell(row, exact["p"], exact["holm_p"]),
    ]
    return f"| {' | '.join(cells)} |"


def _auc(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _difference(tree: Tree) -> str:
    if tree["value"] is None:
        return tree["note"] or "not defined"
    value = f"{tree['value']:+.3f}"
    if tree["low"] is not None:
        value += f" ({ALL_AGREE})" if tree["low"] == tree["high"] else f" [{tree['low']:+.3f}, {tree['high']:+.3f}]"
    return value.replace("-", "−")


def _p_cell(row: Tree, p: float | None, corrected: float | None) -> str:
    if row["descriptive_only"]:
        return TOO_FEW
    return "–" if p is None else f"{p_text(p)} ({p_text(corrected)})"
