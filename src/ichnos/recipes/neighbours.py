"""2.5D: each slice with those 5 mm below and above it as channels.

Source: the RSNA 2019 challenge's first and third place show adjacent slices as channels, and the study names context
from neighbouring slices first among what it did not do.

Differs from `model_2_any` in the neighbours, and in the first weights that belong to them (`phantom-2.5d`: these have
seen all slices of synthetic heads, three at a time, and `any`); `model_2_any_25d` has the weights alone. `reader` is
this with synthetic lesions.

Expected: docs/field.md has what it gave over five folds of ct-ich: no more than `model_2_any_25d`.
Cost: as `model_2_any`.
Command: ichnos train neighbours --data SET --out RUN
"""

from ichnos.recipes.model_2_any import RECIPE as MODEL_2_ANY

RECIPE = MODEL_2_ANY.derive(
    name="neighbours",
    title="Neighbouring slices as channels",
    **{"input.neighbours": 1, "network.init": "phantom-2.5d"},
)
