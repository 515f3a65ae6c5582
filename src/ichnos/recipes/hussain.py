"""ResNet-50 with attention, after Hussain 2022.

Source: Hussain et al. 2022, which we know from secondary sources only.

Known: a residual network with attention; about 96 % accuracy is reported, by the study on RSNA 2019, of what we do not
know.

Guessed, as nothing more is known to us:
- The attention is CBAM (Woo 2018), over channels and then places, in each block of a ResNet-50; pooling, dropout 0.3
  and one dense layer follow.
- Random weights, as no ImageNet weights of this network are known to be public; so longer, 40 epochs of Adam 1e-3 that
  rise and then fall to 0 along a cosine, 32 slices a batch, the best by validation loss; BatchNorm's statistics
  measured afresh before each evaluation.
- All slices, `any` and five subtypes at 224 px, natural sampling; brain and blood window merged; the study's
  augmentation.

Differs: in nothing that we know of, as we know so little.

Expected: nothing that we could compare with. Not measured by us.
Cost: 4.1 GFLOP a slice forward at 224 px, eleven times `paper_model_1`; 40 epochs.
Command: ichnos train hussain --data SET --out RUN
"""

from ichnos.recipe import Fit
from ichnos.recipes.cortes_ferre import RECIPE as RESNET

RECIPE = RESNET.derive(
    name="hussain",
    title="ResNet-50 with attention (after Hussain)",
    **{"network.backbone": "cbam-resnet50", "network.init": "random"},
    fit=Fit(learning_rate=1e-3, schedule="cosine", epochs=40, patience=None, reestimate_batchnorm=True),
)
