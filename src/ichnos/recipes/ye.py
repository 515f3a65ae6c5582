"""A joint 3D CNN and RNN: each slice in a short volume of its neighbours, after Ye 2019.

Source: Ye 2019, of which we know the abstract alone.

Known: a joint 3D CNN and RNN on whole exams of private data: the convolutions are 3D and joined with a recurrent layer.

Guessed:
- The network (`joint-3d-rnn`): residual blocks of 3×3×3 kernels, halved within slices and not across them, then a GRU
  in both directions; what it says at the slice in the middle goes, behind dropout 0.3, to one dense layer. It is
  trained as one.
- Brain and blood window, a channel each, at 128 px; random first weights, as none are known for it.
- All slices, `any` and five subtypes, natural sampling; the study's augmentation, and volumes shown from head to foot
  half of the time.
- Adam 5e-4, 32 slices a batch, 10 epochs that rise and then fall to 0 along a cosine, the best by mean AUC.

Differs:
- Not the whole exam at once: the four slices below and the four above, 5 mm apart. The answer is of single slices, and
  the exam's is made of theirs as for every recipe.

Expected: `any` AUC at least 0.98, subtypes above 0.8, and less than 30 s an exam in the abstract, on its own exams. Not
measured by us.
Cost: 3.9 million parameters, 1.7 GFLOP a slice: nine are shown with each, at 128 px. It has no class maps, and the
bundle says so.
Command: ichnos train ye --data SET --out RUN
"""

from ichnos.ct.windows import BLOOD, BRAIN
from ichnos.recipe import (
    Augmentation,
    Fit,
    Head,
    InputSpec,
    Network,
    Normalisation,
    Population,
    SliceRecipe,
    WindowMerge,
)
from ichnos.subtypes import CLASSES

RECIPE = SliceRecipe(
    name="ye",
    title="Joint 3D CNN and RNN (after Ye)",
    input=InputSpec(
        windows=(BRAIN, BLOOD), merge=WindowMerge.STACK, size=128, neighbours=4, normalisation=Normalisation.UNIT
    ),
    population=Population(slices="all"),
    classes=CLASSES,
    network=Network(backbone="joint-3d-rnn", init="random", head=Head(hidden=None)),
    augmentation=Augmentation(reversal=0.5),
    fit=Fit(learning_rate=5e-4, schedule="cosine", epochs=10, best="auc", patience=None),
)
