"""The tables of a comparison of many recipes, made from its scorecard."""

from collections.abc import Mapping
from typing import Any

from ichnos.evaluation.intervals import Estimate
from ichnos.reporting.table import Cell, Column, Kind, Table
from ichnos.subtypes import Subtype

Tree = Mapping[str, Any]

LEVELS = {"slices": "slice", "exams": "exam"}


def field_tables(card: Tree) -> dict[str, Table]:
    """By name: any hemorrhage, subtypes at both levels, gains, ranking (where there is one) and cost."""
    tables = [any_hemorrhage(card), *(subtypes(card, level) for level in LEVELS), gains(card)]
    tables += [ranking(card)] if card["ranking"] else []
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
        slices, exams = (entry[level]["classes"].get("any") for level in LEVELS)
        if slices is None or slices["auc"]["value"] is None:
            continue
        points = exams["operating_points"]
        rows.append(
            (
                name,
                *(entry["inner"][level] for level in LEVELS),
                *(Estimate.from_json(row[key]) for row in (slices, exams) for key in ("auc_mean_of_folds", "auc")),
                *(
                    Estimate.from_json(points[point][rate])
                    for point in ("high_sensitivity", "balanced")
                    for rate in ("sensitivity", "specificity")
                ),
            )
        )
    notes = (
        "Inner validation: the patients who choose epochs, calibration and thresholds. Choose recipes by these.",
        "Mean of folds: each model by itself. Pooled: the folds' calibrated probabilities ranked against each other.",
    )
    return Table("any", "Any hemorrhage", columns, tuple(rows), notes)


def subtypes(card: Tree, level: str) -> Table:
    """A row a recipe, a column a subtype: AUC of all folds together."""
    entries: Mapping[str, Tree] = card["recipes"]
    named = {c for entry in entries.values() for c in entry[level]["classes"]}
    classes = [c for c in Subtype if c.value in named and c is not Subtype.ANY]
    few = {
        c: min(
            e[level]["classes"][c.value]["positive_patients"]
            for e in entries.values()
            if c.value in e[level]["classes"]
        )
        for c in classes
    }
    columns = (Column("Recipe", Kind.TEXT), *(Column(f"{c.display_name} ({few[c]})", Kind.RATIO) for c in classes))
    rows = tuple((name, *(_auc(entry[level], c) for c in classes)) for name, entry in entries.items())
    notes = ("In brackets: patients with the class among those measured. Fewer than ten are descriptive only.",)
    return Table(f"subtypes_{level}", f"Subtypes by {LEVELS[level]}: AUC, pooled", columns, rows, notes)


def gains(card: Tree) -> Table:
    """A row a step and level: what a recipe gained over another."""
    columns = (
        Column("Recipe", Kind.TEXT),
        Column("Against", Kind.TEXT),
        Column("Of", Kind.TEXT),
        Column("Any hemorrhage: change of AUC, mean of folds", Kind.CHANGE),
        Column("pooled", Kind.CHANGE),
        Column("Epidural: change of AUC, pooled", Kind.CHANGE),
        Column("p, any", Kind.P),
        Column("p after Holm", Kind.P),
    )
    rows: list[tuple[Cell, ...]] = []
    for step in card["steps"]:
        if step["why_not"]:
            rows.append((step["recipe"], step["against"], f"not compared: {step['why_not']}", *[None] * 5))
            continue
        for level, found in step["gains"].items():
            some = found.get("any", {}).get("difference", {})
            rows.append(
                (
                    step["recipe"],
                    step["against"],
                    level,
                    _gain(found, Subtype.ANY, "difference"),
                    _gain(found, Subtype.ANY, "pooled"),
                    _gain(found, Subtype.EPIDURAL, "pooled"),
                    some.get("bootstrap_p"),
                    some.get("holm_p"),
                )
            )
    notes = (
        "On the same patients; 95 % intervals, and p of the mean of folds, by the paired bootstrap over patients.",
        "Holm's correction is over all p of this table. An interval that holds 0 shows no gain.",
    )
    return Table("gains", "What each step gains", columns, tuple(rows), notes, grouped=True)


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
        difference = row["difference"]
        rows.append(
            (
                row["recipe"],
                Estimate.from_json(entry["auc_mean_of_folds"]),
                Estimate.from_json(difference) if difference else None,
                difference["bootstrap_p"] if difference else None,
                difference["holm_p"] if difference else None,
            )
        )
    notes = (
        "The first is the best of these numbers, which flatters it: on other patients it would lead by less.",
        "Recipes whose p after Holm is above 0.05 cannot be told from the best here.",
    )
    return Table("ranking", "Ranking by exams", columns, tuple(rows), notes)


def cost(card: Tree) -> Table:
    """A row a recipe: what it takes."""
    columns = (
        Column("Recipe", Kind.TEXT),
        Column("Parameters, million", Kind.TEXT),
        Column("Multiply-adds a slice, G", Kind.TEXT),
        Column("Bundle, MB", Kind.TEXT),
        Column("Training, minutes a fold", Kind.TEXT),
        Column("Reading 36 slices, s, one core", Kind.TEXT),
    )
    rows: list[tuple[Cell, ...]] = []
    notes: list[str] = []
    for name, entry in card["recipes"].items():
        taken = entry["cost"]
        minutes = sum(fold["seconds"] for fold in entry["folds"]) / len(entry["folds"]) / 60
        rows.append(
            (
                name,
                f"{taken['parameters'] / 1e6:.2f}",
                f"{taken['multiply_adds'] / 1e9:.2f}",
                None if taken["bundle_bytes"] is None else f"{taken['bundle_bytes'] / 1e6:.1f}",
                f"{minutes:.1f}",
                None if taken["seconds"] is None else f"{taken['seconds']:.2f}",
            )
        )
        notes += [f"{name}: {taken['note']}"] if taken["note"] else []
    notes.append(
        "Training and reading were timed on the machine that made this report, whatever else ran there. Reading is the "
        "exported graph's, from Hounsfield units to logits and maps. Multiply-adds are those of the slice networks; "
        "what answers for exams over them is not counted."
    )
    return Table("cost", "What each costs", columns, tuple(rows), tuple(notes))


def _auc(tree: Tree, c: Subtype) -> Estimate | None:
    row = tree["classes"].get(c.value)
    return Estimate.from_json(row["auc"]) if row else None


def _gain(found: Tree, c: Subtype, which: str) -> Estimate | None:
    row = found.get(c.value)
    return Estimate.from_json(row[which]) if row else None
