"""What reporting guidelines ask of an evaluation: what this program can answer, and what is left to the author.

CLAIM: Tejani et al., Checklist for Artificial Intelligence in Medical Imaging, 2024 update, Radiology: Artificial
Intelligence 2024. TRIPOD+AI: Collins et al., BMJ 2024. Items are named by topic, not by number.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ichnos.counting import counted
from ichnos.reporting.checklist_model import class_imbalance, initial_weights, preprocessing, selection
from ichnos.reporting.unfitted import LACKING
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


def answers(card: Tree, errors: int | None) -> list[Item]:
    """What the scorecard answers. errors: classes of which errors are shown; None: nobody looked for any."""
    topics = [*_about_data(card), *_about_the_model(card), *_about_numbers(card), *_about_errors(card, errors)]
    return [item for item in topics if item.answer]


def left_to_the_author(errors: int | None, card: Tree | None = None) -> list[tuple[str, str]]:
    """Topics and what to say of them. errors, card: as for `answers`; None: a card that tells nothing of patients."""
    failures = [("Failure analysis", "which cases fail, and why: this page shows none")] if errors is None else []
    told = {"Demographics": _OTHER_DEMOGRAPHICS} if card is not None and demographics_words(card) else {}
    return [*((topic, told.get(topic, what)) for topic, what in LEFT_TO_THE_AUTHOR), *failures]


_OTHER_DEMOGRAPHICS = "whatever else describes patients here, and those on whom the model was trained"
_BOTH = "CLAIM, TRIPOD+AI"


def _about_data(card: Tree) -> list[Item]:
    counts = card["counts"]
    return [
        Item("Data sources", _BOTH, f"{card['source']}, prepared set {card['set']}"),
        Item(
            "Data flow",
            _BOTH,
            f"{counts['patients']:,} patients, {counts['exams']:,} exams, {counts['slices']:,} slices in the set; "
            f"{card['left_out_of_the_set']:,} slices or files left out before, each with its reason in skipped.parquet",
        ),
        Item("Data partitions", _BOTH, _partition(card)),
        Item("Demographics", _BOTH, demographics_words(card)),
        Item(
            "Outcome", _BOTH, f"labels of {card['labels_of']}s: {', '.join(_names(card['labelled']))}{_mapping(card)}"
        ),
        Item("Missing data", _BOTH, _unlabelled(card)),
    ]


def _about_the_model(card: Tree) -> list[Item]:
    model = card["model"]
    stages = model.get("stages", [])
    return [
        Item(
            "Model",
            _BOTH,
            f"{model['title']}, {model['kind']}, SHA-256 {model['digest'][:16]}…, seen: {model['population']}",
        ),
        Item(
            "Model outputs",
            _BOTH,
            f"a probability of each class for each {_listed(card['levels'])}; calls at two points",
        ),
        Item("Preprocessing", _BOTH, preprocessing(stages) or ""),
        Item("Initial weights", "CLAIM", initial_weights(stages) or ""),
        Item("Class imbalance", "TRIPOD+AI", class_imbalance(stages) or ""),
        Item("Model selection", _BOTH, selection(stages) or ""),
        Item("Software", "CLAIM", _software(card.get("software", {}))),
    ]


def _about_numbers(card: Tree) -> list[Item]:
    model = card["model"]
    calibration = "Brier score, expected calibration error, reliability diagrams"
    return [
        Item("Thresholds", _BOTH, f"{model['operating_points']}; none was chosen on the patients measured here"),
        Item("Performance measures", _BOTH, _measures(card)),
        Item(
            "Calibration",
            _BOTH,
            f"{calibration}, before and after{_uncalibrated(model)}"
            if model["calibrated"]
            else f"{calibration}; the model is not calibrated",
        ),
        Item(
            "Uncertainty",
            _BOTH,
            f"95 % percentile intervals, {card['resamples']:,} resamples of patients, seed {card['bootstrap_seed']}",
        ),
        Item(
            "Subgroups",
            _BOTH,
            f"by {card['subgroups']['by']}" if card.get("subgroups") else "none were asked for (--by)",
        ),
        Item("External validation", _BOTH, "yes" if card["external"] else "no: held-out patients of the training set"),
    ]


def _uncalibrated(model: Tree) -> str:
    """Of a run whose readout was fitted here: the classes that this could not calibrate."""
    return f"; not calibrated {LACKING}: {model['uncalibrated']}" if model.get("uncalibrated") else ""


def _about_errors(card: Tree, errors: int | None) -> list[Item]:
    if errors:
        shown = "the surest misses and false calls at the balanced point, by a slice an exam: Errors in report.html"
    else:
        shown = "" if errors is None else "no exam was missed or called wrongly at the balanced point"
    return [Item("Failure analysis", "CLAIM", shown), Item("Explainability", "CLAIM", _explained(card, errors))]


def _explained(card: Tree, errors: int | None) -> str:
    """Of maps that are on the page, or of a network that has none."""
    cells = card["model"].get("map_cells")
    if cells == 0:
        return "none: the network has no class maps"
    places = ["beside the errors"] if errors else []
    places += ["measured against masks"] if card.get("localisation") else []
    return f"class maps (Grad-CAM) of {cells}×{cells} cells, {' and '.join(places)}" if cells and places else ""


def _software(software: Tree) -> str:
    told = {name: ", ".join(f"{k} {v}" for k, v in versions.items()) for name, versions in software.items() if versions}
    return "; ".join(f"{name} with {versions}" for name, versions in told.items())


def _measures(card: Tree) -> str:
    said = "AUC, average precision, sensitivity, specificity, PPV, NPV, F1, exact match"
    said += ", Kaggle's loss of slices" if "slice" in card["levels"] and not card["mapping"] else ""
    at = ", ".join(f"{Subtype(c).display_name.lower()} {100 * share:g} %" for c, share in card["prevalence"].items())
    return f"{said}; PPV and NPV also as if so many of what each table counts had the class: {at}" if at else said


def _listed(names: Tree) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _partition(card: Tree) -> str:
    if card["external"]:
        return f"another set than the model was made of ({card['model']['trained_on'] or 'not stated'})"
    which = "the set's own split" if card.get("fold") is None else f"fold {card['fold']}"
    said = f"test patients that training, calibration and thresholds did not see ({which})"
    parts = ", ".join(f"{part} {counted(n, 'patient')}" for part, n in card.get("parts", {}).items())
    return f"{said}: {parts}" if parts else said


def demographics_words(card: Tree) -> str:
    """What the set's index tells of the patients who are measured; nothing where it has none of these columns."""
    tree = card.get("demographics", {})
    said: list[str] = []
    if age := tree.get("age"):
        said.append(f"age of {counted(age['known'], 'patient')}: median {_range(age)} years")
    if sexes := tree.get("sex"):
        said.append("sex: " + ", ".join(f"{sex} {n:,}" for sex, n in sexes.items()) + _unknown(tree["patients"], sexes))
    if thickness := tree.get("slice_thickness"):
        said.append(
            f"slice thickness of {counted(thickness['known'], 'series', 'series')}: median {_range(thickness)} mm"
        )
    return f"{'; '.join(said)}, as far as the set's index tells" if said else ""


def who_words(card: Tree) -> str:
    """The same as a sentence."""
    words = demographics_words(card)
    return f"{words[0].upper()}{words[1:]}." if words else ""


def _range(tree: Tree) -> str:
    median, low, high = (round(tree[name], 2) for name in ("median", "low", "high"))
    return f"{median:g} ({low:g} to {high:g})"


def _unknown(patients: int, sexes: Mapping[str, int]) -> str:
    left = patients - sum(sexes.values())
    return f", not known {left:,}" if left else ""


def _names(classes: list[str]) -> list[str]:
    return [Subtype(c).display_name.lower() for c in classes]


def _mapping(card: Tree) -> str:
    said = [f"{c} is measured against {' or '.join(theirs)}" for c, theirs in card["mapping"].items()]
    return f"; {', '.join(said)}" if said else ""


def _unlabelled(card: Tree) -> str:
    first = next(iter(card["levels"].values()))
    missing = _names([c for c, row in first["classes"].items() if not row["labelled"]])
    return f"no labels of {', '.join(missing)}" if missing else "every class that the model names is labelled"
