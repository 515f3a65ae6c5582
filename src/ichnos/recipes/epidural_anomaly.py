"""Epidural hemorrhage as an anomaly: no training slice shows one; it is called where a slice's features are unusual.

Source: ours. The distance is that of Lee 2018 (https://arxiv.org/abs/1807.03888, Mahalanobis to the nearest class), of
the pooled features, with a covariance shrunk after Ledoit and Wolf.

Differs from `model_2_any_25d`: slices with an epidural are in no training part, nor beside one as a neighbour; the
logit of epidural is the distance from all groups of training slices. Validation's epidural slices are used for
calibration and thresholds, not for the network or the distance. Differs from Lee: features of the last layer alone,
without input perturbation.

Not clean as it stands: its first weights, `phantom-2.5d`, were taught epidurals on synthetic heads, so the network has
met the shape that it is to call unusual. For one that has met none at all give `--set usual.network.init=random`, with
more epochs and a higher rate, as random weights want (`--set usual.fit.epochs=12 --set usual.fit.learning_rate=1e-3
--set usual.fit.reestimate_batchnorm=true`), or `--set usual.network.init=imagenet`; and compare it with `model_2_any`
from the same weights.

Expected: docs/field.md has what it gave over five folds of ct-ich, beside `model_2_any_25d`, which is shown epidurals.
Cost: that of `model_2_any_25d`, and some minutes for the features. No class maps.
Command: ichnos train epidural_anomaly --data SET --out RUN
"""

from ichnos.recipe import AnomalyRecipe
from ichnos.recipes.model_2_any_25d import RECIPE as SINGLE
from ichnos.subtypes import Subtype

RECIPE = AnomalyRecipe(
    name="epidural_anomaly",
    title="Epidural as an anomaly (in no training slice)",
    usual=SINGLE.derive(
        name="without_epidural",
        title="All slices but epidural ones",
        classes=tuple(c for c in SINGLE.classes if c is not Subtype.EPIDURAL),
        **{"population.without": (Subtype.EPIDURAL,)},
    ),
)
