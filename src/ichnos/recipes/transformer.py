"""A transformer over the reader's features: every slice of an exam looks at every other one.

Source: ours, after Vaswani 2017. None of the systems that the study cites has one.

Differs from `bigru`: two layers of attention with four heads, 64 wide; where a slice lies is told in mm, so that thin
and thick slices are one to it.

Expected: docs/field.md has what it gave over `reader` in five folds of ct-ich: nothing that can be told from chance.
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
