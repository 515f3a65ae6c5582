"""The tables of a comparison of two models, made from comparison.json's tree."""

from collections.abc import Mapping, Sequence
from typing import Any

from ichnos.evaluation.intervals import Estimate
from ichnos.reporting.evaluation_tables import LEVELS, POINTS, mapping_words, mark, prevalence_note, threshold_text
from ichnos.reporting.field_gains import TOO_FEW, WHY_TOO_FEW
from ichnos.reporting.table import Cell, Column, Kind, Table
from ichnos.subtypes import CLASSES, Subtype

Tree = Mapping[str, Any]

SIDES = ("first", "second")

UNTESTED = (
    "Differences of AUC alone are tested, and belong to the families that Holm's correction is over. Those of other "
    "measures have an interval and no p; no interval is widened for there being many of them."
)
"""Which p there are, said once."""

_SCORES = {"average_precision": "Average precision", "brier": "Brier", "log_loss": "Log loss"}
_RATES = {"sensitivity": "Sensitivity", "specificity": "Specificity", "f1": "F1"}
_PREDICTIVE = {"ppv": "PPV", "npv": "NPV"}
_AT_PREVALENCE = {"ppv_at_prevalence": "PPV at prevalence", "npv_at_prevalence": "NPV at prevalence"}


def comparison_tables(tree: Tree) -> dict[str, list[Table]]:
    """By level: AUC with its tests, scores of probabilities, and where either model's calls are known these and their
    predictive values."""
    found: dict[str, list[Table]] = {}
    for level in dict.fromkeys(row["level"] for row in tree["rows"]):
        rows = rows_of(tree, level)
        found[level] = [auc(level, rows, tree["mapping"]), scores(level, rows, tree["mapping"])]
        if any(_stated(rows)):
            found[level] += [calls(level, rows, tree["mapping"]), predictive(level, rows, tree)]
    return found


def rows_of(tree: Tree, level: str) -> list[Tree]:
    """Those of one level, any hemorrhage first."""
    rows = {row["class"]: row for row in tree["rows"] if row["level"] == level}
    return [rows[c.value] for c in reversed(CLASSES) if c.value in rows]


def auc(level: str, rows: Sequence[Tree], mapping: Tree) -> Table:
    """The measure that is tested."""
    columns = (
        Column("Class", Kind.TEXT),
        Column("Positive", Kind.COUNT),
        Column("Positive patients", Kind.COUNT),
        Column("AUC, first", Kind.RATIO),
        Column("second", Kind.RATIO),
        Column("difference", Kind.CHANGE),
        Column("Bootstrap p", Kind.P),
        Column("after Holm", Kind.P),
        Column("DeLong's p", Kind.P),
        Column("after Holm", Kind.P),
    )
    cells: list[tuple[Cell, ...]] = []
    for row in rows:
        difference, exact = row["difference"], row["delong"]
        tested = (difference["bootstrap_p"], difference["holm_p"])
        tested += (None, None) if exact is None else (exact["p"], exact["holm_p"])
        if row["descriptive_only"]:
            tested = (TOO_FEW, *[None] * 3)
        counts = (row["positives"], row["positive_patients"])
        aucs = (row["auc_first"], row["auc_second"])
        cells.append((_name(row, mapping), *counts, *aucs, Estimate.from_json(difference), *map(_p, tested)))
    said = f"{rows[0]['n']:,} {LEVELS[level]} of {rows[0]['patients']:,} patients"
    return Table(f"{level}_auc", f"{_title(level)}: AUC, {said}", columns, tuple(cells), _notes(rows, mapping))


def scores(level: str, rows: Sequence[Tree], mapping: Tree) -> Table:
    """Average precision, and what probabilities are worth as probabilities."""
    cells = [
        (_name(row, mapping), *(cell for measure in _SCORES for cell in _cells(row["measures"][measure])))
        for row in rows
    ]
    notes = (
        "Brier score and log loss (nats): the lower, the better, so a difference below 0 is the second's gain.",
        _NO_CALIBRATION_ERROR,
    )
    title = f"{_title(level)}: average precision, Brier score and log loss"
    return Table(
        f"{level}_scores", title, (_CLASS, *_thrice(_SCORES)), tuple(cells), (*notes, *_few(rows), *_daggers(mapping))
    )


def calls(level: str, rows: Sequence[Tree], mapping: Tree) -> Table:
    """Each model by its own thresholds."""
    title = f"{_title(level)}: calls, each model at its own operating points"
    return _called(f"{level}_calls", title, _RATES, rows, mapping)


def predictive(level: str, rows: Sequence[Tree], tree: Tree) -> Table:
    """What the same calls say of a case, in this set and at the prevalences that were given."""
    given = tree["prevalence"]
    rates = _PREDICTIVE | (_AT_PREVALENCE if given else {})
    notes = ["PPV and NPV are those of this set: they hang on how common a class is in it."]
    notes += [prevalence_note(level, given)] if given else []
    title = f"{_title(level)}: predictive values of the same calls"
    return _called(f"{level}_predictive", title, rates, rows, tree["mapping"], notes)


def _called(
    name: str, title: str, rates: Mapping[str, str], rows: Sequence[Tree], mapping: Tree, notes: Sequence[str] = ()
) -> Table:
    """A row a class and operating point. rates: by name what each is called; a class that has none has dashes."""
    columns = (_CLASS, Column("Point", Kind.TEXT), Column("Thresholds", Kind.TEXT), *_thrice(rates))
    cells: list[tuple[Cell, ...]] = []
    for row in rows:
        for point, point_title in POINTS.items():
            at = row["measures"]["operating_points"][point]
            sides = [at["thresholds"][side] for side in SIDES]
            told = "; ".join("–" if side is None else threshold_text(side) for side in sides)
            known = all(side is not None for side in sides)
            numbers = (cell for rate in rates for cell in (_cells(at[rate], known) if rate in at else [None] * 3))
            cells.append((_name(row, mapping), point_title, told, *numbers))
    said = [_OWN_THRESHOLDS, *notes]
    said += [_FOLDS] if any(isinstance(each, list) for each in _stated(rows)) else []
    said += [*why_no_calls(rows), *_few(rows), *_daggers(mapping)]
    return Table(name, title, columns, tuple(cells), tuple(said), grouped=True)


def _stated(rows: Sequence[Tree]) -> list[Any]:
    """Every threshold that either model was called by."""
    points = (at["thresholds"] for row in rows for at in row["measures"]["operating_points"].values())
    return [each[side] for each in points for side in SIDES if each[side] is not None]


def why_no_calls(rows: Sequence[Tree]) -> list[str]:
    """Of a model whose thresholds nobody stated for these, why, in a sentence a side."""
    said: list[str] = []
    for side in SIDES:
        point = rows[0]["measures"]["operating_points"]["balanced"]
        if point["thresholds"][side] is None:
            said.append(f"{_OF_CALLS} of the {side}: {point['sensitivity'][side]['note']}.")
    return said


def together(tree: Tree) -> list[Table]:
    """Of all classes in one: exact match where any calls are known, Kaggle's loss where slices are compared."""
    return [table for table in (exact_match(tree), kaggle(tree)) if table is not None]


def exact_match(tree: Tree) -> Table | None:
    """A row a level; None where neither model's calls are known at any."""
    found = tree["exact_match"]
    sides = [at[side] for points in found.values() for at in points.values() for side in SIDES]
    if all(side["value"] is None for side in sides):
        return None
    columns = (Column("Of", Kind.TEXT), *_thrice({point: f"Exact match, {title}" for point, title in POINTS.items()}))
    rows = [
        (LEVELS[level], *(cell for at in points.values() for cell in _cells(at))) for level, points in found.items()
    ]
    classes = len({row["class"] for row in tree["rows"]})
    said = (
        f"Exact match: every class that is compared ({classes} of them) is called as it is labelled; fewer are easier."
    )
    notes = (_OWN_THRESHOLDS, said, *_daggers(tree["mapping"]))
    return Table("exact_match", "All classes together: exact match", columns, tuple(rows), notes)


def kaggle(tree: Tree) -> Table | None:
    """One row; None where no slices are compared."""
    loss = tree["kaggle_loss"]
    if loss is None:
        return None
    columns = (Column("Of slices", Kind.TEXT), *_thrice({"": "Kaggle's weighted log loss"}))
    notes = ("(2 × any + the five subtypes) / 7 in nats: the lower, the better.",)
    return Table("kaggle", "All classes together: Kaggle's loss", columns, (("all six classes", *_cells(loss)),), notes)


_OF_CALLS = "Sensitivity, specificity, PPV, NPV, F1 and exact match"

_NO_CALIBRATION_ERROR = (
    "Calibration errors (ECE) are not compared: chance adds to each, and more to the better calibrated model's, so "
    "intervals of their difference would miss it."
)

_OWN_THRESHOLDS = "Each model is called by thresholds of its own: the first's, then the second's."

_FOLDS = "A study by folds has thresholds of its own a fold: the smallest and the largest are shown."

_CLASS = Column("Class", Kind.TEXT)


def _thrice(titles: Mapping[str, str]) -> tuple[Column, ...]:
    """Of each measure the first's, the second's and the difference."""
    return tuple(
        column
        for title in titles.values()
        for column in (
            Column(f"{title}, first", Kind.RATIO),
            Column("second", Kind.RATIO),
            Column("difference", Kind.CHANGE),
        )
    )


def _cells(paired: Tree, told: bool = True) -> tuple[Cell, Cell, Cell]:
    """Both numbers, then the difference with its interval or the reason why there is none.

    told: whether the reason stands here; else below the table, once for all.
    """
    first, second = (paired[side]["value"] for side in SIDES)
    return first, second, Estimate.from_json(paired["difference"]) if told else None


def _p(p: float | str | None) -> Cell:
    if p is None or isinstance(p, str):
        return p
    return p_text(p)


def p_text(p: float | None) -> str:
    """A p value; a dash where nothing was tested."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _notes(rows: Sequence[Tree], mapping: Tree) -> tuple[str, ...]:
    few = any(row["descriptive_only"] for row in rows)
    return (*((f"* {WHY_TOO_FEW}",) if few else ()), *untested(rows), *_daggers(mapping))


def untested(rows: Sequence[Tree]) -> list[str]:
    """Why some rows have no bootstrap p, each reason once."""
    tested = [row["difference"] for row in rows if not row["descriptive_only"]]
    reasons = dict.fromkeys(each["untested"] for each in tested if each["untested"])
    return [f"No bootstrap p for some of it: {reason}." for reason in reasons]


def _name(row: Tree, mapping: Tree) -> str:
    c = Subtype(row["class"])
    return c.display_name + mark(c, mapping) + (" *" if row["descriptive_only"] else "")


def _few(rows: Sequence[Tree]) -> tuple[str, ...]:
    few = any(row["descriptive_only"] for row in rows)
    return ("* fewer than ten positive or ten negative patients: descriptive only.",) if few else ()


def _daggers(mapping: Tree) -> tuple[str, ...]:
    return (f"† {mapping_words(mapping)}.",) if mapping else ()


def _title(level: str) -> str:
    return LEVELS[level].capitalize()
