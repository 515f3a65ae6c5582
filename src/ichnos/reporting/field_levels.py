"""Tables of a comparison of many recipes at every level: calibration, calls at operating points, all classes together.

Made from what its scorecard says under `levels`, as an evaluation's are; scorecards from before that have none.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ichnos.evaluation.intervals import Estimate
from ichnos.reporting.evaluation_tables import LEVELS, POINTS
from ichnos.reporting.table import Cell, Column, Kind, Table
from ichnos.subtypes import Subtype

Tree = Mapping[str, Any]

ONE_EXAM_EACH = "Every patient has one exam: what is said of exams holds for patients."

_RAW = (
    "Raw: before all that is fitted, scaling and the share of neighbouring slices. Brier score and expected "
    "calibration error (ECE): lower is better."
)


def level_tables(card: Tree) -> list[Table]:
    """By the name of each: calibration, calls a level, and the scores of all classes together."""
    if not any("levels" in entry for entry in card["recipes"].values()):
        return []
    levels = shown_levels(card)
    notes = () if "patient" in levels else (ONE_EXAM_EACH,)
    return [calibration(card, levels, notes), *(calls(card, level) for level in levels), whole(card, levels)]


def shown_levels(card: Tree) -> list[str]:
    """Those of a scorecard, without patients where each has one exam: their numbers are the exams'."""
    trees = [entry["levels"] for entry in card["recipes"].values() if "levels" in entry]
    several = any("patient" in tree and tree["patient"]["n"] != tree["exam"]["n"] for tree in trees)
    present = [level for level in LEVELS if any(level in tree for tree in trees)]
    return [level for level in present if level != "patient" or several]


def calibration(card: Tree, levels: Sequence[str], notes: tuple[str, ...]) -> Table:
    """A row a recipe and level: any hemorrhage, how it is ranked and whether probabilities mean what they say."""
    columns = (
        Column("Recipe", Kind.TEXT),
        Column("Of", Kind.TEXT),
        Column("AUC, mean of folds", Kind.RATIO),
        Column("pooled", Kind.RATIO),
        Column("Average precision", Kind.RATIO),
        Column("Brier, raw", Kind.RATIO),
        Column("Brier, calibrated", Kind.RATIO),
        Column("ECE, raw", Kind.RATIO),
        Column("ECE, calibrated", Kind.RATIO),
    )
    rows: list[tuple[Cell, ...]] = []
    for name, level, row in _any(card, levels):
        scaled = [row["calibration"][when] for when in ("before", "after")]
        numbers = [row[name] for name in ("auc_mean_of_folds", "auc", "average_precision")]
        numbers += [when[key] for key in ("brier", "expected_calibration_error") for when in scaled]
        rows.append((name, LEVELS[level], *map(Estimate.from_json, numbers)))
    said = (_RAW,)
    title = "Any hemorrhage: ranking and calibration at every level"
    return Table("calibration", title, columns, tuple(rows), said + notes, grouped=True)


def calls(card: Tree, level: str) -> Table:
    """A row a recipe and operating point: what calls of any hemorrhage are worth."""
    rates = {"sensitivity": "Sensitivity", "specificity": "Specificity", "ppv": "PPV", "npv": "NPV", "f1": "F1"}
    share = card.get("prevalence", {}).get("any")
    if share is not None:
        rates |= {f"{name}_at_prevalence": f"{name.upper()} at {100 * share:g}\u00a0%" for name in ("ppv", "npv")}
    columns = (
        Column("Recipe", Kind.TEXT),
        Column("Point", Kind.TEXT),
        *(Column(title, Kind.RATIO) for title in rates.values()),
    )
    rows: list[tuple[Cell, ...]] = []
    found = list(_any(card, (level,)))
    for name, _, row in found:
        for point, title in POINTS.items():
            numbers = row["operating_points"][point]
            rows.append((name, title, *(Estimate.from_json(numbers[rate]) for rate in rates)))
    return Table(
        f"calls_{level}",
        f"Any hemorrhage, {LEVELS[level]}: calls at both operating points",
        columns,
        tuple(rows),
        _about_prevalence(card, level, share),
        grouped=True,
    )


def _about_prevalence(card: Tree, level: str, share: float | None) -> tuple[str, ...]:
    trees = [entry["levels"][level] for entry in card["recipes"].values() if level in entry.get("levels", {})]
    whole = next((tree for tree in trees if tree["classes"].get("any", {}).get("labelled")), None)
    if whole is None:
        return ()
    here = 100 * whole["classes"]["any"]["positives"] / whole["n"]
    said = f"PPV and NPV are those of this set, where {here:.0f} % of {LEVELS[level]} have a hemorrhage"
    if share is None:
        return (f"{said}; give --prevalence for another place's.",)
    return (
        f"{said}, and by Bayes' rule at {100 * share:g}\u00a0%, with sensitivity and specificity as measured here.",
    )


def whole(card: Tree, levels: Sequence[str]) -> Table:
    """A row a recipe: exact match at each level, Kaggle's loss of slices."""
    columns = [Column("Recipe", Kind.TEXT)]
    for level in levels:
        columns += [Column(f"Exact match, {LEVELS[level]}, {title}", Kind.RATIO) for title in POINTS.values()]
    columns += [Column("Kaggle's loss, raw", Kind.RATIO), Column("Kaggle's loss, calibrated", Kind.RATIO)]
    rows: list[tuple[Cell, ...]] = []
    unlike = False
    for name, entry in card["recipes"].items():
        if "levels" not in entry:
            continue
        cells: list[Cell] = [name]
        for level in levels:
            match = entry["levels"].get(level, {}).get("exact_match")
            cells += [Estimate.from_json(match[point]) if match else None for point in POINTS]
        loss = entry["levels"]["slice"]["kaggle_loss"]
        defined = loss["after"]["value"] is not None
        unlike = unlike or not defined
        cells += [Estimate.from_json(loss[when]) if defined else None for when in ("before", "after")]
        rows.append(tuple(cells))
    notes = [
        "Exact match: every class that the recipe names is called as it is labelled; fewer classes are easier.",
        f"Kaggle's loss: mean over slices of (2 × any + the five subtypes) / 7, clipped at {card['kaggle_clip']:g}.",
    ]
    notes += ["A dash in Kaggle's loss: the recipe does not name all six classes."] if unlike else []
    return Table("whole", "All classes together", tuple(columns), tuple(rows), tuple(notes))


def _any(card: Tree, levels: Sequence[str]) -> list[tuple[str, str, Tree]]:
    """Every recipe's row of any hemorrhage at each level that has one: name, level, row."""
    return [
        (name, level, entry["levels"][level]["classes"][Subtype.ANY.value])
        for name, entry in card["recipes"].items()
        for level in levels
        if entry.get("levels", {}).get(level, {}).get("classes", {}).get(Subtype.ANY.value, {}).get("labelled")
    ]
