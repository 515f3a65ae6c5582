"""Single slices mixed with one another in training, labels too.

Source: Zhang 2018.

Differs from `model_2_any_25d` in the augmentation alone: each image and its labels are mixed with another
one's of the batch, by a share from Beta(0.4, 0.4) of which the image itself has at least half.

Expected: docs/field.md has what it gave against `model_2_any_25d` over five folds of ct-ich.
Cost: as `model_2_any`.
Command: ichnos train model_2_any_mixup --data SET --out RUN
"""

from ichnos.recipes.model_2_any_25d import RECIPE as SINGLE

RECIPE = SINGLE.derive(
    name="model_2_any_mixup",
    title="Model 2 with negatives and any, mixup",
    **{"augmentation.mixup": 0.4},
)
