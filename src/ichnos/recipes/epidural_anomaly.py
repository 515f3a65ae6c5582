"""Epidural hemorrhage as an anomaly: found by a network that has never seen one, by how unusual a slice's features are.

Source: ours. The distance is that of Lee 2018 (https://arxiv.org/abs/1807.03888, Mahalanobis to the nearest class), of
the pooled features, with a covariance shrunk after Ledoit and Wolf.

Differs from `neighbours`: slices with an epidural are in no training part; the logit of epidural is the distance from
all groups of training slices. Validation's epidural slices are used for calibration and thresholds, not for the network
or the distance. Differs from Lee: features of the last layer alone, without input perturbation.

Expected: docs/field.md has what it gave over five folds of ct-ich: little more than chance, where
`neighbours`, which has seen epidurals, finds them.
Cost: that of `neighbours`, and some minutes for the features. No class maps.
Command: ichnos train epidural_anomaly --data SET --out RUN
"""

from ichnos.recipe import AnomalyRecipe
from ichnos.recipes.neighbours import RECIPE as NEIGHBOURS
from ichnos.subtypes import Subtype

RECIPE = AnomalyRecipe(
    name="epidural_anomaly",
    title="Epidural as an anomaly (never seen in training)",
    usual=NEIGHBOURS.derive(
        name="without_epidural",
        title="All slices but epidural ones, neighbours as channels",
        classes=tuple(c for c in NEIGHBOURS.classes if c is not Subtype.EPIDURAL),
        **{"population.without": (Subtype.EPIDURAL,)},
    ),
)
