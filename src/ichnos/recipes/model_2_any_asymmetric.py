"""Single slices with the asymmetric loss: easy negatives cost nothing, positives all of it.

Source: Ridnik 2021, made for many labels of which few are so.

Differs from `model_2_any_25d` in the loss alone: negatives below a probability of 0.05 cost nothing, the
others weigh by (p − 0.05)²; positives keep the plain cross-entropy.

Expected: docs/field.md has what it gave against `model_2_any_25d` over five folds of ct-ich.
Cost: as `model_2_any`.
Command: ichnos train model_2_any_asymmetric --data SET --out RUN
"""

from ichnos.recipe import Loss
from ichnos.recipes.model_2_any_25d import RECIPE as SINGLE

RECIPE = SINGLE.derive(
    name="model_2_any_asymmetric",
    title="Model 2 with negatives and any, asymmetric loss",
    **{"fit.loss": Loss(kind="asymmetric")},
)
