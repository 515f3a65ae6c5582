"""Whom weights have learnt from: nobody is measured, or chosen by, whom a network met before it was trained."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ichnos.counting import counted
from ichnos.data.joined import NAMED_FOR_ALL
from ichnos.errors import UsageError
from ichnos.models.checkpoint import read_header
from ichnos.models.initial_weights import origins
from ichnos.recipe import AnyKind

if TYPE_CHECKING:
    from ichnos.workflows.train import OpenData

Tree = Mapping[str, Any]

_SPLIT = ("split_seed", "folds", "fold")
"""What says which patients are in which part of a set."""


def check_first_weights(recipe: AnyKind, origin: Tree, *, at_all: bool = False) -> None:
    """Raise UsageError where the first weights of a stage have learnt from patients of the validation or test part.

    origin: of the data, as OpenData has it; at_all: where they have learnt from any patient of these sets. Weights of
    other sources, and those that come with ichnos, which know synthetic heads alone, pass; on everyone nobody is chosen
    by or measured, so all do.
    """
    for stage in recipe.stages.values():
        path = Path(stage.network.init).expanduser()
        ours = path.suffix == ".safetensors" and path.is_file()
        if ours and has_seen(learnt_from(path, {} if at_all else origin), origin, at_all=at_all):
            raise UsageError(
                f"network.init of {stage.name} has learnt from patients of this set whom this run would "
                f"{'count as new' if at_all else 'choose its epoch by or be measured on'}, or may have (another set of "
                "the same public source has the same patients), which would flatter it; "
                "begin from weights of another set, or from network.init=phantom, imagenet or random"
            )


def learnt_from(checkpoint: Path, now: Tree) -> list[dict[str, Any]]:
    """Origins of all data that a checkpoint of ours has learnt from but, where its own training had this very origin,
    that: several sets can have been split together."""
    metadata = read_header(checkpoint)["metadata"]
    return origins(metadata | {"origin": None} if metadata.get("origin") == now else metadata)


def has_seen(known: Sequence[Tree], origin: Tree, *, at_all: bool = False) -> bool:
    """Whether what has these origins has learnt from the data's validation or test part, or may have: from another set
    of the same public source; at_all: from any of it."""
    if origin["everyone"]:
        return False
    own = {each["set"]: each for each in origin.get("sets", [origin])}
    sources = {each.get("source") for each in own.values()}.intersection(NAMED_FOR_ALL)
    if any(each.get("set") not in own and each.get("source") in sources for each in known):
        return True  # prepared anew, or another edition: the same people, whose split may be another
    met = [(each, own[each["set"]]) for each in known if each.get("set") in own]
    # where sets are joined, a patient whom one of them trains on can be in another's test part
    return any(at_all or "sets" in origin or not _same_split(theirs, mine) for theirs, mine in met)


def _same_split(theirs: Tree, mine: Tree) -> bool:
    if theirs.get("everyone") or theirs.get("split") or mine.get("split"):
        return False
    return all(theirs.get(key) == mine[key] for key in _SPLIT)


def unseen(checkpoints: Sequence[Path], opened: "OpenData") -> "tuple[OpenData, bool]":
    """The data with a fold whose test part the run has not learnt from, and whether the set is another one."""
    metadata = [read_header(checkpoint)["metadata"] for checkpoint in checkpoints]
    origin, *others = (each["origin"] for each in metadata)
    if any(other != origin for other in others):
        raise UsageError(
            "the stages of this run were trained on different sets, splits or folds, so no patients are left that none "
            "of them has seen for sure; train it anew with `ichnos train`"
        )
    known = [each for told in metadata for each in origins(told)]
    mine = [each for each in known if each.get("set") == opened.origin["set"]]
    if not mine:
        return opened, True
    if any(each.get("everyone") for each in mine):
        raise UsageError(
            "this run was trained on every patient of this set, so none is left to measure it on; measure it on "
            "another set, or its procedure with `ichnos study folds`"
        )
    if any(each.get("split") for each in mine):
        raise UsageError(
            "this run's split was drawn for several sets together, so this set alone has no patients that it is known "
            "not to have seen; its own study has measured it"
        )
    if opened.fold is None:
        opened = replace(opened, fold=mine[0]["fold"])
    for each in mine:
        differing = [key for key in ("split_seed", "folds", "fold") if opened.origin[key] != each[key]]
        if differing:
            said = ", ".join(
                f"{_split_word(key, each)} then, {_split_word(key, opened.origin)} now" for key in differing
            )
            way_out = (
                "leave --fold out to measure it on its own test patients"
                if differing == ["fold"]
                else "its own study has measured it; or prepare the set into another folder with "
                f"--split-seed {each['split_seed']} --folds {each['folds']}"
            )
            raise UsageError(
                f"this run was trained on another split of this set ({said}), so it learnt from patients that would be "
                f"measured; {way_out}"
            )
    return opened, False


def _split_word(key: str, origin: Tree) -> str:
    if key == "fold":
        return "the one split" if origin[key] is None else f"fold {origin[key]}"
    return f"split seed {origin[key]}" if key == "split_seed" else counted(origin[key], "fold")
