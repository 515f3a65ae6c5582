"""A transformer over the reader's features: every slice of an exam looks at every other one.

Source: ours, after Vaswani 2017. None of the systems that the study cites has one.

Differs from `bigru`: two layers of attention with four heads, 64 wide; where a slice lies is told in mm, so that thin
and thick slices are one to it.

Expected: any hemorrhage against `reader`, five folds of ct-ich, three epochs a slice network (docs/field.md): slice AUC
+0.013 (-0.004 to 0.031), exam AUC -0.027 (-0.108 to 0.045).
Cost: as `bigru`; the head has 0.15 million parameters.
Command: ichnos train transformer --data SET --out RUN
"""

from ichnos.recipe import SequenceHead
from ichnos.recipes.bigru import RECIPE as BIGRU

RECIPE = BIGRU.derive(
    name="transformer",
    title="Transformer over the reader's features",
    head=SequenceHead(kind="transformer", layers=2),
)
