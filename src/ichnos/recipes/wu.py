"""Two EfficientNet-B0, one on three windows and one on adjacent slices, averaged: after Wu 2021.

Source: Wu et al. 2021, of which we know the abstract.

Known: an ensemble of EfficientNet-B0; one path sees a slice in three windows, the other sees adjacent slices; class
activation maps show where they looked; tested on CQ500.

Guessed, as nothing more is known to us:
- The windows are L40 W80, L80 W200 and L40 W380, as the RSNA 2019 challenge's second place has them; of the adjacent
  slices there is one to each side, all in the first of these windows.
- One network a path; what joins them is the mean of their logits, both alike.
- ImageNet weights and the study's head: pooling → Dense 128 → dropout 0.3 → outputs.
- All slices, `any` and five subtypes, natural sampling; the study's augmentation; 224 px; Adam 1e-4, 32 slices a batch,
  4 epochs that fall to 0 along a cosine, the best by validation loss.

Differs:
- Adjacent slices are found by place, 5 mm apart, not by number.
- Class maps are Grad-CAM's, as a hidden layer stands between pooling and outputs.

Expected: accuracy 95.7 %, sensitivity 85.9 %, F1 86.7 % are reported of the whole system; the study has these as of any
hemorrhage in RSNA 2019's test slices, beside more than 92 % accuracy on CQ500. Not measured by us.
Cost: 0.4 GFLOP a slice forward at 224 px for each of the two paths.
Command: ichnos train wu --data SET --out RUN
"""

from ichnos.ct import Window
from ichnos.ct.windows import BLOOD, BRAIN
from ichnos.recipe import (
    Augmentation,
    EnsembleRecipe,
    Fit,
    InputSpec,
    Network,
    Population,
    SliceRecipe,
    WindowMerge,
)
from ichnos.subtypes import CLASSES

_WINDOWS = SliceRecipe(
    name="wu_windows",
    title="Three windows as channels (Wu's first path)",
    input=InputSpec(windows=(BRAIN, BLOOD, Window(40, 380)), merge=WindowMerge.STACK, size=224),
    population=Population(slices="all"),
    classes=CLASSES,
    network=Network(),
    augmentation=Augmentation(),
    fit=Fit(schedule="cosine", epochs=4, patience=None),
)

RECIPE = EnsembleRecipe(
    name="wu",
    title="Windows and adjacent slices, averaged (after Wu)",
    members={
        "windows": _WINDOWS,
        "slices": _WINDOWS.derive(
            name="wu_slices",
            title="Adjacent slices as channels (Wu's second path)",
            input=InputSpec(windows=(BRAIN,), size=224, neighbours=1),
        ),
    },
)
