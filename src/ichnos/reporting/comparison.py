"""A comparison of two models as Markdown."""

from collections.abc import Mapping
from typing import Any

from ichnos.reporting.field_gains import TOO_FEW, WHY_TOO_FEW
from ichnos.subtypes import Subtype


def comparison_report(tree: Mapping[str, Any]) -> str:
    """The whole report, from comparison.json's tree."""
    first, second = (tree[name] for name in ("first", "second"))
    lines = [
        f"# Two models on the same {tree['rows_of']}s",
        "",
        f"**{tree['notice']}**",
        "",
        f"First: `{first['file']}` ({first['sha256'][:12]}). Second: `{second['file']}` ({second['sha256'][:12]}).",
        f"An exam's score is {tree['exam_score']}. Differences are of AUC, the second less the first.",
        "",
        "| level | class | n | positives | first | second | difference | bootstrap p (Holm) | DeLong p (Holm) |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
        *(_row(row) for row in tree["rows"]),
        "",
        f"Brackets: 95 % intervals, {tree['bootstrap']['resamples']:,} resamples of patients, the same for both.",
        f"In parentheses: p after {tree['correction']}.",
        "",
        *(f"- {note[0].upper()}{note[1:]}." for note in tree["notes"]),
        "- A p says how surely two models differ on cases like these, not whether the difference matters.",
        *_untested(tree["rows"]),
    ]
    return "\n".join(lines) + "\n"


def p_text(p: float | None) -> str:
    """A p value; a dash where nothing was tested."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _row(row: Mapping[str, Any]) -> str:
    difference, exact = row["difference"], row["delong"]
    name = Subtype(row["class"]).display_name.lower()
    cells = [
        row["level"],
        name,
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


def _difference(tree: Mapping[str, Any]) -> str:
    if tree["value"] is None:
        return tree["note"] or "not defined"
    interval = "" if tree["low"] is None else f" [{tree['low']:+.3f}, {tree['high']:+.3f}]"
    return f"{tree['value']:+.3f}{interval}".replace("-", "−")


def _p_cell(row: Mapping[str, Any], p: float | None, corrected: float | None) -> str:
    if row["descriptive_only"]:
        return TOO_FEW
    return "–" if p is None else f"{p_text(p)} ({p_text(corrected)})"


def _untested(rows: list[Mapping[str, Any]]) -> list[str]:
    """Why some rows have no p, each reason once."""
    told = [f"- {WHY_TOO_FEW}"] if any(row["descriptive_only"] for row in rows) else []
    tested = [row["difference"] for row in rows if not row["descriptive_only"]]
    reasons = dict.fromkeys(each["untested"] for each in tested if each["untested"])
    return told + [f"- No bootstrap p where there are {reason}." for reason in reasons]
