"""Two networks whose answers a third model fuses: after Venugopal 2021.

Source: Venugopal et al. 2021, of which we know no more than that it is a feature fusion network: what different
networks make of a slice is brought together before it is named.

Differs, or is our guess, as nothing more is known to us:
- The two networks are DenseNet-121 and ResNet-50 from ImageNet weights, as unlike each other as our backbones get.
- Each is trained by itself to name the six classes; what is fused are their twelve logits, by a logistic regression a
  class that is fitted on validation patients (stacking), not their features by layers trained with them.
- All slices, `any` and five subtypes; three windows as channels; the study's augmentation; 224 px; Adam 1e-4, at most 4
  epochs of all slices, falling to 0 along a cosine.

Expected: nothing that we could compare with. Not measured by us.
Cost: 6.9 GFLOP a slice forward at 224 px for both, eighteen times `paper_model_1`: a GPU's work.
Command: ichnos train venugopal --data SET --out RUN
"""

from ichnos.recipe import EnsembleRecipe
from ichnos.recipes.wu import RECIPE as WU

_WINDOWS = WU.members["windows"]

RECIPE = EnsembleRecipe(
    name="venugopal",
    title="DenseNet-121 and ResNet-50, fused (after Venugopal)",
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
