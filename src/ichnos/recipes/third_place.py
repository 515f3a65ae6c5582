"""SE-ResNeXts on different windows and neighbours, then boosted trees over ±20 slices (RSNA 2019's third place).

Source: the third place of the RSNA 2019 challenge, by its code.

Known: 17 variants of SE-ResNeXt, each with its own windows and its own pattern of neighbouring slices, then
gradient-boosted trees for each class on their predictions of a slice and the twenty to each side.

Guessed:
- Which windows and neighbours: the brain window, the blood window and a wide one (L40 W380), each with the slices below
  and above as channels, and the three of them together as channels of one slice.
- SE-ResNeXt-50 at 256 px with ImageNet weights, pooling and one dense layer; all slices, natural sampling, the study's
  augmentation; Adam 1e-4, 32 slices a batch, 4 epochs that fall to 0 along a cosine, the best by validation loss; `any`
  counts twice in the loss, as in the challenge's measure.
- Trees begin from the slice's own logit and add to it; all that they are grown by is as in `eleventh_place`.
- They learn from the validation patients, whom the networks have not learnt from.

Differs:
- Four members, not 17.
- The trees see the mean of the members' logits, not each member's predictions; beside it, as in `eleventh_place`, the
  exam's largest and mean logit and how high in it a slice lies.
- Neighbours are found by place, 5 mm apart, not by number, so twenty of them reach over the whole head.

Expected: 0.04393 on the challenge's private leaderboard for its stacking. Not measured by us.
Cost: four SE-ResNeXt-50, 4.2 GFLOP a slice each at 224 px, some 5.6 at their 256 px: a GPU's work; then as
`eleventh_place`, with twice the columns. The bundle has about 410 MB.
Command: ichnos train third_place --data SET --out RUN
"""

from ichnos.ct.windows import BLOOD, BRAIN, Window
from ichnos.recipe import (
    Augmentation,
    EnsembleRecipe,
    ExamRecipe,
    Fit,
    Head,
    InputSpec,
    Loss,
    Network,
    Population,
    SliceRecipe,
    TreesHead,
    WindowMerge,
)
from ichnos.subtypes import CLASSES, Subtype

_WIDE = Window(level=40, width=380)

_BRAIN = SliceRecipe(
    name="third_place_brain",
    title="SE-ResNeXt-50 on the brain window and neighbours",
    input=InputSpec(windows=(BRAIN,), size=256, neighbours=1),
    population=Population(slices="all"),
    classes=CLASSES,
    network=Network(backbone="se-resnext50", init="imagenet", head=Head(hidden=None, dropout=0.0)),
    augmentation=Augmentation(),
    fit=Fit(schedule="cosine", epochs=4, patience=None, loss=Loss(weights={Subtype.ANY: 2})),
)

RECIPE = ExamRecipe(
    name="third_place",
    title="Four SE-ResNeXt-50 and boosted trees on ±20 slices (the third place)",
    slices=EnsembleRecipe(
        name="third_place_networks",
        title="Four SE-ResNeXt-50",
        members={
            "brain": _BRAIN,
            "blood": _BRAIN.derive(
                name="third_place_blood",
                title="SE-ResNeXt-50 on the blood window and neighbours",
                **{"input.windows": (BLOOD,)},
            ),
            "wide": _BRAIN.derive(
                name="third_place_wide",
                title="SE-ResNeXt-50 on the wide window and neighbours",
                **{"input.windows": (_WIDE,)},
            ),
            "windows": _BRAIN.derive(
                name="third_place_windows",
                title="SE-ResNeXt-50 on three windows",
                **{
                    "input.windows": (BRAIN, BLOOD, _WIDE),
                    "input.merge": WindowMerge.STACK,
                    "input.neighbours": 0,
                },
            ),
        },
    ),
    head=TreesHead(neighbours=20),
)
