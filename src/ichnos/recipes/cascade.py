"""Any hemorrhage first, then which: a gate on all slices, and the study's Model 2 on what passes it.

Source: ours, after systems that first tell positive slices from negative ones and then name the subtype. The study's
discussion has "any-hemorrhage first" among what it did not do. Its Model 2 has never seen a normal slice, so it cannot
read exams alone; behind a gate it can.

Differs from `reader`, whose one network names all six classes:
- The gate is `reader` itself; of its six classes only `any` is looked at.
- The second stage is `paper_model_2` on positives, with balanced batches, on single slices at the reader's 96 px, from
  the phantom's weights, which were trained at that size.
- P(subtype) = P(any) · P(subtype | positive slice). Both networks stand in one bundle, each behind its own input road.

Expected: docs/field.md has what it gave over five folds of ct-ich.
Cost: the gate as `reader`, the second stage as `paper_model_2` at 96 px; on an exam of 36 slices both networks take
between once and twice as long as the reader's one, and the bundle has 33 MB.
Command: ichnos train cascade --data SET --out RUN
"""

from ichnos.recipe import CascadeRecipe
from ichnos.recipes.paper_model_2 import RECIPE as MODEL_2
from ichnos.recipes.reader import RECIPE as READER

RECIPE = CascadeRecipe(
    name="cascade",
    title="Cascade (any, then five subtypes)",
    gate=READER,
    subtypes=MODEL_2.derive(
        name="cascade_subtypes",
        title="Second stage (five subtypes of a positive slice)",
        **{"input.size": READER.input.size, "network.init": "phantom", "fit.milestones": ()},
    ),
)
