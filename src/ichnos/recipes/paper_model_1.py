"""Model 1 of the study: five subtypes, plain training.

Source: Shah, "Classification of Brain Hemorrhages Using Convolutional Neural Networks", sections 3.1-3.3, Table 1.

Known: EfficientNet-B0 with ImageNet weights; global average pooling, Dense 128 ReLU, dropout 0.3, five sigmoid outputs;
224 px, pixels from 0 to 1, the slice copied to three channels; binary cross-entropy summed over the outputs; Adam, at
first 1e-4; at most 10 epochs, early stopping and best checkpoint by validation loss; only slices with at least one
hemorrhage; TensorFlow and Keras.

Guessed, where the study leaves it open:
- Models 1 and 2 print the same layers, and the discussion credits the jump from 1 to 2 to "balancing classes, data
  augmentation and fine-tuning", while sections 3.1 and 3.3 describe both for all models. We read Model 1 as natural
  sampling without augmentation. `paper_model_1_as_written` has both.
- The whole network is trained; `paper_model_1_frozen` freezes the backbone.
- The text says "two windows" and "a single combined window": we take the mean of brain (L40 W80) and blood
  (L80 W200) as one plane.
- Batch size and patience: 32, and 3 epochs without a lower validation loss. Of the learning rate only the first is
  given: it stays at 1e-4. There is no weight decay.

Differs:
- ImageNet's weights were trained behind ImageNet's mean and deviation, so after the study's 0-1 these follow.
- Windows, then resize, then rounding to uint8 (the study rounds before it resizes).
- PyTorch, whose BatchNorm differs in detail from Keras's; dense layers start as Keras starts them.

Expected: the study reports exact match 28 %, macro F1 0.32, mean AUC 0.88, validation loss 0.254 (a mean over the
outputs, it seems: the base rates alone give 0.53 as a mean and 2.64 as a sum). Not measured by us on RSNA 2019.
Cost: 0.39 GFLOP a slice forward at 224 px; about 12 training images a second on two CPU cores.
Command: ichnos train paper_model_1 --data SET --out RUN
"""

from ichnos.ct.windows import BLOOD, BRAIN
from ichnos.recipe import Fit, Head, InputSpec, Network, Normalisation, Population, Sampling, SliceRecipe, WindowMerge
from ichnos.subtypes import SUBTYPES

RECIPE = SliceRecipe(
    name="paper_model_1",
    title="Model 1 (5-class CNN)",
    input=InputSpec(windows=(BRAIN, BLOOD), merge=WindowMerge.MEAN, size=224, normalisation=Normalisation.IMAGENET),
    population=Population(slices="positives"),
    classes=SUBTYPES,
    network=Network(backbone="efficientnet-b0", init="imagenet", head=Head(hidden=128, dropout=0.3)),
    sampling=Sampling.NATURAL,
    augmentation=None,
    fit=Fit(learning_rate=1e-4, batch_size=32, epochs=10, patience=3),
)
