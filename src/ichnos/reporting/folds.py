"""A study by folds in a few words and tables of Markdown: for its own report, for model cards and for results/."""

from collections.abc import Mapping, Sequence
from typing import Any

from ichnos.evaluation.intervals import ALL_AGREE
from ichnos.recipe import AnyKind
from ichnos.subtypes import Subtype

LEVELS = {"slices": "slice", "exams": "exam"}

_MOST = 0.95
"""Of the resamples: where fewer define a mean over folds, the table says how many."""


def is_folds(scorecard: Mapping[str, Any] | None) -> bool:
    """Whether a scorecard is one that `ichnos study folds` wrote."""
    return (scorecard or {}).get("form") == "ichnos-folds"


def folds_text(scorecard: Mapping[str, Any]) -> str:
    """`5 folds`, or that it was one split."""
    return "one split" if len(scorecard["folds"]) == 1 else f"{len(scorecard['folds'])} folds"


def how_measured(scorecard: Mapping[str, Any]) -> list[str]:
    """On whom, in a sentence."""
    if len(scorecard["folds"]) == 1:
        return [
            "The validation patients choose the epoch, calibrate and set the thresholds; the test patients are",
            "measured once, by a model that has not seen them.",
        ]
    return [
        "Fold k tests, fold k+1 chooses the epoch, calibrates and sets the thresholds, the others train: every patient",
        "is measured once, by a model that has not seen them.",
    ]


def doubts(source: str, recipes: Sequence[AnyKind]) -> list[str]:
    """What whoever reads the numbers must know first."""
    said = ["These slices are synthetic: the numbers say nothing of patients."] if source == "phantom" else []
    positives = [recipe.name for recipe in recipes if recipe.population.slices == "positives"]
    if positives:
        whom = "" if len(recipes) == 1 else f" ({', '.join(positives)})"
        said.append(
            f"Trained and measured on slices with hemorrhage alone{whom}: nothing is said of finding them, of exams or "
            "of patients, and specificity is among slices with another hemorrhage."
        )
    return said


def first_weights(tree: Mapping[str, Any]) -> str:
    """Of one model, or of each stage of a cascade."""
    return tree["remark"] if "remark" in tree else "; ".join(f"{stage}: {w['remark']}" for stage, w in tree.items())


def folds_tables(scorecard: Mapping[str, Any]) -> list[str]:
    """AUC, then operating points and calibration, each for slices and exams, as lines of Markdown.

    Calibration has intervals where `levels` has them; scorecards from before those have numbers alone.
    """
    return [
        "| | positives (patients) | AUC, pooled | AUC, mean of folds | average precision |",
        "|---|---|---|---|---|",
        *_rows(scorecard, _auc_cells),
        "",
        "| | high sensitivity: sens. / spec. | balanced: sens. / spec. | ECE, raw → calibrated | Brier, the same |",
        "|---|---|---|---|---|",
        *_rows(scorecard, _point_cells),
        "",
        "\\* fewer than ten positive or ten negative patients: descriptive only. Raw: a slice's as the network gives",
        "it, an exam's as the fitted aggregator makes it of these, not yet scaled. “Of 90 % of resamples”: the",
        "others leave some fold where all have the class, or nobody has.",
        *_notes_of_means(scorecard),
    ]


def _notes_of_means(scorecard: Mapping[str, Any]) -> list[str]:
    """A paragraph that says of which classes a mean of folds has no interval or leaves a fold out, and why; nothing
    where none does. Shares of resamples stand in the cells."""
    whose: dict[str, dict[str, list[str]]] = {}
    for level, name in LEVELS.items():
        for c, row in reversed(scorecard[level]["classes"].items()):  # in the order of the rows
            mean = row["auc_mean_of_folds"]
            parts = (mean["note"] or "").split("; ") if mean["value"] is not None else []
            for part in parts:
                if part.startswith(("no interval", "of the ")):
                    of_class = whose.setdefault(part.replace(": ", ", as "), {})
                    of_class.setdefault(Subtype(c).display_name.lower(), []).append(name)
    said = [f"{part} ({', '.join(_named(found))})" for part, found in whose.items()]
    return ["", "Means of folds:", *(f"{each};" for each in said[:-1]), f"{said[-1]}."] if said else []


def _named(classes: Mapping[str, Sequence[str]]) -> list[str]:
    """With the level, where it is of one alone."""
    return [c if len(levels) == len(LEVELS) else f"{c} by {levels[0]}" for c, levels in classes.items()]


def _rows(scorecard: Mapping[str, Any], cells: Any) -> list[str]:
    lines: list[str] = []
    for level, name in LEVELS.items():
        for c, row in reversed(scorecard[level]["classes"].items()):  # `any` first
            mark = " *" if row["descriptive_only"] else ""
            told = {**row, "calibration": _calibration(scorecard, name, c) or row["calibration"]}
            lines.append(f"| {name}: {Subtype(c).display_name.lower()}{mark} | {' | '.join(cells(told))} |")
    return lines


def _calibration(scorecard: Mapping[str, Any], level: str, c: str) -> Mapping[str, Any] | None:
    """With intervals; None where the level or the class has none."""
    return scorecard.get("levels", {}).get(level, {"classes": {}})["classes"].get(c, {}).get("calibration")


def _auc_cells(row: Mapping[str, Any]) -> list[str]:
    return [
        f"{row['positives']} ({row['positive_patients']})",
        estimate_text(row["auc"]),
        _mean_text(row["auc_mean_of_folds"]),
        estimate_text(row["average_precision"]),
    ]


def _mean_text(estimate: Mapping[str, Any]) -> str:
    """A mean of folds, with how many resamples its interval is of where that is much less than all."""
    share = estimate["defined_share"]
    if share is None or share >= _MOST:
        return estimate_text(estimate)
    return f"{estimate_text(estimate)} (of {100 * share:.0f} % of resamples)"


def _point_cells(row: Mapping[str, Any]) -> list[str]:
    points = [row["operating_points"][name] for name in ("high_sensitivity", "balanced")]
    before, after = row["calibration"]["before"], row["calibration"]["after"]
    return [
        *(f"{estimate_text(p['sensitivity'], 2)} / {estimate_text(p['specificity'], 2)}" for p in points),
        *(f"{_number(before[k])} → {_number(after[k])}" for k in ("expected_calibration_error", "brier")),
    ]


def _number(told: Mapping[str, Any] | float) -> str:
    return estimate_text(told) if isinstance(told, Mapping) else f"{told:.3f}"


def estimate_text(estimate: Mapping[str, Any], digits: int = 3) -> str:
    """`0.912 [0.870, 0.950]`, without brackets where there is no interval or all resamples agree."""
    if estimate["value"] is None:
        return "not defined"
    if estimate["low"] is None:
        return f"{estimate['value']:.{digits}f}"
    if estimate["low"] == estimate["high"]:
        return f"{estimate['value']:.{digits}f} ({ALL_AGREE})"
    return f"{estimate['value']:.{digits}f} [{estimate['low']:.{digits}f}, {estimate['high']:.{digits}f}]"
