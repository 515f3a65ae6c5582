"""Burduja 2020: a 2D ResNeXt-101, its features reduced to 120 components, and three layers of BiLSTM.

Source: Burduja, Ionescu and Verga 2020, Sensors 20(19):5611, and its code.

Known: the slice stage (`burduja_slice`); then the features of an exam's slices, reduced to 120 principal components, go
through three layers of bidirectional LSTM with 256 units. Grad-CAM shows where the network looked.

Guessed:
- The components are found on the training slices and stand in the network as one fixed layer.
- What the LSTM says is added to the slice's own logits, which it is not shown; 256 units are those of a direction.
- The head learns by Adam 1e-3 along a cosine, with an L2 penalty of 1e-4, dropout 0.3, 8 exams a batch, at most 30
  epochs, stopping after 8 without a lower validation loss, from patients whom the slice stage has learnt from (see
  `bigru`).
- An exam is shown from head to foot, and by every second slice, with probability 0.5 each: the first place's, not known
  of this one.
- `any` counts twice in the loss, as in the challenge's measure.

Differs: in nothing that we know of; of the slice stage see `burduja_slice`.

Expected: 0.0499 on the challenge's private leaderboard. Not measured by us.
Cost: the slice stage as `burduja_slice`; the head has 3.9 million parameters. The bundle has about 365 MB.
Command: ichnos train burduja --data SET --out RUN
"""

from ichnos.recipe import ExamFit, ExamInput, ExamRecipe, Loss, SequenceHead
from ichnos.recipes.burduja_slice import RECIPE as BURDUJA_SLICE
from ichnos.subtypes import Subtype

RECIPE = ExamRecipe(
    name="burduja",
    title="BiLSTM over 120 components of ResNeXt-101 (Burduja 2020)",
    slices=BURDUJA_SLICE,
    head=SequenceHead(kind="lstm", hidden=256, layers=3, inputs=(ExamInput.FEATURES,), components=120),
    fit=ExamFit(loss=Loss(weights={Subtype.ANY: 2})),
)
