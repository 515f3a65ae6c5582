"""What reporting guidelines ask of an evaluation: what this program can answer, and what is left to the author.

CLAIM: Tejani et al., Checklist for Artificial Intelligence in Medical Imaging, 2024 update, Radiology: Artificial
Intelligence 2024. TRIPOD+AI: Collins et al., BMJ 2024. Items are named by topic, not by number.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ichnos.subtypes import Subtype

Tree = Mapping[str, Any]

LEFT_TO_THE_AUTHOR = (
    ("Title and abstract", "that it is an AI study, its design, its main result"),
    ("Background", "clinical need, intended use and users, earlier work"),
    ("Setting and period", "which hospitals, which dates, how patients came into the data"),
    ("Eligibility", "who was included and who was not, and why"),
    ("Reference standard", "who labelled, from what, how experienced, how disagreements were settled"),
    ("De-identification and ethics", "how data were de-identified; approval or waiver"),
    ("Sample size", "how it was chosen"),
    ("Demographics", "age, sex and whatever else describes patients here and where the model was trained"),
    ("Registration and protocol", "whether and where; deviations from it"),
    ("Patient and public involvement", "in design, conduct or reporting"),
    ("Discussion", "limits, bias, generalisability, implications for practice"),
    ("Funding, interests, availability", "who paid, who gains, where data and code can be had"),
)
"""Topics of both guidelines that no program knows."""


@dataclass(frozen=True)
class Item:
    """One topic and what can be said of it."""

    topic: str
    guidelines: str
    answer: str


def answers(card: Tree) -> list[Item]:
    """What the scorecard answers."""
    model, both = card["model"], "CLAIM, TRIPOD+AI"
    counts = card["counts"]
    return [
        Item("Data sources", both, f"{card['source']}, prepared set {card['set']}"),
        Item(
            "Data flow",
            both,
            f"{counts['patients']:,} patients, {counts['exams']:,} exams, {counts['slices']:,} slices in the set; "
            f"{card['left_out_of_the_set']:,} slices or files left out before, each with its reason in skipped.parquet",
        ),
        Item("Data partitions", both, _partition(card)),
        Item("Outcome", both, f"labels of {card['labels_of']}s: {', '.join(_names(card['labelled']))}{_mapping(card)}"),
        Item("Missing data", both, _unlabelled(card)),
        Item(
            "Model",
            both,
            f"{model['title']}, {model['kind']}, SHA-256 {model['digest'][:16]}…, seen: {model['population']}",
        ),
        Item(
            "Model outputs", both, "a probability of each class for each slice, exam and patient; calls at two points"
        ),
        Item("Thresholds", both, f"{model['operating_points']}; none was chosen on the patients measured here"),
        Item(
            "Performance measures", both, "AUC, average precision, sensitivity, specificity, PPV, NPV, F1, exact match"
        ),
        Item("Calibration", both, "Brier score, expected calibration error, reliability diagrams, before and after"),
        Item(
            "Uncertainty",
            both,
            f"95 % percentile intervals, {card['resamples']:,} resamples of patients, seed {card['bootstrap_seed']}",
        ),
        Item(
            "Subgroups",
            both,
            f"by {card['subgroups']['by']}" if card.get("subgroups") else "none were asked for (--by)",
        ),
        Item("Failure analysis", "CLAIM", "the surest misses and false calls are shown below"),
        Item("External validation", both, "yes" if card["external"] else "no: held-out patients of the training set"),
    ]


def _partition(card: Tree) -> str:
    if card["external"]:
        return f"another set than the model was made of ({card['model']['trained_on'] or 'not stated'})"
    which = "the set's own split" if card.get("fold") is None else f"fold {card['fold']}"
    return f"test patients that training, calibration and thresholds did not see ({which})"


def _names(classes: list[str]) -> list[str]:
    return [Subtype(c).display_name.lower() for c in classes]


def _mapping(card: Tree) -> str:
    said = [f"{c} is measured against {' or '.join(theirs)}" for c, theirs in card["mapping"].items()]
    return f"; {', '.join(said)}" if said else ""


def _unlabelled(card: Tree) -> str:
    first = next(iter(card["levels"].values()))
    missing = _names([c for c, row in first["classes"].items() if not row["labelled"]])
    return f"no labels of {', '.join(missing)}" if missing else "every class is labelled everywhere"
