"""Four models that answer together: the mean of what the study's steps towards the reader say.

Source: ours, after what every strong entry of the RSNA 2019 challenge ends with: networks that see a slice in different
ways (windows, neighbours), averaged. The study has ensembles among what it did not do.

Differs from `reader`: three more models beside it, `neighbours`, `three_windows` and `model_2_any`, each behind its own
input road; the mean of their logits, all alike. Nothing is fitted for it.

Expected: docs/field.md has what it gave over five folds of ct-ich.
Cost: its members, one after the other; in a field study that has trained them it costs nothing but its measuring. An
exam takes four times the multiplications of `reader`.
Command: ichnos train ensemble --data SET --out RUN
"""

from ichnos.recipe import EnsembleRecipe
from ichnos.recipes.model_2_any import RECIPE as MODEL_2_ANY
from ichnos.recipes.neighbours import RECIPE as NEIGHBOURS
from ichnos.recipes.reader import RECIPE as READER
from ichnos.recipes.three_windows import RECIPE as THREE_WINDOWS

RECIPE = EnsembleRecipe(
    name="ensemble",
    title="Ensemble (the mean of four)",
    members={each.name: each for each in (READER, NEIGHBOURS, THREE_WINDOWS, MODEL_2_ANY)},
)
