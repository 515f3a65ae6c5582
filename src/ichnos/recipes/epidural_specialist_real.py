"""The epidural specialist without drawn lesions: what it learns from the real ones alone.

Source: ours: the other half of a pair that says what drawn epidurals give.

Differs from `epidural_specialist`: no synthetic lesions; 32 slices a batch, so that about as many real ones come in
each. It is the other with `--set synthetic=null --set fit.batch_size=32`, under a name of its own for a study.

Expected: docs/field.md has what it gave over five folds of ct-ich.
Cost: as `neighbours`, with a cache of three planes a slice.
Command: ichnos train epidural_specialist_real --data SET --out RUN (beside the other: docs/recipes.md)
"""

from ichnos.recipes.epidural_specialist import RECIPE as SPECIALIST

RECIPE = SPECIALIST.derive(
    name="epidural_specialist_real",
    title="Epidural specialist (real epidurals alone)",
    synthetic=None,
    **{"fit.batch_size": 32},
)
