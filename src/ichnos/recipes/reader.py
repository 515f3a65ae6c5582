"""The reader: any hemorrhage and five subtypes on all slices, neighbours as channels, from the phantom's weights.

Source: ours, after what the RSNA 2019 challenge's best shared: slices without hemorrhage in training, `any` as a sixth
class, neighbouring slices as channels.

Differs from `paper_model_2`:
- All slices and `any`, so that it can read exams, one of six classes that count alike; natural sampling, as six
  sevenths of all slices are negative.
- The slices 5 mm below and above as channels, each the mean of the brain and the blood window; 96 px, at which the
  phantom's weights were trained.
- Four of ten training slices are real ones without hemorrhage into which the phantom's lesions were drawn, inside their
  own skulls; 48 slices a batch, so that as many real ones come in each as before.
- First weights from synthetic heads that were seen in the same way (`phantom-2.5d`); head and backbone.
- 6 epochs of Adam 2e-4 that falls to 0 along a cosine; the best by mean AUC of the validation patients.

Expected: results/reader-ct-ich.json has what it gave over five folds of ct-ich.
Cost: about 40 training images a second on one CPU core: five folds of ct-ich in forty minutes.
Command: ichnos train reader --data SET --out RUN (measured by folds and exported: docs/own-bundle.md)
"""

from ichnos.recipe import Fit, Population, Sampling, Synthetic
from ichnos.recipes.paper_model_2 import RECIPE as MODEL_2
from ichnos.subtypes import CLASSES

RECIPE = MODEL_2.derive(
    name="reader",
    title="Reader (any and five subtypes, neighbours as channels)",
    classes=CLASSES,
    population=Population(slices="all"),
    sampling=Sampling.NATURAL,
    synthetic=Synthetic(share=0.4),
    fit=Fit(learning_rate=2e-4, schedule="cosine", batch_size=48, epochs=6, best="auc", patience=None),
    **{"input.size": 96, "input.neighbours": 1, "network.init": "phantom-2.5d"},
)
