"""Model 2 with a second dropout layer, on the pooled features.

Source: the study, 3.2: Model 2 had "perhaps a second dropout layer", while its printed layers show one.

Differs from `paper_model_2`: dropout 0.3 between the global average pooling and Dense 128 as well; place and rate are
our guess.

Expected: unknown; not reported by the study, not measured by us on RSNA 2019.
Cost: as `paper_model_2`.
Command: ichnos train paper_model_2_two_dropouts --data SET --out RUN
"""

from ichnos.recipes.paper_model_2 import RECIPE as MODEL_2

RECIPE = MODEL_2.derive(
    name="paper_model_2_two_dropouts", title="Model 2, two dropouts", **{"network.head.dropout_before_hidden": 0.3}
)
