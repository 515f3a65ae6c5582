"""What training left behind, opened: one model (of one run, or of several that are averaged) or several as one."""

from collections.abc import Sequence
from pathlib import Path
from typing import assert_never, cast

from pydantic import TypeAdapter, ValidationError

from ichnos.errors import WeightsError
from ichnos.evaluation.combination import FittedCombination
from ichnos.models.checkpoint import load_classifier
from ichnos.recipe import (
    CASCADE_STAGES,
    MEMBERS,
    SLICES,
    AnomalyRecipe,
    AnyKind,
    CascadeRecipe,
    EnsembleRecipe,
    ExamRecipe,
    Recipe,
    SliceRecipe,
    TreesHead,
    explain,
)
from ichnos.workflows.anomaly import TrainedAnomaly, read_density
from ichnos.workflows.trained_exam import TrainedExam
from ichnos.workflows.trained_model import BEST, Trained, TrainedModel, best_of
from ichnos.workflows.trained_together import TrainedCascade, TrainedEnsemble, digest_of_members
from ichnos.workflows.trained_trees import TrainedTrees

COMBINATION = "combination.json"
"""Beside the recipe of an ensemble whose members are joined by what was fitted."""

_USUAL = "usual"
"""The folder of an anomaly detector's network."""

_WITHIN = (*CASCADE_STAGES, MEMBERS, SLICES, _USUAL)
"""Folders of a run that holds others."""


def open_runs(runs: Sequence[Path]) -> Trained:
    """One run of any kind; or several of one model, to be averaged; or a gate and a second stage, in this order.

    Raises WeightsError where a checkpoint is missing or damaged, or where the runs do not go together.
    """
    opened = [open_run(run) for run in runs]
    if len(opened) == 1:
        return opened[0]
    models = [each for each in opened if isinstance(each, TrainedModel)]
    for run, each in zip(runs, opened, strict=True):
        if not isinstance(each, TrainedModel):
            *others, last = (f"{run.name}/{path}" for path in each.recipe.parts)
            raise WeightsError(
                f"{run.name} is {each.recipe.in_words}'s run, which becomes a bundle by itself; what it is made of are "
                f"runs too: {', '.join(others)} and {last}"
            )
    if len(models) == 2 and {model.recipe.population.slices for model in models} == {"all", "positives"}:
        return _cascade(*models)
    return _average(models)


def open_run(run: Path) -> Trained:
    """What one training left behind. Raises WeightsError where it is not there, not whole, or has not ended."""
    if (run / BEST).exists() or not any((run / part).is_dir() for part in _WITHIN):
        classifier, recipe, _ = load_classifier(best_of(run))
        return TrainedModel(recipe, (run,), (classifier,))
    if not (run / "recipe.json").exists():
        raise WeightsError(
            f"{run.name} is {kind_of(run)} whose training has not ended: the same `ichnos train` goes on"
        )
    try:
        recipe = TypeAdapter[AnyKind](Recipe).validate_json((run / "recipe.json").read_bytes())
        parts = {path: open_run(run / path) for path in recipe.parts}
        # what the checkpoints say of themselves counts
        recipe = recipe.derive(**{path.replace("/", "."): part.recipe for path, part in parts.items()})
    except ValidationError as error:
        raise WeightsError(f"{run / 'recipe.json'} does not fit the run: {explain(error)}") from error
    match recipe:
        case CascadeRecipe():
            gate, subtypes = cast("tuple[TrainedModel, TrainedModel]", tuple(parts.values()))
            return TrainedCascade(recipe, gate, subtypes)
        case EnsembleRecipe():
            members = tuple(parts.values())
            return TrainedEnsemble(recipe, members, _fitted(recipe, members, run))
        case AnomalyRecipe():
            (slices,) = cast("tuple[TrainedModel]", tuple(parts.values()))
            density, made_of = read_density(run)
            if not made_of.fits(recipe, slices.digest()):
                raise WeightsError(
                    f"{run.name}'s density is of another network or recipe: the same `ichnos train` makes it anew"
                )
            return TrainedAnomaly(recipe, slices, density)
        case ExamRecipe() if isinstance(recipe.head, TreesHead):
            return TrainedTrees.open(recipe, parts[SLICES], run)
        case ExamRecipe():
            return TrainedExam.open(recipe, parts[SLICES], run)
        case SliceRecipe():
            raise WeightsError(f"{run / 'recipe.json'} does not fit the run: it is of one model, the run of several")
        case _:
            assert_never(recipe)


def kind_of(run: Path) -> str | None:
    """What a run is, in words, by what training has begun in it; None where nothing has."""
    if (run / "last.safetensors").exists() or (run / BEST).exists():
        return SliceRecipe.in_words
    if any((run / stage).is_dir() for stage in CASCADE_STAGES):
        return CascadeRecipe.in_words
    if (run / _USUAL).is_dir():
        return AnomalyRecipe.in_words
    if (run / SLICES).is_dir():
        return ExamRecipe.in_words
    return EnsembleRecipe.in_words if (run / MEMBERS).is_dir() else None


def population_text(recipe: AnyKind) -> str:
    """Which slices a network has seen, in words."""
    match recipe:
        case CascadeRecipe():
            gate, subtypes = population_text(recipe.gate), population_text(recipe.subtypes)
            return f"{gate} (the gate), and {subtypes} (the second stage)"
        case EnsembleRecipe():
            seen = {population_text(member): None for member in recipe.members.values()}
            return "; or ".join(seen)
        case AnomalyRecipe():
            return f"{population_text(recipe.usual)}, which is called where a slice is unlike all of these"
        case ExamRecipe():
            return population_text(recipe.slices)
        case SliceRecipe():
            said = {"all": "slices with and without hemorrhage", "positives": "only slices with a hemorrhage"}
            without = "".join(f", none with {c.value} hemorrhage" for c in recipe.population.without)
            return said[recipe.population.slices] + without
        case _:
            assert_never(recipe)


def _fitted(recipe: EnsembleRecipe, members: Sequence[Trained], run: Path) -> FittedCombination | None:
    """What joins the members where that was fitted. Raises WeightsError where it is absent or of other members."""
    if recipe.combine == "mean":
        return None
    path = run / COMBINATION
    if not path.exists():
        raise WeightsError(f"{run.name} lacks {COMBINATION}, which joins its members: the same `ichnos train` makes it")
    try:
        fitted = FittedCombination.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise WeightsError(f"{path} is damaged: {explain(error)}; the same `ichnos train` makes it anew") from error
    if (fitted.combine, fitted.members, fitted.classes) != (recipe.combine, tuple(recipe.members), recipe.classes):
        raise WeightsError(f"{path} is of another ensemble than the run's: the same `ichnos train` makes it anew")
    if fitted.checkpoints != digest_of_members(members):
        raise WeightsError(
            f"{path} was fitted on other weights than the members': the same `ichnos train` makes it anew"
        )
    return fitted


def _of_one_kind(recipe: SliceRecipe) -> tuple[object, ...]:
    """What runs have in common whose logits can be averaged in one graph."""
    network = recipe.network
    return recipe.input, recipe.classes, recipe.population, recipe.test_time, network.backbone, network.head.hidden


def _average(models: Sequence[TrainedModel]) -> TrainedModel:
    first = models[0].recipe
    for other in (model.recipe for model in models[1:]):
        if _of_one_kind(other) != _of_one_kind(first):
            raise WeightsError(
                "runs that become one bundle need one network, input road, population, list of classes and the same "
                f"views; {other.name} has others than {first.name}; export them one by one, as a cascade (two runs, "
                "first one that names `any` on all slices, then one of positives), or train an ensemble's recipe"
            )
    return TrainedModel(
        first, tuple(run for model in models for run in model.runs), tuple(c for m in models for c in m.classifiers)
    )


def _cascade(gate: TrainedModel, subtypes: TrainedModel) -> TrainedCascade:
    """Of two runs that were trained apart."""
    title = f"{gate.recipe.title}, then {subtypes.recipe.title}"
    try:
        recipe = CascadeRecipe(name="cascade", title=title, gate=gate.recipe, subtypes=subtypes.recipe)
        return TrainedCascade(recipe, gate, subtypes)
    except ValidationError as error:
        raise WeightsError(
            "a run of all slices and a run of positives become a cascade, given in this order, but here "
            f"{explain(error)}"
        ) from error
