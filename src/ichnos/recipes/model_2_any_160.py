"""Model 2 with negatives and `any` at 160 px, from weights that have seen synthetic heads at that size and their masks.

Source: ours. Thin blood is a pixel or two at 96 px; what larger pictures are worth depends on first weights that know
them (`phantom-160`).

Differs from `model_2_any_25d`:
- 160 px, and first weights of that size: single slices of synthetic heads whose blood they have learnt to outline.
- 3 epochs instead of 6.

Expected: results/README.md has what it gave over five folds of ct-ich.
Cost: as `model_2_any`, an epoch nearly three times as long.
Command: ichnos train model_2_any_160 --data SET --out RUN
"""

from ichnos.recipes.model_2_any_25d import RECIPE as SINGLE

RECIPE = SINGLE.derive(
    name="model_2_any_160",
    title="Model 2 with negatives and any at 160 px",
    **{"input.size": 160, "network.init": "phantom-160", "fit.epochs": 3},
)
