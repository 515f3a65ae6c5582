"""The tables of an evaluation, made from its scorecard."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ichnos.evaluation.calls import GIVEN
from ichnos.evaluation.intervals import Estimate
from ichnos.reporting.table import Cell, Column, Kind, Table
from ichnos.subtypes import CLASSES, Subtype

Tree = Mapping[str, Any]

ClassMapping = Mapping[str, Sequence[str]]
"""As it stands in a scorecard: for a class of the model those of the set that it is measured against."""

NOTHING_MAPPED: ClassMapping = {}
"""Each class is measured against itself."""

LEVELS = {"slice": "slices", "exam": "exams", "patient": "patients"}
"""The levels of a scorecard, and what is counted there."""

_RANKED = ("auc", "auc_mean_of_folds", "average_precision")

POINTS = {"high_sensitivity": "high sensitivity", "balanced": "balanced"}
_WITH_GIVEN = POINTS | {GIVEN: "given"}


def evaluation_tables(card: Tree) -> list[Table]:
    """All tables: for each level ranking and calibration, then calls; then the scores that are one number a level."""
    tables: list[Table] = []
    for level, tree in card["levels"].items():
        mapping = card.get("mapping", {})
        tables += [ranking(level, tree, mapping), calls(level, tree, card["prevalence"], mapping)]
    tables.append(whole(card))
    tables += [subgroups(card)] if card.get("subgroups") else []
    tables += [localisation(card)] if card.get("localisation") else []
    return tables


def mapping_words(mapping: ClassMapping) -> str:
    """Which classes of the model are measured against which of the set; nothing where each is against itself."""
    said = [
        f"{_lower(c)} is measured against {' or '.join(map(_lower, theirs))} of the set"
        for c, theirs in mapping.items()
    ]
    return ", ".join(said).capitalize() if said else ""


def ranking(level: str, tree: Tree, mapping: ClassMapping) -> Table:
    """How well probabilities rank, and whether they mean what they say, before and after calibration.

    mapping: for a class of the model those of the set that it is measured against, where it is not itself.
    """
    folds = any("auc_mean_of_folds" in row for _, row in _classes(tree))
    columns = (
        Column("Class", Kind.TEXT),
        Column("Positive", Kind.COUNT),
        Column("Positive patients", Kind.COUNT),
        *((Column("AUC, pooled", Kind.RATIO), Column("mean of folds", Kind.RATIO)) if folds else ()),
        *(() if folds else (Column("AUC", Kind.RATIO),)),
        Column("Average precision", Kind.RATIO),
        Column("Brier, raw", Kind.RATIO),
        Column("Brier, calibrated", Kind.RATIO),
        Column("ECE, raw", Kind.RATIO),
        Column("ECE, calibrated", Kind.RATIO),
    )
    rows: list[tuple[Cell, ...]] = []
    for c, row in _classes(tree):
        before, after = row["calibration"]["before"], row["calibration"]["after"]
        rows.append(
            (
                _name(c, row, mapping),
                row["positives"],
                row["positive_patients"],
                *(Estimate.from_json(row[name]) for name in _RANKED if name in row),
                *(Estimate.from_json(when["brier"]) for when in (before, after)),
                *(Estimate.from_json(when["expected_calibration_error"]) for when in (before, after)),
            )
        )
    said = f"{tree['n']:,} {LEVELS[level]} of {tree['patients']:,} patients"
    title = f"{_title(level)}: ranking and calibration, {said}"
    return Table(f"{level}_ranking", title, columns, tuple(rows), _few(tree, mapping))


def calls(level: str, tree: Tree, prevalence: Mapping[str, float], mapping: ClassMapping) -> Table:
    """What calls at each operating point are worth. mapping: as for `ranking`."""
    rates = {"sensitivity": "Sensitivity", "specificity": "Specificity", "ppv": "PPV", "npv": "NPV", "f1": "F1"}
    columns = [Column("Class", Kind.TEXT), Column("Point", Kind.TEXT), Column("Threshold", Kind.TEXT)]
    columns += [Column(title, Kind.RATIO) for title in rates.values()]
    at = ["ppv_at_prevalence", "npv_at_prevalence"] if prevalence else []
    columns += [Column(f"{name[:3].upper()} at prevalence", Kind.RATIO) for name in at]
    rows: list[tuple[Cell, ...]] = []
    for c, row in _classes(tree):
        for point, title in _WITH_GIVEN.items():
            if point not in row["operating_points"]:
                continue
            numbers = row["operating_points"][point]
            cells = [Estimate.from_json(numbers[name]) if name in numbers else None for name in (*rates, *at)]
            rows.append((_name(c, row, mapping), title, threshold_text(numbers["threshold"]), *cells))
    notes = list(_few(tree, mapping))
    if prevalence:
        notes.append(prevalence_note(level, prevalence))
    if given := any(GIVEN in row["operating_points"] for _, row in _classes(tree)):
        notes.append("Given: the threshold that was asked for, of the calibrated probability alone.")
    return Table(
        f"{level}_calls",
        f"{_title(level)}: calls at both operating points{' and at given thresholds' if given else ''}",
        tuple(columns),
        tuple(rows),
        tuple(notes),
        grouped=True,
    )


def prevalence_note(level: str, prevalence: Mapping[str, float]) -> str:
    """What predictive values at a prevalence are, in a sentence."""
    said = ", ".join(f"{_lower(c)} {100 * share:g} %" for c, share in prevalence.items())
    return (
        "At prevalence: sensitivity and specificity as measured here, and as if so many of all "
        f"{LEVELS[level]} had the class: {said}."
    )


def threshold_text(stated: float | Sequence[float]) -> str:
    """One model's, or the smallest and the largest of several folds'."""
    each = [stated] if isinstance(stated, float | int) else stated
    low, high = (_threshold(value) for value in (min(each), max(each)))
    return low if low == high else f"{low} to {high}"


def _threshold(value: float) -> str:
    """Two digits; near 1 two of what it lacks, as at 1 nothing would be called."""
    if not 0.9 < value < 1:
        return f"{value:.2g}"
    return f"{value:.{1 - math.floor(math.log10(1 - value))}f}".rstrip("0")


def whole(card: Tree) -> Table:
    """Scores that are one number a level: exact match, and Kaggle's loss of slices."""
    rows: list[tuple[Cell, ...]] = []
    for level, tree in card["levels"].items():
        match = [Estimate.from_json(tree["exact_match"][point]) for point in POINTS]
        loss = tree.get("kaggle_loss")
        losses = [Estimate.from_json(loss[when]) if loss else None for when in ("before", "after")]
        rows.append((_title(level), *match, *losses))
    columns = (
        Column("Level", Kind.TEXT),
        Column("Exact match, high sensitivity", Kind.RATIO),
        Column("Exact match, balanced", Kind.RATIO),
        Column("Kaggle's loss, raw", Kind.RATIO),
        Column("Kaggle's loss, calibrated", Kind.RATIO),
    )
    notes = [
        "Exact match: every labelled class is called as it is labelled.",
        f"Kaggle's loss: mean over slices of (2 × any + the five subtypes) / 7, clipped at {card['kaggle_clip']:g}.",
    ]
    if mapped := mapping_words(card.get("mapping", {})):
        notes.append(
            f"{mapped}: exact match is of classes that are so mapped, and there is no loss that Kaggle would give."
        )
    return Table("whole", "All classes together", columns, tuple(rows), tuple(notes))


def subgroups(card: Tree) -> Table:
    """Any hemorrhage in exams, group by group; over folds by calibrated probabilities, ranked against each other."""
    tree = card["subgroups"]
    columns = (
        Column(tree["by"], Kind.TEXT),
        Column("Exams", Kind.COUNT),
        Column("Patients", Kind.COUNT),
        Column("Positive", Kind.COUNT),
        Column("AUC, pooled" if "folds" in card else "AUC", Kind.RATIO),
        Column("Sensitivity", Kind.RATIO),
        Column("Specificity", Kind.RATIO),
        Column("ECE, calibrated", Kind.RATIO),
    )
    rows: list[tuple[Cell, ...]] = []
    for group, each in tree["groups"].items():
        row = each["classes"][tree["class"]]
        point = row["operating_points"]["balanced"]
        rows.append(
            (
                group,
                each["n"],
                each["patients"],
                row["positives"],
                Estimate.from_json(row["auc"]),
                Estimate.from_json(point["sensitivity"]),
                Estimate.from_json(point["specificity"]),
                Estimate.from_json(row["calibration"]["after"]["expected_calibration_error"]),
            )
        )
    notes = ["Groups are described, not tested: differences among few patients come by chance."]
    mapping = {c: theirs for c, theirs in card.get("mapping", {}).items() if c == tree["class"]}
    notes += [f"{mapping_words(mapping)}."] if mapping else []
    name = Subtype(tree["class"]).display_name.lower()
    return Table(
        "subgroups",
        f"{name.capitalize()} in exams, by {tree['by']} (balanced point)",
        columns,
        tuple(rows),
        tuple(notes),
    )


def localisation(card: Tree) -> Table:
    """Whether class maps point at what is marked."""
    columns = (
        Column("Class", Kind.TEXT),
        Column("Marked slices", Kind.COUNT),
        Column("Patients", Kind.COUNT),
        Column("Pointing game", Kind.RATIO),
        Column("By chance", Kind.RATIO),
        Column("Above chance", Kind.CHANGE),
        Column("IoU", Kind.RATIO),
    )
    mapping = {c: to for c, to in card.get("mapping", {}).items() if c in card["localisation"]["classes"]}
    rows = tuple(
        (
            Subtype(c).display_name + mark(Subtype(c), mapping),
            row["slices"],
            row["patients"],
            *(Estimate.from_json(row[name]) for name in ("pointing", "chance", "above_chance", "iou")),
        )
        for c, row in card["localisation"]["classes"].items()
    )
    notes = (
        *([f"† {mapping_words(mapping)}, by their masks together."] if mapping else []),
        *card["localisation"]["notes"],
    )
    return Table("localisation", "Class maps against masks", columns, rows, notes)


def _classes(tree: Tree) -> list[tuple[Subtype, Tree]]:
    """Labelled classes, any first."""
    found = [(c, tree["classes"][c.value]) for c in reversed(CLASSES) if c.value in tree["classes"]]
    return [(c, row) for c, row in found if row["labelled"]]


def mark(c: Subtype, mapping: ClassMapping) -> str:
    """What stands behind the name of a class that is measured against others."""
    return " †" if c.value in mapping else ""


def _name(c: Subtype, row: Tree, mapping: ClassMapping) -> str:
    return c.display_name + mark(c, mapping) + (" *" if row["descriptive_only"] else "")


def _lower(c: str) -> str:
    return Subtype(c).display_name.lower()


def _title(level: str) -> str:
    return LEVELS[level].capitalize()


def _few(tree: Tree, mapping: ClassMapping) -> tuple[str, ...]:
    notes: list[str] = [f"† {mapping_words(mapping)}."] if mapping else []
    if any(row["descriptive_only"] for _, row in _classes(tree)):
        notes.append("* fewer than ten positive or ten negative patients: descriptive only.")
    missing = [Subtype(c).display_name.lower() for c, row in tree["classes"].items() if not row["labelled"]]
    if missing:
        notes.append(f"Not labelled in this set, and so not measured: {', '.join(missing)}.")
    return tuple(notes)
