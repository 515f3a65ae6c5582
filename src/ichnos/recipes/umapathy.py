"""After Umapathy 2023: SE-ResNeXt and an LSTM along the exam.

Source: Umapathy 2023, of which we have read the abstract. Known: SE-ResNeXt with an LSTM, trained on RSNA 2019 and
CQ500, Grad-CAM.

Differs, or is our guess:
- SE-ResNeXt-50 32x4d at 224 px on three windows as channels, with ImageNet weights; `any` and the five subtypes.
- One layer of LSTM in both directions, 128 units, on features and logits.
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
