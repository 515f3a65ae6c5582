"""What reporting guidelines ask of an evaluation: what this program can answer, and what is left to the author.

The guidelines: ichnos.reporting.guidelines. Which items make a topic: ichnos.reporting.topics.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ichnos.counting import counted
from ichnos.reporting.checklist_model import class_imbalance, initial_weights, preprocessing, selection, training
from ichnos.reporting.topics import Topic
from ichnos.reporting.unfitted import LACKING
from ichnos.subtypes import Subtype

Tree = Mapping[str, Any]


@dataclass(frozen=True)
class Item:
    """One topic and what can be said of it."""

    topic: Topic
    answer: str


PREDICTORS = "the CT slices alone: nothing that anybody read off them, no age, sex, history or report"
IN_THE_TABLES = "how many have each class stands in the tables"
ONE_SET = "parts of one set, cut by patient"
NOT_UPDATED = "none: no model was changed after it was measured"
"""What holds of every report that says it."""


def answers(card: Tree, errors: int | None) -> list[Item]:
    """What the scorecard answers. errors: classes of which errors are shown; None: nobody looked for any."""
    topics = [*_about_data(card), *_about_the_model(card), *_about_numbers(card), *_about_errors(card, errors)]
    return [item for item in [*topics, *_about_use(card)] if item.answer]


def left_to_the_author(
    items: Iterable[Item], words: Mapping[Topic, str] = MappingProxyType({})
) -> list[tuple[Topic, str]]:
    """Every topic that `items` do not answer, or not to the end, and what to say of it. words: instead of its own."""
    answered = {item.topic for item in items}
    left = {topic: words.get(topic, topic.author) for topic in Topic if topic not in answered}
    left |= {topic: what for topic, what in _BESIDES.items() if topic in answered}
    return [(topic, left[topic]) for topic in Topic if topic in left]


_BESIDES = {Topic.DEMOGRAPHICS: "whatever else describes patients here, and those on whom the model was trained"}
"""What is left of a topic that a report answers."""


def _about_data(card: Tree) -> list[Item]:
    counts = card["counts"]
    return [
        Item(Topic.DATA_SOURCES, f"{card['source']}, prepared set {card['set']}"),
        Item(
            Topic.DATA_FLOW,
            f"{counts['patients']:,} patients, {counts['exams']:,} exams, {counts['slices']:,} slices in the set; "
            f"{card['left_out_of_the_set']:,} slices or files left out before, each with its reason in skipped.parquet"
            f"; {IN_THE_TABLES}",
        ),
        Item(Topic.PARTITIONS, _partition(card)),
        Item(Topic.DEMOGRAPHICS, demographics_words(card)),
        Item(Topic.OUTCOME, f"labels of {card['labels_of']}s: {', '.join(_names(card['labelled']))}{_mapping(card)}"),
        Item(Topic.MISSING, _unlabelled(card)),
    ]


def _about_the_model(card: Tree) -> list[Item]:
    model = card["model"]
    stages = model.get("stages", [])
    return [
        Item(
            Topic.MODEL,
            f"{model['title']}, {model['kind']}, SHA-256 {model['digest'][:16]}…, seen: {model['population']}",
        ),
        Item(
            Topic.OUTPUTS,
            f"a probability of each class for each {_listed(card['levels'])}; calls at two points",
        ),
        Item(Topic.PREDICTORS, PREDICTORS),
        Item(Topic.PREPROCESSING, preprocessing(stages) or ""),
        Item(Topic.PARAMETERS, f"{model['parameters'] / 1e6:.2f} M" if model.get("parameters") else ""),
        Item(Topic.FIRST_WEIGHTS, initial_weights(stages) or ""),
        Item(Topic.TRAINING, training(stages) or ""),
        Item(Topic.IMBALANCE, class_imbalance(stages) or ""),
        Item(Topic.SELECTION, selection(stages) or ""),
        Item(Topic.ENSEMBLING, model.get("joined", "")),
        Item(Topic.SOFTWARE, _software(card.get("software", {}))),
    ]


def _about_numbers(card: Tree) -> list[Item]:
    model = card["model"]
    calibration = "Brier score, expected calibration error, reliability diagrams"
    return [
        Item(Topic.THRESHOLDS, f"{model['operating_points']}; none was chosen on the patients measured here"),
        Item(Topic.MEASURES, _measures(card)),
        Item(
            Topic.CALIBRATION,
            f"{calibration}, before and after{_uncalibrated(model)}"
            if model["calibrated"]
            else f"{calibration}; the model is not calibrated",
        ),
        Item(
            Topic.UNCERTAINTY,
            f"95 % percentile intervals, {card['resamples']:,} resamples of patients, seed {card['bootstrap_seed']}",
        ),
        Item(Topic.SUBGROUPS, subgroup_words(card)),
        Item(Topic.EXTERNAL, _external(card)),
    ]


def subgroup_words(card: Tree) -> str:
    """By what exams were parted."""
    return f"by {card['subgroups']['by']}" if card.get("subgroups") else "none were asked for (--by)"


def _uncalibrated(model: Tree) -> str:
    """Of a run whose readout was fitted here: the classes that this could not calibrate."""
    return f"; not calibrated {LACKING}: {model['uncalibrated']}" if model.get("uncalibrated") else ""


def _about_errors(card: Tree, errors: int | None) -> list[Item]:
    if errors:
        shown = "the surest misses and false calls at the balanced point, by a slice an exam: Errors in report.html"
    else:
        shown = "" if errors is None else "no exam was missed or called wrongly at the balanced point"
    return [Item(Topic.FAILURES, shown), Item(Topic.EXPLAINABILITY, _explained(card, errors))]


def _about_use(card: Tree) -> list[Item]:
    """What becomes of the model and its numbers."""
    version = card.get("software", {}).get("measured", {}).get("ichnos")
    made = f"; made by `{card['command']}`" if card.get("command") else ""
    return [
        Item(Topic.COMPARISON, "none: one model is measured; `ichnos compare` compares two"),
        Item(Topic.OTHER_DATA, "" if card["external"] else ONE_SET),
        Item(Topic.UPDATING, _updated(card["model"].get("adapted"))),
        Item(Topic.CODE, f"ichnos {version}, Apache-2.0{made}" if version else ""),
    ]


def _external(card: Tree) -> str:
    model = card["model"]
    if card["external"]:
        same = "if no patient is in both: the model has learnt from another set of the same source"
        return f"yes, {same}" if model.get("same_source") else "yes"
    adapted = model.get("adapted")
    if adapted and not adapted["known"]:
        return (
            f"in part: held-out patients of a set that its weights have not learnt from ({model['trained_on']} is what "
            "they have), but that the model was adapted to"
        )
    return "no: held-out patients of the training set"


def _updated(adapted: Tree | None) -> str:
    """adapted: how a run was adapted, if it was, and to what."""
    if not adapted:
        return NOT_UPDATED
    where = "this set" if adapted["here"] else f"another set ({adapted['to']})"
    if adapted["method"] == "batchnorm":
        how = f"BatchNorm's statistics measured anew on {counted(adapted['slices'], 'training slice')} of it"
    else:
        how = "calibration and thresholds alone"
    return f"before it was measured it was adapted to {where}: {how}; its weights stayed"


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
