"""The slice stage of the challenge's first place (Wang 2021): three adjacent slices as channels.

Source: Wang et al. 2021, NeuroImage: Clinical 32:102785, and its code.

Known: DenseNet-121, DenseNet-169 and SE-ResNeXt-101, each on a slice with the one below and the one above as channels;
one slice drawn from each exam, four draws an epoch, more often near the middle of the volume; horizontal flip, shift,
scale and aspect by 10 %, rotation by 30°, random erasing of 2 to 40 % with probability 0.5, crops of 0.6 to 0.99; the
channels' order turned around with probability 0.5; Adam 5e-4, weight decay 2e-5, 80 epochs with cosine restarts; ten
crops at test time. Two bidirectional GRU models over the exam follow.

Guessed:
- The brain window (L40 W80), 256 px, ImageNet's weights, pooling and one dense layer.
- Mid-volume is drawn three times as often as the ends, evenly less towards them.
- Flip, affine change and crop are drawn apart, with probability 0.5 each.
- 32 slices a batch, how often the rate restarts (three times, after one rise at the beginning), the best epoch by
  validation loss, and that `any` counts twice in the loss, as in the challenge's measure.

Differs:
- The slice stage alone, of one network: DenseNet-169. The others: `--set network.backbone=densenet121` or
  `se-resnext101`. What averages, ten crops and GRUs add is not here.
- Neighbours are found by place, 5 mm apart, not by number.
- Crops have 0.6 to 1 of the area.
- 10 epochs here are as many images as there are slices, each: about as many as 80 of four slices an exam.

Expected: a loss of 0.062 for such a network before the sequence models, on the challenge's first stage, and AUC of any
0.988 for the whole system. Its users got 0.0503 from the released code, against 0.0438 on the leaderboard. Not measured
by us.
Cost: 3.4 GFLOP a slice at 224 px, some 4.4 at its 256 px, eleven times `paper_model_1`.
Command: ichnos train wang_slice --data SET --out RUN
"""

from ichnos.ct.windows import BRAIN
from ichnos.recipe import Augmentation, Fit, Head, InputSpec, Loss, Network, Population, Sampling, SliceRecipe
from ichnos.subtypes import CLASSES, Subtype

RECIPE = SliceRecipe(
    name="wang_slice",
    title="DenseNet-169 on three adjacent slices (the first place's slice stage)",
    input=InputSpec(windows=(BRAIN,), size=256, neighbours=1),
    population=Population(slices="all"),
    classes=CLASSES,
    network=Network(backbone="densenet169", init="imagenet", head=Head(hidden=None, dropout=0.0)),
    sampling=Sampling.EXAM,
    augmentation=Augmentation(rotation=30, shift=0.1, zoom=0.1, stretch=True, crop=0.6, erasing=0.5, reversal=0.5),
    fit=Fit(
        learning_rate=5e-4,
        schedule="cosine",
        restarts=3,
        weight_decay=2e-5,
        epochs=10,
        patience=None,
        loss=Loss(weights={Subtype.ANY: 2}),
    ),
)
