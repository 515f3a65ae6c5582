"""The model card of a bundle: what it is, what it was made of, what it is for, where it ends, and its numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

from ichnos.counting import counted
from ichnos.evaluation.calibration import BINS
from ichnos.evaluation.folds import FEWEST_PATIENTS
from ichnos.evaluation.intervals import ALL_AGREE
from ichnos.networks import init_name
from ichnos.reporting.checklist import who_words
from ichnos.reporting.folds import LEVELS, folds_tables, is_folds
from ichnos.reporting.rendering import rendered
from ichnos.subtypes import CLASSES, Subtype

_LIMITS = {
    "ct-ich": (
        "CT-ICH 1.0 is of one hospital, and its Hounsfield units are rebuilt from two 8-bit JPEG pictures a slice: "
        "about 0.5 HU a step from −20 to 100 HU, 12.5 HU and the noise of JPEG elsewhere. How far its pixels and "
        "slices lie apart is assumed. Nothing was measured on a scanner's own DICOM files with labels."
    ),
}
"""What the pictures of a source lack, and so what is not known of a network that has seen no others."""


def model_card(manifest: Mapping[str, Any], cells: int) -> str:
    """Markdown from bundle.json's tree; cells: rows and columns of the network's class maps, 0 where it has none."""
    reported = [c for c in CLASSES if c.value in manifest["readout"]["exams"]]
    return rendered(
        "model_card.md.j2",
        m=manifest,
        exam=_exam(manifest["recipe"]),
        exams=_exams(manifest["recipe"]),
        joined=_joined(manifest["recipe"]),
        parts=_parts(manifest["recipe"]),
        cells=cells,
        init_name=init_name,
        rows=[_row(manifest, c) for c in reported],
        names=[c.display_name for c in reported],
        scores=_scores(manifest["scorecard"]),
        folds=folds_tables(manifest["scorecard"]) if is_folds(manifest["scorecard"]) else [],
        aggregator=_aggregator(manifest["readout"]["aggregator"]),
        few=FEWEST_PATIENTS,
        limits=_LIMITS,
        who=who_words(manifest["scorecard"]) if is_folds(manifest["scorecard"]) else "",
        fitted_bins=_bins_fitted_on(manifest["fitted_on"]),
        unseen_bins=_bins_unseen(manifest["scorecard"]),
    )


def _bins_fitted_on(fitted_on: Mapping[str, Any] | None) -> list[str]:
    """Reliability of any hemorrhage among whom the readout was fitted on; nothing where that was not kept."""
    report = (fitted_on or {}).get("report", {})
    return _bins({level: report.get(level, {}).get(Subtype.ANY, {}).get("reliability", ()) for level in LEVELS})


def _bins_unseen(scorecard: Mapping[str, Any] | None) -> list[str]:
    """The same of a study by folds, each patient as the folds that have not seen them calibrated."""
    if scorecard is None or not is_folds(scorecard):
        return []
    told = {level: scorecard[level]["classes"].get(Subtype.ANY) for level in LEVELS}
    return _bins({level: row["calibration"].get("reliability", ()) if row else () for level, row in told.items()})


def _bins(levels: Mapping[str, Sequence[Mapping[str, float]]]) -> list[str]:
    """A row a bin that any level has cases in, as lines of Markdown; none where no level has bins."""
    found = {level: {_place(row["predicted"]): row for row in rows} for level, rows in levels.items()}
    filled = sorted(set().union(*found.values()))
    if not filled:
        return []
    head = [f"{level} | mean probability | with a hemorrhage" for level in levels]
    lines = [f"| probability | {' | '.join(head)} |", "|---" + "|---:" * (3 * len(levels)) + "|"]
    for k in filled:
        cells = [_bin(rows.get(k)) for rows in found.values()]
        lines.append(f"| {k / BINS:g} to {(k + 1) / BINS:g} | {' | '.join(cells)} |")
    return lines


def _place(probability: float) -> int:
    """Of a bin, by the mean of what lies in it."""
    return min(int(probability * BINS), BINS - 1)


def _bin(row: Mapping[str, float] | None) -> str:
    return f"{row['n']:,} | {row['predicted']:.3f} | {row['observed']:.3f}" if row else "0 | – | –"


def _joined(recipe: Mapping[str, Any]) -> str:
    """How an ensemble's members answer together; of another recipe nothing."""
    recipe = recipe["slices"] if recipe["kind"] == "exam" else recipe
    if recipe["kind"] != "ensemble":
        return ""
    weights = {recipe["weights"].get(name, 1.0) for name in recipe["members"]}
    mean = "the weighted mean" if len(weights) > 1 else "the mean"
    unseen = "who chose their epochs, on whom none of them was trained"
    return {
        "mean": f"{mean} of their logits",
        "rank": f"{mean} of the places that their logits take among those of the slices of patients {unseen}",
        "stacking": f"a logistic regression a class on all of their logits, fitted on patients {unseen}",
    }[recipe["combine"]]


def _parts(recipe: Mapping[str, Any], within: str = "") -> list[tuple[str, Mapping[str, Any]]]:
    """Every recipe of one network in a recipe's tree, and what it is called in it."""
    match recipe["kind"]:
        case "cascade":
            stages = {"gate": recipe["gate"], "second stage": recipe["subtypes"]}
        case "ensemble":
            stages = {f"`{name}`": member for name, member in recipe["members"].items()}
        case "anomaly":
            stages = {"network": recipe["usual"]}
        case "exam":
            return _parts(recipe["slices"], within)
        case _:
            return [(within, recipe)]
    named = {", ".join(filter(None, (within, name))): each for name, each in stages.items()}
    return [part for name, each in named.items() for part in _parts(each, name)]


def _exams(recipe: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any], str]]:
    """Of an ensemble every member with a network of exams: its name, its recipe, and the network in a sentence."""
    members: Mapping[str, Mapping[str, Any]] = recipe["members"] if recipe["kind"] == "ensemble" else {}
    return [(f"`{name}`", member, _exam(member)) for name, member in members.items() if member["kind"] == "exam"]


def _exam(recipe: Mapping[str, Any]) -> str:
    """What network of exams a recipe has, in a sentence."""
    if recipe["kind"] != "exam":
        return ""
    head = recipe["head"]
    if head["kind"] == "trees":
        reach = f"{head['neighbours']} places below and above a slice, {head['neighbour_spacing']:g} mm apart"
        return f"at most {counted(head['rounds'], 'tree')} a class, over {reach}."
    kinds = {
        "gru": "GRU in both directions",
        "lstm": "LSTM in both directions",
        "conv-lstm": "convolutional LSTM in both directions",
        "transformer": "transformer",
        "two-stage": "GRU in both directions, then a second one on probabilities",
        "dense": "dense layers, each slice by itself",
    }
    layers = f", {counted(head['layers'], 'layer')} of {head['hidden']} units" if "layers" in head else ""
    return f"{kinds.get(head['kind'], head['kind'])}{layers}, on {', '.join(head.get('inputs', ()))}."


def _row(manifest: Mapping[str, Any], c: Subtype) -> dict[str, Any]:
    """One line of the table of operating points."""
    points = manifest["readout"]["exams"][c.value]
    positives = (manifest["fitted_on"] or {"positives": {}})["positives"].get(c.value)
    return {
        "name": c.display_name,
        "points": [_point(points[name]) for name in ("high_sensitivity", "balanced")],
        "slices": positives[0] if positives else "–",
        "exams": positives[1] if positives else "–",
        "few": positives is not None and positives[1] < FEWEST_PATIENTS,
    }


def _point(point: Mapping[str, Any]) -> str:
    if not point["positives"]:
        return f"{point['threshold']:.3f} (not fitted)"
    return f"{point['threshold']:.3f} ({point['sensitivity']:.2f} / {point['specificity']:.2f})"


def _scores(scorecard: Mapping[str, Any] | None) -> list[dict[str, str]]:
    """AUC a class, with its interval, where the scorecard is one that `ichnos evaluate` wrote."""
    test = (scorecard or {}).get("test")
    if not isinstance(test, Mapping) or not isinstance(test.get("auc"), Mapping):
        return []
    return [{"name": Subtype(c).display_name, "auc": _estimate(e)} for c, e in test["auc"].items() if c in set(Subtype)]


def _estimate(estimate: Mapping[str, Any]) -> str:
    if estimate.get("value") is None:
        return "not defined"
    if estimate.get("low") is None:
        return f"{estimate['value']:.3f} (no interval)"
    if estimate["low"] == estimate["high"]:
        return f"{estimate['value']:.3f} ({ALL_AGREE})"
    return f"{estimate['value']:.3f} ({estimate['low']:.3f}–{estimate['high']:.3f})"


def _aggregator(tree: Mapping[str, Any]) -> str:
    match tree["kind"]:
        case "max":
            return "the largest slice"
        case "noisy-or":
            return "noisy-or over slices"
        case _:
            return f"the mean of the {tree['k']} largest slices"
