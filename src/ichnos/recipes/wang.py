"""The first place of RSNA 2019: a slice network, then two sequence models, one on features, one on probabilities.

Source: Wang 2021 and its code.

Known: DenseNet-121 and -169 and SE-ResNeXt-101 on three adjacent slices; one bidirectional GRU over the exam on a CNN's
features; a second one on the models' probabilities, their mean and differences, and Δz; sequences of 24 slices, Adam
3e-4, 40 epochs, dropout 0.5, random stride 2 and reversal; ten crops of each slice at test time, whose probabilities
and features are averaged.

Guessed:
- One layer of 96 units a direction, and that each sequence model adds to the logits that it was given.
- An exam is shown from head to foot, and by every second slice, with probability 0.5 each.
- 8 exams a batch, Adam's L2 penalty of 1e-4, a rate that rises and then falls to 0 along a cosine, the best epoch by
  validation loss, and that `any` counts twice in the loss, as in the challenge's measure.
- Both learn from training patients, whom the CNN has learnt from (see `bigru`).

Differs:
- One CNN, `wang_slice` (DenseNet-169), not an ensemble of several: the second sequence model sees its probabilities and
  the first's, their mean, the mean's differences to the slices below and above, and how far these are.
- The first sequence model is shown more than theirs, which as far as we know saw features alone: the features'
  differences to the slices below and above, and how far these are.
- Whole exams instead of 24 slices; both sequence models learn at once, the second from what the first says with no
  gradient between them.
- No crops at test time.

Expected: log-losses of .062 (CNN), .058 (with the first sequence model), .057 (with the second), .054 (ensemble) in the
challenge's first stage; AUC of any 0.988 for the whole, externally 0.964 (75 exams) and 0.949 (491). Its users got
0.0503 from the released code, against 0.0438 on the leaderboard. Not measured by us.
Cost: the slice stage as `wang_slice`; the head has 3.0 million parameters.
Command: ichnos train wang --data SET --out RUN
"""

from ichnos.recipe import ExamFit, ExamInput, ExamRecipe, Loss, SequenceHead
from ichnos.recipes.wang_slice import RECIPE as WANG_SLICE
from ichnos.subtypes import Subtype

RECIPE = ExamRecipe(
    name="wang",
    title="Two sequence models over DenseNet-169 (the first place)",
    slices=WANG_SLICE,
    head=SequenceHead(
        kind="two-stage",
        hidden=96,
        dropout=0.5,
        inputs=(ExamInput.FEATURES, ExamInput.DIFFERENCES, ExamInput.DISTANCES),
    ),
    fit=ExamFit(learning_rate=3e-4, epochs=40, patience=None, loss=Loss(weights={Subtype.ANY: 2})),
)
