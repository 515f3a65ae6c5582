"""A BiLSTM over features, their differences to the neighbours, and how far these are.

Source: after the second place of RSNA 2019, whose BiLSTM saw embeddings and their differences to neighbours, and the
first, which showed its sequence model Δz, the distance between slices.

Differs from `bigru`: an LSTM instead of a GRU; beside features and logits it is shown what each of them has more than
in the slice below and less than in the slice above, and both distances in mm.

Expected: docs/field.md has what it gave over `reader` in five folds of ct-ich: nothing that can be told from chance.
Cost: as `bigru`; the head has 2.0 million parameters.
Command: ichnos train bilstm --data SET --out RUN
"""

from ichnos.recipe import ExamInput, SequenceHead
from ichnos.recipes.bigru import RECIPE as BIGRU

RECIPE = BIGRU.derive(
    name="bilstm",
    title="BiLSTM over the reader's features, differences and distances",
    head=SequenceHead(kind="lstm", inputs=tuple(ExamInput)),
)
