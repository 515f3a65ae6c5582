"""Model 3 of the study: four subtypes, every slice with an epidural hemorrhage left out.

Source: Shah, "Classification of Brain Hemorrhages Using Convolutional Neural Networks", sections 3.1-3.3, Table 1.

Known: the network of Models 1 and 2 with four outputs; slices with EDH are left out of training and validation (3.1);
at most six epochs (3.3).

Guessed, where the study leaves it open: the regime is that of Model 2 (see `paper_model_2`), balanced batches and
augmentation, with all that is guessed there.

Differs: as `paper_model_2`. Its reported numbers are of other slices and classes than Model 2's: `ichnos study paper`
compares the two like for like.

Expected: the study reports exact match 82 %, macro F1 0.80, mean AUC 0.85, validation loss 0.120; SAH F1 about 0.75.
Not measured by us on RSNA 2019.
Cost: 0.6 of `paper_model_2`.
Command: ichnos train paper_model_3 --data SET --out RUN
"""

from ichnos.recipes.paper_model_2 import RECIPE as MODEL_2
from ichnos.subtypes import Subtype

RECIPE = MODEL_2.derive(
    name="paper_model_3",
    title="Model 3 (4-class CNN, no EDH)",
    classes=[subtype for subtype in MODEL_2.classes if subtype is not Subtype.EPIDURAL],
    **{"population.without": [Subtype.EPIDURAL], "fit.epochs": 6, "fit.milestones": ()},
)
