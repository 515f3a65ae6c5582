"""Model 2 with negatives and `any` from the first weights of `neighbours`: what these weights are worth by themselves.

Source: ours, as a control. `neighbours` differs from `model_2_any` in two things at once, the neighbours and the first
weights that belong to them (`phantom-2.5d`: these have seen all slices of synthetic heads, and `any`). Against this
recipe it differs in the neighbours alone.

Differs from `model_2_any` in the first weights: `phantom-2.5d`. Its three channels are three times the slice itself,
where those weights have seen three slices of a head.

Expected: docs/field.md has what it gave over five folds of ct-ich.
Cost: as `model_2_any`.
Command: ichnos train model_2_any_25d --data SET --out RUN
"""

from ichnos.recipes.model_2_any import RECIPE as MODEL_2_ANY

RECIPE = MODEL_2_ANY.derive(
    name="model_2_any_25d",
    title="Model 2 with negatives and any, first weights of neighbours",
    **{"network.init": "phantom-2.5d"},
)
