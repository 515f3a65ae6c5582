"""Two networks whose features dense layers join before a slice is named: feature fusion, after Venugopal 2021.

Source: Venugopal et al. 2021, of which we know no more than two words.

Known: "feature fusion", by which features of different kinds are brought together before a slice is named.

Guessed, as nothing more is known to us:
- The two networks are DenseNet-121 and ResNet-50 from ImageNet weights, as unlike each other as our backbones get, each
  with the study's head: pooling → Dense 128 → dropout 0.3 → outputs.
- All slices, `any` and five subtypes, natural sampling; L40 W80, L80 W200 and L40 W380 as channels; the study's
  augmentation; 224 px; Adam 1e-4, 32 slices a batch, 4 epochs that fall to 0 along a cosine, the best by validation
  loss.
- Each learns to name the classes first. Then their 3,072 pooled features stand side by side, and dropout 0.5 → Dense
  128 → dropout 0.5 → outputs learns from them, slice by slice, and is added to the mean of the two networks' logits:
  8 exams a batch, Adam 1e-3 with an L2 penalty of 1e-4, at most 30 epochs along a cosine, stopping after 8 without a
  lower validation loss.

Differs:
- The two networks stay as they are while the layers that join their features learn.

Expected: nothing that we could compare with. Not measured by us.
Cost: 6.9 GFLOP a slice forward at 224 px for both, eighteen times `paper_model_1`: a GPU's work. The layers that join
them have 0.4 million parameters and learn in seconds.
Command: ichnos train venugopal --data SET --out RUN
"""

from ichnos.recipe import EnsembleRecipe, ExamFit, ExamInput, ExamRecipe, SequenceHead
from ichnos.recipes.wu import RECIPE as WU

_WINDOWS = WU.members["windows"]

RECIPE = ExamRecipe(
    name="venugopal",
    title="Features of DenseNet-121 and ResNet-50, fused (after Venugopal)",
    slices=EnsembleRecipe(
        name="venugopal_networks",
        title="DenseNet-121 and ResNet-50 on three windows",
        members={
            name: _WINDOWS.derive(
                name=f"venugopal_{name}", title=f"{title} on three windows", **{"network.backbone": backbone}
            )
            for name, title, backbone in (
                ("densenet", "DenseNet-121", "densenet121"),
                ("resnet", "ResNet-50", "resnet50"),
            )
        },
    ),
    head=SequenceHead(kind="dense", hidden=128, dropout=0.5, inputs=(ExamInput.FEATURES,)),
    fit=ExamFit(reversal=0.0, subsampling=0.0),
)
