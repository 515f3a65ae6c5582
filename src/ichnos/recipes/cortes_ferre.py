"""ResNet-50 whose Grad-CAM is looked at, after Cortés-Ferre 2023.

Source: Cortés-Ferre et al. 2023, which we know from secondary sources only.

Known: ResNet and EfficientNet networks on slices, explained by Grad-CAM.

Guessed, as nothing more is known to us:
- ResNet-50 with ImageNet weights, pooling, dropout 0.3 and one dense layer, so that Grad-CAM is the class map itself
  (`--format heatmap`).
- All slices, `any` and five subtypes; brain and blood window merged, as the study has them; natural sampling.
- 224 px, the study's augmentation, Adam 1e-4, 32 slices a batch, at most 10 epochs, early stopping by validation loss:
  as `paper_model_1`.

Differs:
- A ResNet alone; an EfficientNet instead: `--set network.backbone=efficientnet-b2`.

Expected: nothing that we could compare with. Not measured by us.
Cost: 4.1 GFLOP a slice forward at 224 px, eleven times `paper_model_1`.
Command: ichnos train cortes_ferre --data SET --out RUN
"""

from ichnos.ct.windows import BLOOD, BRAIN
from ichnos.recipe import Augmentation, Head, InputSpec, Network, Population, SliceRecipe
from ichnos.subtypes import CLASSES

RECIPE = SliceRecipe(
    name="cortes_ferre",
    title="ResNet-50 with Grad-CAM (after Cortés-Ferre)",
    input=InputSpec(windows=(BRAIN, BLOOD), size=224),
    population=Population(slices="all"),
    classes=CLASSES,
    network=Network(backbone="resnet50", init="imagenet", head=Head(hidden=None)),
    augmentation=Augmentation(),
)
