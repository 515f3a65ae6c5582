"""An ensemble of ranks that cannot be exported: the error names what makes rounding decide."""

import numpy as np

from ichnos import recipes
from ichnos.evaluation.combination import FittedCombination, Ranks
from ichnos.networks import Weights
from ichnos.recipe import EnsembleRecipe
from ichnos.workflows.export import _why_they_differ
from ichnos.workflows.trained_together import TrainedEnsemble


def _trained(spread: float) -> TrainedEnsemble:
    recipe = recipes.find("ensemble_ranks").recipe
    assert isinstance(recipe, EnsembleRecipe)
    logits = np.random.default_rng(0).normal(size=(len(recipe.members), 40, len(recipe.classes)))
    logits[1, :, 0] *= spread
    fitted = FittedCombination(
        combine="rank",
        members=tuple(recipe.members),
        classes=recipe.classes,
        shares=recipe.shares,
        checkpoints="",
        fitted_on={},
        combination=Ranks.of(logits, recipe.shares),
    )
    return TrainedEnsemble(recipe, (), fitted)


def test_the_member_is_named_and_what_to_do() -> None:
    ensemble = _trained(1e-4)
    said = _why_they_differ(ensemble, Weights.FLOAT32)
    assert f"For {ensemble.recipe.classes[0]} of {list(ensemble.recipe.members)[1]} the logits" in said
    assert "--set combine=mean" in said
    assert recipes.find("ensemble_ranks").recipe.override({"combine": "mean"}).combine == "mean"


def test_nothing_is_said_where_members_tell_slices_apart() -> None:
    assert _why_they_differ(_trained(1.0), Weights.FLOAT32) == ""


def test_rounded_weights_are_named_first() -> None:
    assert "leave out --weights" in _why_they_differ(_trained(1.0), Weights.INT16)
