"""Model 1 with its backbone frozen: only the head learns.

Source: the study's Model 1 (see `paper_model_1`). A first model that scores 28 % beside an AUC of 0.88 is what a
frozen ImageNet backbone often gives; the study does not say whether its backbone was frozen, so both are here.

Differs from `paper_model_1`: the backbone and its BatchNorm statistics stay as ImageNet left them. `init random` is
refused, as random features cannot be learnt from.

Expected: unknown; not reported by the study, not measured by us on RSNA 2019.
Cost: about a third of `paper_model_1`, as nothing is propagated back through the backbone.
Command: ichnos train paper_model_1_frozen --data SET --out RUN
"""

from ichnos.recipes.paper_model_1 import RECIPE as MODEL_1

RECIPE = MODEL_1.derive(name="paper_model_1_frozen", title="Model 1, frozen backbone", **{"network.frozen": True})
