"""A small plain convolutional network, after Tharek 2022, who trained one on 200 images.

Source: Tharek et al. 2022, which we know from secondary sources only.

Known: a small convolutional network on 200 images; by the study it told whether there is a hemorrhage, with an accuracy
of 95 %.

Guessed, as nothing more is known to us:
- Depth and width of the network: four blocks of convolution, BatchNorm, ReLU and max pooling
  (ichnos.models.backbones.small_cnn); pooling → Dense 128 → dropout 0.3 → outputs.
- Random weights; brain and blood window merged; the study's augmentation; 128 px; 40 epochs of Adam 1e-3 that rise and
  then fall to 0 along a cosine, 32 slices a batch, the best by validation loss; BatchNorm's statistics measured afresh
  before each evaluation.
- All slices, natural sampling.

Differs:
- It names `any` and five subtypes, not hemorrhage alone, so that it can be compared with the others.

Expected: nothing that we could compare with. Not measured by us.
Cost: 0.74 GFLOP a slice at 224 px, some 0.24 at its 128 px; 40 epochs. The bundle has 2 MB.
Command: ichnos train tharek --data SET --out RUN
"""

from ichnos.recipes.hussain import RECIPE as FROM_RANDOM

RECIPE = FROM_RANDOM.derive(
    name="tharek",
    title="A small network (after Tharek)",
    **{"network.backbone": "small-cnn", "network.head.hidden": 128, "input.size": 128},
)
