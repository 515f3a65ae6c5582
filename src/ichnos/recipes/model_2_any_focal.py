"""Single slices with the focal loss: what is easy counts less.

Source: Lin 2017; the study names it among what it did not do.

Differs from `model_2_any_25d` in the loss alone: the cross-entropy of each output is multiplied by (1 − p of
what is so)², so that six negative slices of seven, most of them easy, weigh little.

Expected: docs/field.md has what it did over five folds of ct-ich: it lost to `model_2_any_25d`.
Cost: as `model_2_any`.
Command: ichnos train model_2_any_focal --data SET --out RUN
"""

from ichnos.recipe import Loss
from ichnos.recipes.model_2_any_25d import RECIPE as SINGLE

RECIPE = SINGLE.derive(
    name="model_2_any_focal",
    title="Model 2 with negatives and any, focal loss",
    **{"fit.loss": Loss(kind="focal")},
)
