"""After Rajagopal 2023: a CNN on several windows, then a convolutional LSTM along the exam, six labels.

Source: Rajagopal 2023, of which we have read the abstract.

Known: a CNN with a Conv-LSTM, "systematic windowing", six labels.

Guessed:
- Which CNN and which windows: EfficientNet-B0 on L40 W80, L80 W200 and L40 W380 as channels, `three_windows` at 224 px
  with ImageNet weights.
- What the convolutional LSTM sees: the six class maps of each slice, 7 × 7 cells, and beside its end the features and
  logits; eight planes a direction.
- One layer of it in each direction; what it says is added to the slice's own logits, behind dropout 0.3.
- The slice stage is trained as `three_windows`: all slices, natural sampling, the study's head (Dense 128, dropout 0.3)
  and augmentation, Adam 2e-4, 32 slices a batch, 6 epochs that fall to 0 along a cosine, the best by mean AUC.
- The head learns by Adam 1e-3 along a cosine, with an L2 penalty of 1e-4, 8 exams a batch, at most 30 epochs, stopping
  after 8 without a lower validation loss, from patients whom the slice stage has learnt from (see `bigru`).
- An exam is shown from head to foot, and by every second slice, with probability 0.5 each, after RSNA 2019's first
  place.

Differs: in nothing that we know of; the abstract leaves the rest open.

Expected: reported sensitivity 93.9, specificity 96.5, accuracy 95.1 %. Not measured by us.
Cost: 0.38 GFLOP a slice, as `paper_model_1`; the head has 16,000 parameters, as matrices between all cells 9 MB of the
bundle.
Command: ichnos train rajagopal --data SET --out RUN
"""

from ichnos.recipe import ExamRecipe, SequenceHead
from ichnos.recipes.three_windows import RECIPE as THREE_WINDOWS

RECIPE = ExamRecipe(
    name="rajagopal",
    title="CNN and convolutional LSTM on three windows (after Rajagopal 2023)",
    slices=THREE_WINDOWS.derive(
        name="rajagopal_slice",
        title="EfficientNet-B0 on three windows at 224 px",
        **{"input.size": 224, "network.init": "imagenet"},
    ),
    head=SequenceHead(kind="conv-lstm", hidden=8),
)
