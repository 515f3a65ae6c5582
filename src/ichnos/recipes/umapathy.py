"""After Umapathy 2023: SE-ResNeXt and an LSTM along the exam.

Source: Umapathy 2023, of which we have read the abstract.

Known: SE-ResNeXt with an LSTM, trained on RSNA 2019 and CQ500, Grad-CAM; by the study an ensemble of the two.

Guessed:
- SE-ResNeXt-50 32x4d at 224 px on L40 W80, L80 W200 and L40 W380 as channels, with ImageNet weights, pooling and one
  dense layer; `any` and the five subtypes.
- The slice stage is trained on all slices, natural sampling, the study's augmentation, Adam 1e-4, 32 slices a batch, 4
  epochs that fall to 0 along a cosine, the best by validation loss.
- One layer of LSTM in both directions, 128 units each, on features and logits, dropout 0.3; what it says is added to
  the slice's own logits.
- The head learns by Adam 1e-3 along a cosine, with an L2 penalty of 1e-4, 8 exams a batch, at most 30 epochs, stopping
  after 8 without a lower validation loss, from patients whom the slice stage has learnt from (see `bigru`).
- An exam is shown from head to foot, and by every second slice, with probability 0.5 each, after RSNA 2019's first
  place.
- `any` counts twice in both losses, as in the challenge's measure.

Differs:
- No two answers are averaged: the LSTM stands on the network, whose features and logits it sees and corrects.
- Trained on one set: CQ500's labels are of whole exams and teach no slice network here.

Expected: reported accuracy 99.8 %, epidural least sensitive. Not measured by us.
Cost: 4.2 GFLOP a slice, eleven times `paper_model_1`; the head has 2.2 million parameters. The bundle has about 110 MB.
Command: ichnos train umapathy --data SET --out RUN
"""

from ichnos.recipe import ExamFit, ExamRecipe, Loss, SequenceHead
from ichnos.recipes.burduja_slice import RECIPE as BURDUJA_SLICE
from ichnos.subtypes import Subtype

RECIPE = ExamRecipe(
    name="umapathy",
    title="LSTM over SE-ResNeXt-50 (after Umapathy 2023)",
    slices=BURDUJA_SLICE.derive(
        name="umapathy_slice",
        title="SE-ResNeXt-50 on three windows",
        **{"input.size": 224, "network.backbone": "se-resnext50"},
    ),
    head=SequenceHead(kind="lstm", hidden=128),
    fit=ExamFit(loss=Loss(weights={Subtype.ANY: 2})),
)
