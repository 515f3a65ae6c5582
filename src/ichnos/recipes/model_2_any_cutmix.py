"""Single slices with a rectangle of another slice laid in, labels by area.

Source: Yun 2019.

Differs from `model_2_any_25d` in the augmentation alone: a rectangle of another image of the batch is laid into each,
of at most half its area (the smaller of b and 1 − b, b from Beta(1, 1)), and the labels are mixed by it.

Expected: docs/field.md has what it gave against `model_2_any_25d` over five folds of ct-ich.
Cost: as `model_2_any`.
Command: ichnos train model_2_any_cutmix --data SET --out RUN
"""

from ichnos.recipes.model_2_any_25d import RECIPE as SINGLE

RECIPE = SINGLE.derive(
    name="model_2_any_cutmix",
    title="Model 2 with negatives and any, cutmix",
    **{"augmentation.cutmix": 1.0},
)
