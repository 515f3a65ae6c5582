"""The members of `ensemble`, averaged by ranks.

Source: ours; means of ranks are common where members' probabilities do not mean the same.

Differs from `ensemble` in how the members are joined: for each class the mean of the places that their logits take
among those of the validation slices, as a log-odds, so that no member counts more for being surer.

Expected: docs/field.md has what it gave over five folds of ct-ich: as much as the mean of logits.
Cost: as `ensemble`; in a field study that has trained the members nothing but its measuring.
Command: ichnos train ensemble_ranks --data SET --out RUN
"""

from ichnos.recipe import EnsembleRecipe
from ichnos.recipes.ensemble import RECIPE as ENSEMBLE

RECIPE = EnsembleRecipe(
    name="ensemble_ranks",
    title="Ensemble (the mean of four's ranks)",
    members=ENSEMBLE.members,
    combine="rank",
)
