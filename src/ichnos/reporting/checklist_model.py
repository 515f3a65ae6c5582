"""What a checklist can say of how a model was made, from the stages that its scorecard tells of."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ichnos.subtypes import Subtype

Tree = Mapping[str, Any]

_SAMPLINGS: Mapping[str, str] = {
    "natural": "slices drawn as often as they are there",
    "balanced": "classes taking turns in each batch",
    "exam": "one slice of each exam in turn",
}
_LOSSES: Mapping[str, str] = {"bce": "binary cross-entropy", "focal": "focal loss", "asymmetric": "asymmetric loss"}
_BEST: Mapping[str, str] = {"loss": "lowest validation loss", "auc": "highest mean validation AUC"}


def preprocessing(stages: Sequence[Tree]) -> str | None:
    """From HU to what the networks see."""
    return _told(stages, "input", lambda stage: _road(stage["input"]))


def initial_weights(stages: Sequence[Tree]) -> str | None:
    """Where training began."""
    return _told(stages, "first_weights", lambda stage: _weights(stage["first_weights"]))


def training(stages: Sequence[Tree]) -> str | None:
    """Rate, batches, epochs, augmentation."""
    return _told(stages, "training", lambda stage: stage["training"])


def class_imbalance(stages: Sequence[Tree]) -> str | None:
    """What was done about rare classes."""
    return _told(stages, "imbalance", lambda stage: _imbalance(stage["imbalance"]))


def selection(stages: Sequence[Tree]) -> str | None:
    """By what the weights were chosen that are measured."""
    return _told(stages, "selection", lambda stage: _selection(stage["selection"]))


def _told(stages: Sequence[Tree], what: str, say: Callable[[Tree], str | None]) -> str | None:
    """What is said of every stage, beside the stages of which it is where they differ; None where nothing is."""
    said: dict[str, list[str]] = {}
    for stage in (stage for stage in stages if what in stage):
        said.setdefault(say(stage) or "", []).append(stage["part"].rsplit("/", 1)[-1])
    unsaid = said.pop("", [])
    if len(said) == 1 and not unsaid:
        return next(iter(said))
    return "; ".join(f"{', '.join(parts)}: {text}" for text, parts in said.items()) or None


def _road(tree: Tree) -> str:
    windows = ", ".join(f"L{each['level']:g} W{each['width']:g}" for each in tree["windows"])
    merged = " (their mean)" if tree["merge"] == "mean" and len(tree["windows"]) > 1 else ""
    parts = [
        f"HU at 512×512, windows {windows}{merged}",
        "raw HU beside them" if tree.get("raw_hu") else "",
        f"resized to {tree['size']}×{tree['size']} by an antialiased triangle filter and rounded to 8 bits",
        f"{2 * tree['neighbours'] + 1} slices {tree['neighbour_spacing']:g} mm apart as channels"
        if tree["neighbours"]
        else "",
        "ImageNet's mean and deviation" if tree["normalisation"] == "imagenet" else "values of 0 to 1",
    ]
    return ", ".join(filter(None, parts))


def _weights(tree: Tree) -> str:
    backbone, head = tree["backbone"], tree["head"]
    if backbone == "random":
        return "random"
    digest = f" (SHA-256 {tree['digest']}…)" if tree["digest"] else ""
    frozen = ", frozen" if tree["frozen"] else ""
    heads = {None: "", "random": ", head random", backbone: ", its head too"}
    return f"backbone {backbone}{digest}{frozen}{heads.get(head, f', head {head}')}"


def _imbalance(tree: Tree) -> str:
    loss, synthetic = tree["loss"], tree["synthetic"]
    parts: list[str] = [_SAMPLINGS.get(tree["sampling"], tree["sampling"]), _LOSSES.get(loss["kind"], loss["kind"])]
    if loss["weights"]:
        parts.append("weighted " + ", ".join(f"{c} {weight:g}" for c, weight in loss["weights"].items()))
    if loss["positives"] == "balanced":
        parts.append("positives of a class weighing as much as its negatives")
    if loss["smoothing"]:
        parts.append(f"labels smoothed by {loss['smoothing']:g}")
    if synthetic:
        drawn = ", ".join(Subtype(c).display_name.lower() for c in synthetic["subtypes"])
        parts.append(f"{100 * synthetic['share']:g} % of each batch synthetic lesions ({drawn})")
    return ", ".join(parts)


def _selection(tree: Tree) -> str | None:
    best, most = _BEST.get(tree["by"], tree["by"]), tree["epochs"]
    if tree["everyone"]:
        return f"none: the last of {most} epochs, as everyone was trained on"
    if tree["epoch"] is None:
        return f"by the recipe the epoch with the {best} of at most {most}; which it was, the bundle does not say"
    if tree["validation_loss"] is None:
        return None  # of a run that was adapted afterwards: on whom its epoch was chosen, it does not say
    return f"epoch {tree['epoch']} of at most {most}, by the {best}"
