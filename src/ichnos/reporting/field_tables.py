"""The tables of a comparison of many recipes, made from its scorecard."""

from collections.abc import Mapping, Sequence
from typing import Any

from ichnos.counting import counted
from ichnos.evaluation.intervals import Estimate
from ichnos.reporting.evaluation_tables import subgroups as of_subgroups
from ichnos.reporting.field_gains import SAME, TRAINED_ONCE, gain_tables, why_the_same
from ichnos.reporting.field_levels import level_tables, shown_levels
from ichnos.reporting.table import Cell, Column, Kind, Table
from ichnos.subtypes import Subtype

Tree = Mapping[str, Any]

LEVELS = {"slices": "slice", "exams": "exam", "patients": "patient"}

_JUDGED = ("slices", "exams")
"""The levels that every scorecard has."""


def field_tables(card: Tree) -> dict[str, Table]:
    """By name: any hemorrhage, subtypes, every level, gains, ranking (where there is one), and cost, the last."""
    several = "patient" in shown_levels(card)
    tables = [any_hemorrhage(card), *(subtypes(card, level) for level in (LEVELS if several else _JUDGED))]
    tables += [*level_tables(card), *gain_tables(card), *subgroups(card)]
    tables += [ranking(card)] if card["ranking"] else []
    tables += [choice(card)] if card.get("choice") else []
    tables.append(cost(card))
    return {table.name: table for table in tables if table.rows}


def any_hemorrhage(card: Tree) -> Table:
    """A row a recipe: what finding hemorrhage is worth."""
    columns = (
        Column("Recipe", Kind.TEXT),
        Column("Inner validation AUC, slices", Kind.RATIO),
        Column("exams", Kind.RATIO),
        Column("Slice AUC, mean of folds", Kind.RATIO),
        Column("Slice AUC, pooled", Kind.RATIO),
        Column("Exam AUC, mean of folds", Kind.RATIO),
        Column("Exam AUC, pooled", Kind.RATIO),
        Column("Exams, high sensitivity: sensitivity", Kind.RATIO),
        Column("specificity", Kind.RATIO),
        Column("balanced: sensitivity", Kind.RATIO),
        Column("specificity", Kind.RATIO),
    )
    rows: list[tuple[Cell, ...]] = []
    for name, entry in card["recipes"].items():
        if not _tells_any(entry):
            continue
        slices, exams = (entry[level]["classes"]["any"] for level in _JUDGED)
        points = exams["operating_points"]
        rows.append(
            (
                name,
                *(entry["inner"][level] for level in _JUDGED),
                *(Estimate.from_json(row[key]) for row in (slices, exams) for key in ("auc_mean_of_folds", "auc")),
                *(
                    Estimate.from_json(points[point][rate])
                    for point in ("high_sensitivity", "balanced")
                    for rate in ("sensitivity", "specificity")
                ),
            )
        )
    notes = (
        *_counted(card),
        "Inner validation: the patients who choose epochs, calibration and thresholds. Choose recipes by these.",
        "Mean of folds: each model by itself. Pooled: the folds' calibrated probabilities ranked against each other.",
    )
    return Table("any", "Any hemorrhage", columns, tuple(rows), notes)


def _tells_any(entry: Tree) -> bool:
    """Whether it was measured on slices with a hemorrhage and without."""
    row = entry["slices"]["classes"].get("any")
    return row is not None and row["auc"]["value"] is not None


def _counted(card: Tree) -> tuple[str, ...]:
    """On how much the numbers of any hemorrhage stand."""
    whole = [entry for entry in card["recipes"].values() if _tells_any(entry)]
    if not whole:
        return ()
    each = [(counted(whole[0][level]["n"], LEVELS[level]), whole[0][level]["classes"]["any"]) for level in _JUDGED]
    said = " and ".join(f"{n} ({row['positives']:,} with a hemorrhage)" for n, row in each)
    return (f"Measured on {said} of {counted(whole[0]['exams']['patients'], 'patient')}.",)


def subtypes(card: Tree, level: str) -> Table:
    """A row a recipe, a column a subtype: AUC of all folds together."""
    entries = {name: _classes(entry, level) for name, entry in card["recipes"].items()}
    named = {c for entry in entries.values() for c in entry}
    classes = [c for c in Subtype if c.value in named and c is not Subtype.ANY]
    few = {c: min(e[c.value]["positive_patients"] for e in entries.values() if c.value in e) for c in classes}
    columns = (Column("Recipe", Kind.TEXT), *(Column(f"{c.display_name} ({few[c]})", Kind.RATIO) for c in classes))
    rows = tuple((name, *(_auc(entry, c) for c in classes)) for name, entry in entries.items() if entry)
    note = (
        "In parentheses: patients with the class among those measured. Fewer than ten, or fewer than ten without it, "
        "are descriptive only."
    )
    return Table(f"subtypes_{level}", f"Subtypes by {LEVELS[level]}: AUC, pooled", columns, rows, (note,))


def subgroups(card: Tree) -> list[Table]:
    """A row a recipe and group: exams of any hemorrhage, where they were parted."""
    parted = {name: of_subgroups(entry) for name, entry in card["recipes"].items() if entry.get("subgroups")}
    if not parted:
        return []
    first = next(iter(parted.values()))
    rows = tuple((name, *row) for name, table in parted.items() for row in table.rows)
    columns = (Column("Recipe", Kind.TEXT), *first.columns)
    return [Table("subgroups", first.title, columns, rows, first.notes, grouped=True)]


def ranking(card: Tree) -> Table:
    """From the best down."""
    columns = (
        Column("Recipe", Kind.TEXT),
        Column("Exam AUC of any, mean of folds", Kind.RATIO),
        Column("Behind the best", Kind.CHANGE),
        Column("p", Kind.P),
        Column("p after Holm", Kind.P),
    )
    rows: list[tuple[Cell, ...]] = []
    for row in card["ranking"]["rows"]:
        entry = card["recipes"][row["recipe"]]["exams"]["classes"]["any"]
        rows.append((row["recipe"], Estimate.from_json(entry["auc_mean_of_folds"]), *_behind(row)))
    notes = (
        "The first is the best of these numbers, which flatters it: on other patients it would lead by less.",
        "Recipes whose p after Holm is above 0.05 cannot be told from the best here.",
        "Holm's correction is over the p of this table.",
        *why_the_same(card["ranking"]["rows"]),
        TRAINED_ONCE,
    )
    return Table("ranking", "Ranking by exams", columns, tuple(rows), notes)


def choice(card: Tree) -> Table:
    """A row a fold: what it would have chosen, and what that gives on the fold's test patients."""
    columns = (
        Column("Fold", Kind.TEXT),
        Column("Chosen by its validation patients", Kind.TEXT),
        Column("Their AUC, mean of slices and exams", Kind.RATIO),
        Column("Test patients: slice AUC", Kind.RATIO),
        Column("exam AUC", Kind.RATIO),
    )
    told = card["choice"]
    title = "Any hemorrhage, where each fold chooses its recipe"
    if told["why_not"]:
        return Table("choice", title, columns, (), ())
    rows: list[tuple[Cell, ...]] = [
        (str(k), row["recipe"], row["inner"], *(row[level] for level in _JUDGED)) for k, row in enumerate(told["folds"])
    ]
    rows.append(("mean of folds", "", None, *(Estimate.from_json(told[level]) for level in _JUDGED)))
    return Table("choice", title, columns, tuple(rows), (_NESTED,))


_NESTED = (
    "The choice is nested as the rest is: no patient has a say in what they are measured by. A recipe that is chosen "
    "by the mean over all folds' validation patients is chosen with every test patient in view, since each validates "
    "in one fold and tests in another: expect of it what this table says. The recipes to choose from were made with "
    "some of these patients in view, so even that may flatter."
)


def _behind(row: Tree) -> tuple[Cell, Cell, Cell]:
    """How far behind the best, p and corrected p; nothing of the best itself."""
    difference = row["difference"]
    if difference is None:
        return None, None, None
    if row.get("identical"):
        return SAME, None, None
    return Estimate.from_json(difference), difference["bootstrap_p"], difference["holm_p"]


def cost(card: Tree) -> Table:
    """A row a recipe: what it takes."""
    columns = (
        Column("Recipe", Kind.TEXT),
        Column("Parameters, million", Kind.NUMBER),
        Column("Multiply-adds a slice, G", Kind.NUMBER),
        Column("Bundle, MB", Kind.NUMBER),
        Column("Training, minutes a fold", Kind.NUMBER),
        Column("Reading 36 slices, s, one core", Kind.NUMBER),
    )
    rows: list[tuple[Cell, ...]] = []
    unread: dict[str, list[str]] = {}
    for name, entry in card["recipes"].items():
        taken = entry["cost"]
        rows.append(
            (
                name,
                f"{taken['parameters'] / 1e6:.2f}",
                f"{(taken['multiply_adds'] + taken.get('exam_multiply_adds', 0)) / 1e9:.2f}",
                None if taken["bundle_bytes"] is None else f"{taken['bundle_bytes'] / 1e6:.1f}",
                _minutes([fold["seconds"] / 60 for fold in entry["folds"]]),
                _seconds(taken),
            )
        )
        if taken["note"]:
            unread.setdefault(taken["note"], []).append(name)
    why_unread = [f"{', '.join(names)}: {note}" for note, names in unread.items()]
    notes = (*why_unread, *_about_cost({name: entry["cost"] for name, entry in card["recipes"].items()}))
    return Table("cost", "What each costs", columns, tuple(rows), notes)


def _minutes(folds: Sequence[float]) -> str:
    """Of the fold that took least, and of the one that took most."""
    lowest, highest = f"{min(folds):.1f}", f"{max(folds):.1f}"
    return lowest if lowest == highest else f"{lowest} to {highest}"


def _seconds(taken: Tree) -> str | None:
    """The lowest time, and the highest beside it; costs from before have one alone."""
    if taken["seconds"] is None:
        return None
    highest = taken.get("seconds_highest")
    return f"{taken['seconds']:.2f}" if highest is None else f"{taken['seconds']:.2f} to {highest:.2f}"


def _about_cost(costs: Tree) -> list[str]:
    """Which columns were measured and which computed, and how reading was timed. costs: by recipe."""
    notes = [_COMPUTED, _MEASURED]
    timed = {name: cost for name, cost in costs.items() if cost["seconds"] is not None}
    rounds = {cost["rounds"] for cost in timed.values() if cost.get("rounds")}
    if rounds:
        notes.append(
            f"Reading: the lowest to the highest of {max(rounds)} rounds, in each of which all that are timed together "
            "read the exam once. Compare the lowest; the highest says how busy the machine was."
        )
    notes += _sittings(timed)
    if any(not cost.get("rounds") for cost in timed.values()):
        notes.append("Reading with one number: each recipe by itself, the median of three.")
    return notes


def _sittings(timed: Tree) -> list[str]:
    """Which were timed apart from the others, in a sentence; the largest sitting is not named out."""
    together: dict[tuple[str, ...], list[str]] = {}
    for name, cost in timed.items():
        if cost.get("timed_with"):
            together.setdefault(tuple(cost["timed_with"]), []).append(name)
    if len(together) < 2:
        return []
    *apart, most = sorted(together.values(), key=len)
    named = "; ".join(sorted(", ".join(sorted(names)) for names in apart))
    said = f"Timed apart, each with those it is named with and with none of the others: {named}."
    return [f"{said} The other {len(most)} were timed together."]


_COMPUTED = (
    "Computed, the same on any machine: parameters (the numbers that training sets), multiply-adds (the work of "
    "reading one slice, in thousand millions) and the size of the bundle, the file that reads. Multiply-adds are those "
    "of convolutions and dense layers: of the slice networks without their heads, and of networks over exams a slice's "
    "share of 36."
)

_MEASURED = (
    "Measured, on the machine that made this report and whatever else ran there: training and reading. Training is "
    "that of the fold that took least and of the one that took most, and the networks' alone: caches, drawn lesions, "
    "trees and what joins an ensemble are not in it. Reading is the exported graph's, from Hounsfield units to logits "
    "and maps, on one core."
)


def _classes(entry: Tree, level: str) -> Tree:
    """What was measured of each class at a level; nothing where the recipe was not measured there."""
    if level in _JUDGED:
        return entry[level]["classes"]
    found = entry.get("levels", {}).get(LEVELS[level], {"classes": {}})["classes"]
    return {c: row for c, row in found.items() if row["labelled"]}


def _auc(classes: Tree, c: Subtype) -> Estimate | None:
    row = classes.get(c.value)
    return Estimate.from_json(row["auc"]) if row else None
