"""Model 1 as sections 3.1 and 3.3 of the study read to the letter: balanced batches and augmentation for all models.

Source: the study's Model 1 (see `paper_model_1`).

Differs from `paper_model_1`: mini-batches balanced by oversampling, and augmentation (rotation up to 15°, horizontal
flip, small shift and zoom, p 0.5 drawn for each image; the study says "to each batch"). It is then Model 2 in all but
the random seed, which is the contradiction that this recipe exists to show.

Expected: as `paper_model_2`. Not measured by us on RSNA 2019.
Cost: as `paper_model_2`.
Command: ichnos train paper_model_1_as_written --data SET --out RUN
"""

from ichnos.recipe import Augmentation, Sampling
from ichnos.recipes.paper_model_1 import RECIPE as MODEL_1

RECIPE = MODEL_1.derive(
    name="paper_model_1_as_written",
    title="Model 1 as written",
    sampling=Sampling.BALANCED,
    augmentation=Augmentation(),
    **{"fit.seed": 1},
)
