"""Single slices; a moving average of the weights is what is measured and kept.

Source: Polyak 1992 for the mean along training; several of RSNA 2019's entries used one.

Differs from `model_2_any_25d` in the weights that count: their exponential moving average over steps
(decay 0.99, as ct-ich has some fifty steps an epoch). Training itself goes on with its own.

Expected: docs/field.md has what it gave against `model_2_any_25d` over five folds of ct-ich.
Cost: as `model_2_any`, and memory for one more copy of the weights.
Command: ichnos train model_2_any_ema --data SET --out RUN
"""

from ichnos.recipe import Averaging
from ichnos.recipes.model_2_any_25d import RECIPE as SINGLE

RECIPE = SINGLE.derive(
    name="model_2_any_ema",
    title="Model 2 with negatives and any, EMA of the weights",
    **{"fit.averaging": Averaging(kind="ema", decay=0.99)},
)
