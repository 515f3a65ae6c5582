"""What recipes of a comparison gained over others: the tables of paired differences, each with its corrected p."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ichnos.evaluation.intervals import Estimate
from ichnos.evaluation.paired import AT_PREVALENCE, RATES, SCORES
from ichnos.reporting.evaluation_tables import POINTS
from ichnos.reporting.table import Cell, Column, Kind, Table
from ichnos.subtypes import SUBTYPES, Subtype

Tree = Mapping[str, Any]

PRINTED = ((Subtype.ANY, "difference"), (Subtype.ANY, "pooled"), *((subtype, "pooled") for subtype in SUBTYPES))
"""The differences that the tables show, of which class and of what: those with a p are one family for the correction.
A fold has too few patients with a subtype for a mean over folds."""

BESIDE = ("average_precision", *SCORES, *RATES)
"""What differences are of beside AUC, of every class."""

_SHORT = {"brier": "Brier score", "ppv": "PPV", "npv": "NPV", "f1": "F1"}

WORDS = {name: _SHORT.get(name, name.replace("_", " ")) for name in BESIDE}
"""What each is called."""

TOO_FEW = "descriptive only"

WHY_TOO_FEW = f"“{TOO_FEW}”: fewer than ten positive or fewer than ten negative patients, so there is no p."

THE_SAME = "the same answers"

SAME = Estimate(0.0, None, THE_SAME)

_WHY_THE_SAME = (
    f"“{THE_SAME}”: both recipes gave every case the same probability, as a cascade and the model that is its first "
    "stage do. The difference is exactly 0, there is no p, and Holm's correction does not count it."
)

TRAINED_ONCE = (
    "Each recipe is trained once, over folds once a fold, by one seed: intervals and p are of these trained networks "
    "on other patients, not of the procedures trained again."
)
"""What no resample of patients can tell."""

_NO_P = f"{WHY_TOO_FEW} A dash: too few of the resamples define one."


def printed_gains(gains: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Those of one step, by level and class: the trees that hold each one's bootstrap_p."""
    for level in gains.values():
        for c, which in PRINTED:
            if c.value in level:
                yield level[c.value][which]


def gain_tables(card: Tree) -> list[Table]:
    """Any hemorrhage, and each subtype of enough patients: a row a step and level; then any hemorrhage beside AUC, and
    all classes together."""
    subtypes = [subtype_gains(card, subtype) for subtype in SUBTYPES if _is_told(card, subtype)]
    return [any_gains(card), *subtypes, score_gains(card), call_gains(card), together_gains(card)]


def _is_told(card: Tree, subtype: Subtype) -> bool:
    """Epidural is what lesions are drawn for, and told of in any case; the others where some change has a p."""
    found = (level.get(subtype.value) for step in card["steps"] for level in step["gains"].values())
    tested = any(gain and gain["pooled"].get("bootstrap_p") is not None for gain in found)
    return tested or subtype is Subtype.EPIDURAL


def any_gains(card: Tree) -> Table:
    """What a recipe gained over another in any hemorrhage; where it cannot be compared, why."""
    columns = (
        *_NAMES,
        Column("Change of AUC, mean of folds", Kind.CHANGE),
        Column("p", Kind.P),
        Column("p after Holm", Kind.P),
        Column("Change of AUC, pooled", Kind.CHANGE),
        Column("p", Kind.P),
        Column("p after Holm", Kind.P),
    )
    rows: list[tuple[Cell, ...]] = []
    for step in card["steps"]:
        names = (step["recipe"], step["against"])
        if step["why_not"]:
            rows.append((*names, f"not compared: {step['why_not']}", *[None] * 6))
        for level, found in step["gains"].items():
            row = found.get(Subtype.ANY.value)
            if row is not None:
                rows.append((*names, level, *_cells(row, "difference"), *_cells(row, "pooled")))
    return Table("gains", "What each step gains: any hemorrhage", columns, tuple(rows), _notes(card), grouped=True)


def subtype_gains(card: Tree, subtype: Subtype) -> Table:
    """The same in one subtype."""
    columns = (
        *_NAMES,
        Column("Patients with it", Kind.COUNT),
        Column("Change of AUC, pooled", Kind.CHANGE),
        Column("p", Kind.P),
        Column("p after Holm", Kind.P),
    )
    rows: list[tuple[Cell, ...]] = []
    for step in card["steps"]:
        for level, found in step["gains"].items():
            row = found.get(subtype.value)
            if row is not None:
                names = (step["recipe"], step["against"], level)
                rows.append((*names, row["positive_patients"], *_cells(row, "pooled")))
    notes = (
        "Resamples and correction are those of the table of any hemorrhage: all of these tables are one family.",
        *_why_no_p(card, subtype),
        TRAINED_ONCE,
    )
    title = f"What each step gains: {subtype.value}"
    return Table(f"gains_{subtype.value}", title, columns, tuple(rows), notes, grouped=True)


def score_gains(card: Tree) -> Table:
    """What a recipe gained in any hemorrhage in scores of probabilities."""
    names = ("average_precision", *SCORES)
    columns = (*_NAMES, *(Column(f"Change of {WORDS[name]}", Kind.CHANGE) for name in names))
    rows = tuple((*who, *(_change(measures[name]) for name in names)) for who, measures in _measured(card))
    notes = (
        "Brier score and log loss (nats): the lower, the better, so a change below 0 is a gain.",
        *_beside_notes(card),
    )
    title = "What each step gains beside AUC: average precision, Brier score and log loss, any hemorrhage"
    return Table("gains_scores", title, columns, rows, notes, grouped=True, folded=True)


def call_gains(card: Tree) -> Table:
    """The same in calls, predictive values at a prevalence among them where one was given. Studies from before have no
    predictive values."""
    found = [(who, point, at) for who, tree in _measured(card) for point, at in tree["operating_points"].items()]
    told = [name for name in RATES if all(name in at for _, _, at in found)]
    titles = {name: WORDS[name] for name in told}
    share = card.get("prevalence", {}).get(Subtype.ANY.value)
    if share is not None and all(name in at for name in AT_PREVALENCE for _, _, at in found):
        titles |= {name: f"{name[:3].upper()} at {100 * share:g}\u00a0%" for name in AT_PREVALENCE}
    columns = (
        *_NAMES,
        Column("Point", Kind.TEXT),
        *(Column(f"Change of {title}", Kind.CHANGE) for title in titles.values()),
    )
    rows = tuple((*who, POINTS[point], *(_change(at[name]) for name in titles)) for who, point, at in found)
    *others, last = (WORDS[name] for name in told)
    title = f"What each step gains beside AUC: {', '.join(others)} and {last}, any hemorrhage"
    notes = (_OWN_THRESHOLDS, *_beside_notes(card))
    return Table("gains_calls", title, columns, rows, notes, grouped=True, folded=True)


def together_gains(card: Tree) -> Table:
    """All classes in one: exact match at both points, and of slices Kaggle's loss. Studies from before have neither."""
    columns = (
        *_NAMES,
        *(Column(f"Change of exact match, {title}", Kind.CHANGE) for title in POINTS.values()),
        Column("Change of Kaggle's weighted log loss", Kind.CHANGE),
    )
    rows: list[tuple[Cell, ...]] = []
    for step in card["steps"]:
        for level, points in step.get("exact_match", {}).items():
            loss = _change(step["kaggle_loss"]) if level == "slices" else None
            rows.append((step["recipe"], step["against"], level, *(_change(points[point]) for point in POINTS), loss))
    notes = (
        "Exact match: every class that both recipes name is called as it is labelled.",
        "Kaggle's loss, (2 × any + the five subtypes) / 7 in nats, is of slices: the lower, the better.",
        _OWN_THRESHOLDS,
        *_beside_notes(card),
    )
    title = "What each step gains beside AUC: all classes together"
    return Table("gains_together", title, columns, tuple(rows), notes, grouped=True, folded=True)


def _measured(card: Tree) -> Iterator[tuple[tuple[str, str, str], Tree]]:
    """Recipe, against which and of what, and the measures; studies from before have none."""
    for step in card["steps"]:
        for level, found in step.get("measures", {}).items():
            if Subtype.ANY.value in found:
                yield (step["recipe"], step["against"], level), found[Subtype.ANY.value]


def _beside_notes(card: Tree) -> tuple[str, ...]:
    """Which p there are, and where subtypes are told of; studies from before have measured any hemorrhage alone."""
    found = (c for step in card["steps"] for level in step.get("measures", {}).values() for c in level)
    more = any(c != Subtype.ANY.value for c in found)
    return (_UNTESTED, *((_OF_SUBTYPES,) if more else ()), TRAINED_ONCE)


def _change(measure: Tree) -> Estimate:
    return Estimate.from_json(measure["difference"])


_OWN_THRESHOLDS = "Each recipe is called by its own thresholds, set on each fold's validation patients."

_OF_SUBTYPES = "The same of each subtype stands in scorecard.json, under `measures` of each of `steps`."

_UNTESTED = (
    "On the same resamples of patients as the changes of AUC, all folds together, calibrated. These have an interval "
    "and no p, and are no part of Holm's correction; no interval is widened for there being many."
)

_NAMES = (Column("Recipe", Kind.TEXT), Column("Against", Kind.TEXT), Column("Of", Kind.TEXT))


def _cells(row: Tree, which: str) -> tuple[Cell, Cell, Cell]:
    """A change, its p and its corrected p; where too few patients have the class, that it only describes."""
    tree = row[which]
    if row.get("identical") and tree["value"] is not None:  # not told by scorecards from before
        return SAME, None, None
    if row["descriptive_only"]:
        return Estimate.from_json(tree), TOO_FEW, TOO_FEW
    return Estimate.from_json(tree), tree.get("bootstrap_p"), tree.get("holm_p")


def _notes(card: Tree) -> tuple[str, ...]:
    drawn = f"{card['gain_resamples']:,} resamples of" if "gain_resamples" in card else "the paired bootstrap over"
    return (
        f"On the same patients: 95 % intervals and p by {drawn} patients, drawn alike for both recipes.",
        _corrected(card),
        "An interval that holds 0 shows no gain.",
        *_why_no_p(card, Subtype.ANY),
        TRAINED_ONCE,
    )


def _corrected(card: Tree) -> str:
    """Over how many p; scorecards from before do not tell."""
    tests = card.get("gain_tests")
    if tests == 0:
        return "No change has a p, of any hemorrhage or of a subtype, so there is nothing for Holm's correction."
    over = "the p" if tests is None else f"all {tests} p"
    return f"Holm's correction is over {over} of changes, of any hemorrhage and of the subtypes together."


def _why_no_p(card: Tree, c: Subtype) -> tuple[str, ...]:
    found = [level[c.value] for step in card["steps"] for level in step["gains"].values() if c.value in level]
    return (_NO_P, *why_the_same(found))


def why_the_same(gains: Iterable[Tree]) -> tuple[str, ...]:
    """What “the same answers” means, where some of these differences have it."""
    return (_WHY_THE_SAME,) if any(gain.get("identical") and _is_defined(gain) for gain in gains) else ()


def _is_defined(gain: Tree) -> bool:
    """Whether any change is there to be 0: where nobody has a class, there is none however alike two recipes answer."""
    return any(gain[which]["value"] is not None for which in ("difference", "pooled"))
