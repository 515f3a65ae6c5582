"""Two networks whose answers a third model joins, after Venugopal 2021; not its feature fusion.

Source: Venugopal et al. 2021, of which we know no more than two words.

Known: "feature fusion", by which features of different kinds are brought together before a slice is named.

Guessed, as nothing more is known to us:
- The two networks are DenseNet-121 and ResNet-50 from ImageNet weights, as unlike each other as our backbones get, each
  with the study's head: pooling → Dense 128 → dropout 0.3 → outputs.
- All slices, `any` and five subtypes, natural sampling; L40 W80, L80 W200 and L40 W380 as channels; the study's
  augmentation; 224 px; Adam 1e-4, 32 slices a batch, 4 epochs that fall to 0 along a cosine, the best by validation
  loss.

Differs:
- This is not feature fusion. Each network is trained by itself to name the six classes; what is joined are their twelve
  logits, by a logistic regression a class that is fitted on validation patients (stacking: decisions are fused), not
  their features by layers trained with them.

Expected: nothing that we could compare with. Not measured by us.
Cost: 6.9 GFLOP a slice forward at 224 px for both, eighteen times `paper_model_1`: a GPU's work.
Command: ichnos train venugopal --data SET --out RUN
"""

from ichnos.recipe import EnsembleRecipe
from ichnos.recipes.wu import RECIPE as WU

_WINDOWS = WU.members["windows"]

RECIPE = EnsembleRecipe(
    name="venugopal",
    title="DenseNet-121 and ResNet-50, stacked: no feature fusion (after Venugopal)",
    combine="stacking",
    members={
        name: _WINDOWS.derive(
            name=f"venugopal_{name}", title=f"{title} on three windows", **{"network.backbone": backbone}
        )
        for name, title, backbone in (
            ("densenet", "DenseNet-121", "densenet121"),
            ("resnet", "ResNet-50", "resnet50"),
        )
    },
)
