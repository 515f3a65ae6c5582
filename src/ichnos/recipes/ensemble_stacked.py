"""The members of `ensemble_sizes`, stacked.

Source: Wolpert 1992, stacked generalization; as a recipe ours.

Differs from `ensemble_sizes` in how the members are joined: for each class a regularised logistic regression on all
logits of all members, fitted on the validation patients, so that a class can lean on whoever knows it best.

Expected: docs/field.md has what it gave over five folds of ct-ich, where a fold's validation patients are sixteen.
Cost: as `ensemble_sizes`; in a field study that has trained the members nothing but its fit and its measuring.
Command: ichnos train ensemble_stacked --data SET --out RUN
"""

from ichnos.recipe import EnsembleRecipe
from ichnos.recipes.ensemble_sizes import RECIPE as SIZES

RECIPE = EnsembleRecipe(
    name="ensemble_stacked",
    title="Ensemble (three of like strength, stacked)",
    members=SIZES.members,
    combine="stacking",
)
