"""The second place of RSNA 2019: ResNeXt-101 on three windows, then a BiLSTM on embeddings and their differences.

Source: the second place's code.

Known: ResNeXt-101 with weights learnt weakly supervised (WSL), at 480 px, windows of level and width 40/80, 80/200 and
40/380 as channels; a BiLSTM on the slices' embeddings and their differences to the neighbours' embeddings.

Guessed:
- Pooling and one dense layer in the slice stage, which is trained as `burduja_slice`: all slices, natural sampling, the
  study's augmentation, Adam 1e-4, 32 slices a batch, 4 epochs that fall to 0 along a cosine, the best by validation
  loss.
- One layer of LSTM, 256 units a direction, and dropout 0.3; that what it says is added to the slice's own logits.
- The head learns by Adam 1e-3 along a cosine, with an L2 penalty of 1e-4, 8 exams a batch, at most 30 epochs, stopping
  after 8 without a lower validation loss, from patients whom the slice stage has learnt from (see `bigru`).
- An exam is shown from head to foot, and by every second slice, with probability 0.5 each: the first place's, not known
  of this one.
- `any` counts twice in both losses, as in the challenge's measure.
- No further views of a slice at test time.

Differs:
- ResNeXt-101 32x8d with ImageNet weights: those of WSL are larger and not ours to ship.
- The LSTM is shown the slice's own logits too.
- One network: the lower loss of the two below is not that of a single model.

Expected: about 0.044 on the challenge's private leaderboard for the whole system, 0.0461 for a single model that was
trained again. Not measured by us.
Cost: 75 GFLOP a slice at its 480 px, three and a half times `burduja_slice`: a GPU's work. The head has 13 million
parameters, the bundle about 400 MB.
Command: ichnos train second_place --data SET --out RUN
"""

from ichnos.recipe import ExamFit, ExamInput, ExamRecipe, Loss, SequenceHead
from ichnos.recipes.burduja_slice import RECIPE as BURDUJA_SLICE
from ichnos.subtypes import Subtype

RECIPE = ExamRecipe(
    name="second_place",
    title="BiLSTM over ResNeXt-101 at 480 px (the second place)",
    slices=BURDUJA_SLICE.derive(
        name="second_place_slice",
        title="ResNeXt-101 on three windows at 480 px (the second place's slice stage)",
        **{"input.size": 480},
    ),
    head=SequenceHead(kind="lstm", hidden=256, inputs=(ExamInput.FEATURES, ExamInput.LOGITS, ExamInput.DIFFERENCES)),
    fit=ExamFit(loss=Loss(weights={Subtype.ANY: 2})),
)
