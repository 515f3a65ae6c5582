"""Three models of like strength that see a slice in different ways: small, larger, and with its neighbours.

Source: ours. Two of the four members of `ensemble` are much weaker than the others, and it loses by them.

Differs from `ensemble` in its members: `model_2_any_25d` at 96 px, `model_2_any_160` at 160 px, and `reader`, which
sees neighbouring slices; the mean of their logits, all alike.

Expected: docs/field.md has what it gave over five folds of ct-ich: the largest slice AUC,
not told from that of its best member; exams as its best member.
Cost: its members, one after the other; in a field study that has trained them it costs nothing but its measuring. An
exam takes nearly five times the multiplications of `reader`, and its bundle is three networks large.
Command: ichnos train ensemble_sizes --data SET --out RUN
"""

from ichnos.recipe import EnsembleRecipe
from ichnos.recipes.model_2_any_25d import RECIPE as SMALL
from ichnos.recipes.model_2_any_160 import RECIPE as LARGER
from ichnos.recipes.reader import RECIPE as READER

RECIPE = EnsembleRecipe(
    name="ensemble_sizes",
    title="Ensemble (the mean of three of like strength)",
    members={each.name: each for each in (SMALL, LARGER, READER)},
)
