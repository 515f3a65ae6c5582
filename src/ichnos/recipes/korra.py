"""A small network of separable convolutions, after Korra 2022.

Source: Korra et al. 2022, of which we know the title's words alone.

Known: a separable fully connected convolutional network; by the study a lightweight one.

Guessed, as nothing more is known to us:
- Depth, width and form of the network: ten blocks of half of MobileNet's width (ichnos.models.backbones.separable);
  pooling → Dense 128 → dropout 0.3 → outputs, for the "fully connected".
- Random weights, as there are none to begin with; so longer, 40 epochs of Adam 1e-3 that rise and then fall to 0 along
  a cosine, 32 slices a batch, the best by validation loss; BatchNorm's statistics measured afresh before each
  evaluation.
- All slices, `any` and five subtypes at 224 px, natural sampling; brain and blood window merged; the study's
  augmentation.

Differs: in nothing that we know of, as we know so little.

Expected: nothing that we could compare with. Not measured by us.
Cost: 0.11 GFLOP a slice forward at 224 px, less than a third of `paper_model_1`; 40 epochs. The bundle has 3 MB.
Command: ichnos train korra --data SET --out RUN
"""

from ichnos.recipes.hussain import RECIPE as FROM_RANDOM

RECIPE = FROM_RANDOM.derive(
    name="korra",
    title="Separable convolutions (after Korra)",
    **{"network.backbone": "separable", "network.head.hidden": 128},
)
