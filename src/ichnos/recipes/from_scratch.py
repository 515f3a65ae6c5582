"""Model 2 from random weights, trained for as long as that takes.

Source: ours. ImageNet weights let the study stop after ten epochs; from random weights ten epochs of a small set are
too short, so this length is in steps, and `ichnos study paper --length from-scratch` gives it to each of the models.

Differs from `paper_model_2`:
- Random weights; Adam 1e-3 that rises over the first twentieth of the steps and falls to 0 along a cosine.
- 20 rounds of 50 steps of 16 slices, whatever the size of the set; no early stopping, as the rate is still falling:
  the best round by validation loss is what counts.
- BatchNorm's statistics are measured afresh before every evaluation: EfficientNet's momentum of 0.01 leaves them
  mostly at their first values in so short a run.
- Model 3 in this length has as many rounds as Model 2, so their like-for-like comparison is at equal length.

Expected: see results/ for what it gave on ct-ich and on the phantom cohort.
Cost: 16,000 training images: about 6 minutes at 128 px and 22 minutes at 224 px on two CPU cores.
Command: ichnos train from_scratch --data SET --out RUN --set input.size=128
"""

from ichnos.recipe import Fit
from ichnos.recipes.paper_model_2 import RECIPE as MODEL_2

RECIPE = MODEL_2.derive(
    name="from_scratch",
    title="Model 2 from scratch",
    **{"network.init": "random"},
    fit=Fit(
        learning_rate=1e-3,
        schedule="cosine",
        batch_size=16,
        epochs=20,
        steps_per_epoch=50,
        patience=None,
        reestimate_batchnorm=True,
    ),
)
