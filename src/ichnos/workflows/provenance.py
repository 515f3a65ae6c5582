"""How a model came to be, for its scorecard: what a reporting guideline asks of it and a run or bundle knows."""

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ichnos.inference.manifest import Manifest
from ichnos.networks import init_name
from ichnos.recipe import EXAM, AnyKind, ExamFit, Fit, SliceRecipe, exam_networks, join
from ichnos.reporting.recipe_words import exam_training_words, joined_words, training_words

Tree = dict[str, Any]


def stages_of_bundle(manifest: Manifest) -> list[Tree]:
    """Every network of a bundle, by its recipe alone: which epoch was taken, a bundle does not say, but where everyone
    was trained on and so none was chosen."""
    final = manifest.scorecard_is_of == "the procedure"
    parts = [_stage(path, recipe, None, final=final) for path, recipe in manifest.recipe.stages.items()]
    return [*parts, *_exam_stages(manifest.recipe, {}, final=final)]


def stages_of_run(
    recipe: AnyKind, checkpoints: Mapping[str, Mapping[str, Any]], exams: Mapping[str, Mapping[str, Any]]
) -> list[Tree]:
    """Every network of a run. checkpoints: the metadata of each stage's, by its name in `recipe.stages`; exams: of the
    networks of exams, by the folders of their recipes."""
    parts = [_stage(path, stage, checkpoints[path]) for path, stage in recipe.stages.items()]
    return [*parts, *_exam_stages(recipe, exams)]


def joined(recipe: AnyKind, networks: int = 1) -> str:
    """How several models are one, in words. networks: how many of one recipe are averaged."""
    if networks > 1:
        return f"{networks} networks of one recipe, the mean of their logits"
    return joined_words(recipe) or "none: one model"


def versions_of_run(run: Path) -> dict[str, str]:
    """With which versions a run was trained, as its environment.json says; empty where it says nothing."""
    try:
        versions = json.loads((run / "environment.json").read_bytes())["versions"]
        return {str(name): str(number) for name, number in versions.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def versions_of(*packages: str) -> dict[str, str]:
    """As they are installed."""
    return {name: version(name) for name in packages}


def _stage(path: str, recipe: SliceRecipe, checkpoint: Mapping[str, Any] | None, *, final: bool = False) -> Tree:
    told = checkpoint or {}
    first = told.get("first_weights") or {}
    network, fit = recipe.network, recipe.fit
    return {
        "part": path,
        "recipe": recipe.name,
        "backbone": network.backbone,
        "input": recipe.input.model_dump(mode="json"),
        "first_weights": {
            "backbone": first.get("backbone", init_name(network.init)),
            "head": first.get("head"),
            "digest": first.get("digest"),
            "frozen": network.frozen,
        },
        "imbalance": {
            "sampling": recipe.sampling.value,
            "loss": fit.loss.model_dump(mode="json"),
            "synthetic": recipe.synthetic.model_dump(mode="json") if recipe.synthetic else None,
        },
        "training": training_words(recipe),
        "selection": _selection(fit, checkpoint, final=final),
    }


def _exam_stages(recipe: AnyKind, checkpoints: Mapping[str, Mapping[str, Any]], *, final: bool = False) -> list[Tree]:
    return [
        {
            "part": join(path, EXAM),
            "recipe": each.name,
            "training": exam_training_words(each.fit),
            "selection": _selection(each.fit, checkpoints.get(path), final=final),
        }
        for path, each in exam_networks(recipe).items()
    ]


def _selection(fit: Fit | ExamFit, checkpoint: Mapping[str, Any] | None, *, final: bool) -> Tree:
    """By what the epoch was chosen; epoch: None where nobody says which it was.

    final: of a procedure that others were measured for: where it stops at an epoch of theirs, everyone was trained on.
    """
    told = checkpoint or {}
    origin = told.get("origin") or {}
    everyone = True if final and fit.stop_after is not None and fit.patience is None else origin.get("everyone")
    return {
        "by": fit.best,
        "epochs": fit.last_epoch,
        "patience": fit.patience,
        "epoch": told.get("epoch"),
        "validation_loss": told.get("validation_loss"),
        "everyone": everyone,
    }
