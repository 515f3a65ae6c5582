"""The slice stage of Burduja 2020: ResNeXt-101 on three windows as channels.

Source: Burduja, Ionescu and Verga 2020, Sensors 20(19):5611, and its code.

Known: a 2D ResNeXt-101 at 256 px, windows of level and width 40/80, 80/200 and 40/380 as channels, six outputs; then
the features of an exam's slices, reduced to 120 components, go through three layers of bidirectional LSTM, and Grad-CAM
shows where the network looked.

Guessed:
- ResNeXt-101 is 32x8d with ImageNet weights here, pooling and one dense layer.
- All slices, natural sampling, the study's augmentation; `any` counts twice in the loss, as in the challenge's measure;
  Adam 1e-4, 32 slices a batch, 4 epochs that fall to 0 along a cosine, the best by validation loss.

Differs: the slice stage alone; what the LSTM adds is in `burduja`.

Expected: 0.0499 on the challenge's private leaderboard for the whole system, LSTM included. Not measured by us.
Cost: 16.4 GFLOP a slice at 224 px, some 21 at its 256 px: a GPU's work. The bundle has about 350 MB.
Command: ichnos train burduja_slice --data SET --out RUN
"""

from ichnos.ct import Window
from ichnos.ct.windows import BLOOD, BRAIN
from ichnos.recipe import Augmentation, Fit, Head, InputSpec, Loss, Network, Population, SliceRecipe, WindowMerge
from ichnos.subtypes import CLASSES, Subtype

RECIPE = SliceRecipe(
    name="burduja_slice",
    title="ResNeXt-101 on three windows (Burduja's slice stage)",
    input=InputSpec(windows=(BRAIN, BLOOD, Window(40, 380)), merge=WindowMerge.STACK, size=256),
    population=Population(slices="all"),
    classes=CLASSES,
    network=Network(backbone="resnext101", init="imagenet", head=Head(hidden=None, dropout=0.0)),
    augmentation=Augmentation(),
    fit=Fit(schedule="cosine", epochs=4, patience=None, loss=Loss(weights={Subtype.ANY: 2})),
)
