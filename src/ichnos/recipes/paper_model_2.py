"""Model 2 of the study: five subtypes, balanced batches, augmentation, tuned.

Source: Shah, "Classification of Brain Hemorrhages Using Convolutional Neural Networks", sections 3.1-3.3, Table 1.

Known: the layers of Model 1 (see `paper_model_1`, of whose input all holds here too); mini-batches in which each class
has about the same share, by oversampling slices of the rare ones (3.3); rotation up to 15°, horizontal flip, small
shifts or zooms with probability 0.5 (3.1); Adam, at first 1e-4, at most 10 epochs (3.3).

Guessed, where the study leaves it open:
- The classes take turns in a batch, and a slice is drawn for each among those that have it.
- "Small" is a shift up to 5 % and a zoom up to 10 %.
- "Some optimized hyperparameters (such as learning rate or number of epochs)" are not given: Adam 1e-4 and at most 10
  epochs, as section 3.3 says of both. "Perhaps a second dropout layer" is `paper_model_2_two_dropouts`.

Differs:
- Augmentation is drawn for each image; the study says "applied with a probability of 0.5 to each batch".
- The best checkpoint of the first six epochs is kept too, to compare with Model 3 on equal terms.
- What `paper_model_1` has under this heading.

Expected: the study reports exact match 80 %, macro F1 0.75, mean AUC 0.95, validation loss 0.104; EDH F1 about 0.5,
IPH F1 about 0.90 and AUC about 0.98. Not measured by us on RSNA 2019.
Cost: 0.39 GFLOP a slice forward at 224 px; about 12 training images a second on two CPU cores.
Command: ichnos train paper_model_2 --data SET --out RUN
"""

from ichnos.recipe import Augmentation, Sampling
from ichnos.recipes.paper_model_1 import RECIPE as MODEL_1

RECIPE = MODEL_1.derive(
    name="paper_model_2",
    title="Model 2 (5-class CNN)",
    sampling=Sampling.BALANCED,
    augmentation=Augmentation(p=0.5, rotation=15, horizontal_flip=True, shift=0.05, zoom=0.1),
    **{"fit.milestones": (6,)},
)
