"""ResNeXt on single slices, after Danilov 2020, who carried one to another hospital unchanged.

Source: Danilov et al. 2020, which we know from secondary sources only.

Known: a ResNeXt that names the subtypes in single slices, made for the RSNA 2019 challenge (so the study) and then
tried on another hospital's exams as it was.

Guessed, as nothing more is known to us:
- ResNeXt-50 32x4d with ImageNet weights, pooling, dropout 0.3 and one dense layer; brain, blood and a wide window (L40
  W380) as channels.
- All slices, `any` and five subtypes, natural sampling, the study's augmentation.
- 224 px, Adam 1e-4, 32 slices a batch, at most 10 epochs, early stopping by validation loss: as `paper_model_1`.

Differs: it is trained on the set that it is given, where his network came from the challenge; the other hospital is the
second half of the command below.

Expected: more than 81 % accuracy a subtype is reported, which is nothing to compare by, as a call of none is right for
most slices. Not measured by us.
Cost: 4.2 GFLOP a slice forward at 224 px, eleven times `paper_model_1`.
Command: ichnos train danilov --data SET --out RUN (and on another hospital's set, as he did: ichnos export RUN
--data SET --out danilov.ichnos, then ichnos evaluate danilov.ichnos --data OTHER --out DIR)
"""

from ichnos.ct import Window
from ichnos.ct.windows import BLOOD, BRAIN
from ichnos.recipe import Augmentation, Head, InputSpec, Network, Population, SliceRecipe, WindowMerge
from ichnos.subtypes import CLASSES

RECIPE = SliceRecipe(
    name="danilov",
    title="ResNeXt on single slices (after Danilov)",
    input=InputSpec(windows=(BRAIN, BLOOD, Window(40, 380)), merge=WindowMerge.STACK, size=224),
    population=Population(slices="all"),
    classes=CLASSES,
    network=Network(backbone="resnext50", init="imagenet", head=Head(hidden=None)),
    augmentation=Augmentation(),
)
