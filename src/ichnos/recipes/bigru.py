"""A BiGRU over the features of `reader`: each slice judged anew in the light of its whole exam.

Source: ours, the plainest of the sequence models that the challenge's best entries laid over a slice network (Wang
2021, Burduja 2020, the second place).

Differs from `reader`:
- Its features (1,280 a slice) and logits, standardised, go through one layer of GRU in both directions along the exam;
  what comes out is added to the slice's own logits. Untrained, it says what `reader` says.
- Trained on training patients' exams, forwards and backwards, whole and every second slice, as the challenge's first
  place did; validation chooses the epoch.
- The slice stage has seen those very patients and is surer of them than of others: the head learns from optimistic
  features. With few patients this eats part of the gain.

Expected: docs/field.md has what it gave over `reader` in five folds of ct-ich: nothing that can be told from chance.
Cost: the slice stage as `reader`; the head has 0.5 million parameters and trains in seconds, on an exam of 36 slices it
takes milliseconds.
Command: ichnos train bigru --data SET --out RUN
"""

from ichnos.recipe import ExamRecipe, SequenceHead
from ichnos.recipes.reader import RECIPE as READER

RECIPE = ExamRecipe(
    name="bigru",
    title="BiGRU over the reader's features",
    slices=READER,
    head=SequenceHead(kind="gru"),
)
