"""A network that learnt from masks beside one that learnt from labels alone, together, after Kang 2023.

Source: Kang et al. 2023, of which we know the abstract.

Known: networks trained by strong annotation (masks) and by weak annotation (labels) are compared, and a weighted
ensemble of them is best; RSNA 2019 and AI-Hub's data.

Guessed, as nothing more is known to us:
- Both members are EfficientNet-B0 with ImageNet weights at 224 px on L40 W80, L80 W200 and L40 W380 as channels;
  pooling, dropout 0.3 and one dense layer; `any` and five subtypes, all slices, natural sampling, the study's
  augmentation, Adam 1e-4, 32 slices a batch, at most 10 epochs, early stopping by validation loss.
- The strong one has an auxiliary head that outlines blood of each class, whose loss (cross-entropy and Dice) counts as
  much as the classifier's, and is not in the bundle; theirs may well segment first and classify what it finds.
- Joined by the mean of their logits.

Differs:
- Both members count the same, where theirs are weighted, we do not know how: `--set 'weights={"strong": 2}'`.
- Masks are the set's, and those of synthetic lesions, which are a quarter of the strong one's slices, so that it can be
  trained on sets without masks too: only the drawn ones teach it where blood is then. The weak one sees none of them,
  so that the two differ in more than masks.
- AI-Hub's data are not here.

Expected: external AUC 0.953 (0.938 to 0.965) for the ensemble, in the paper. Not measured by us.
Cost: two trainings of all slices at 224 px; the bundle reads in twice the time of one such network.
Command: ichnos train kang --data SET --out RUN
"""

from ichnos.ct import Window
from ichnos.ct.windows import BLOOD, BRAIN
from ichnos.recipe import (
    Augmentation,
    EnsembleRecipe,
    Head,
    InputSpec,
    Network,
    Population,
    Segmentation,
    SliceRecipe,
    Synthetic,
    WindowMerge,
)
from ichnos.subtypes import CLASSES

_WEAK = SliceRecipe(
    name="kang_weak",
    title="By labels",
    input=InputSpec(windows=(BRAIN, BLOOD, Window(40, 380)), merge=WindowMerge.STACK, size=224),
    population=Population(slices="all"),
    classes=CLASSES,
    network=Network(backbone="efficientnet-b0", init="imagenet", head=Head(hidden=None)),
    augmentation=Augmentation(),
)

RECIPE = EnsembleRecipe(
    name="kang",
    title="By masks and by labels (after Kang)",
    members={
        "strong": _WEAK.derive(
            name="kang_strong", title="By masks", segmentation=Segmentation(), synthetic=Synthetic(share=0.25)
        ),
        "weak": _WEAK,
    },
)
