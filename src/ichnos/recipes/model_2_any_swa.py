"""Single slices; the mean of the weights at the ends of the later epochs is what is measured and kept.

Source: Izmailov 2018.

Differs from `model_2_any_25d` in the weights that count: the mean of those at the ends of the second epoch
and all after it, with BatchNorm's statistics measured afresh. The rate falls along the same cosine, where Izmailov
holds it high.

Expected: docs/field.md has what it gave against `model_2_any_25d` over five folds of ct-ich.
Cost: as `model_2_any`, and one more pass over training images an epoch.
Command: ichnos train model_2_any_swa --data SET --out RUN
"""

from ichnos.recipe import Averaging
from ichnos.recipes.model_2_any_25d import RECIPE as SINGLE

RECIPE = SINGLE.derive(
    name="model_2_any_swa",
    title="Model 2 with negatives and any, SWA of the weights",
    **{"fit.averaging": Averaging(kind="swa", start=2)},
)
