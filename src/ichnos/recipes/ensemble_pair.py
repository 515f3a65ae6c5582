"""Two models that err differently: one at 160 px with mirror images, one at 96 px with other first weights.

Source: ours. The pair with the highest mean AUC of any hemorrhage over the inner validation patients of ct-ich's five
folds, slices and exams, of all means of two and of three that six trained recipes give (results/README.md).

Differs from `ensemble_sizes`: two members, no neighbours, and the larger one is asked of each slice's mirror image too.
The smaller one has three epochs, as in that study, where it has six by itself. The mean of their logits, all alike;
nothing is fitted for it.

Expected: results/README.md has what it gave over five folds of ct-ich.
Cost: its members, one after the other; in a field study that has trained them it costs nothing but its measuring. An
exam takes a fifth more multiplications than `model_2_any_160_views`, and its bundle is two networks large: 17 MB with
weights in 16 bits.
Command: ichnos train ensemble_pair --data SET --out RUN
"""

from ichnos.recipe import EnsembleRecipe
from ichnos.recipes.model_2_any_25d import RECIPE as SMALL
from ichnos.recipes.model_2_any_160_views import RECIPE as LARGER

RECIPE = EnsembleRecipe(
    name="ensemble_pair",
    title="Ensemble (the mean of two sizes)",
    members={each.name: each for each in (LARGER, SMALL.derive(**{"fit.epochs": 3}))},
)
