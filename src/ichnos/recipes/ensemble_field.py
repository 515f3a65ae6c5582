"""Five models that answer together: the study's steps towards the reader, and a BiGRU over its features.

Source: ours, after what every strong entry of the RSNA 2019 challenge ends with: networks of slices and networks of
whole exams over them, averaged.

Differs from `ensemble`: `bigru` is a member beside the four, so that whoever judges a slice in the light of its exam is
heard too. The mean of the logits of all five, all alike; nothing is fitted for it. The slice stage of `bigru` is
`reader` itself, which so counts twice: alone, and with the head on it.

Expected: docs/field.md has what it gave over five folds of ct-ich: no more than `reader`, which is among its members.
Cost: its members, one after the other; in a field study that has trained them it costs nothing but its measuring. Where
`reader` and the slice stage of `bigru` have the same weights, as they have there, the bundle holds and asks them once.
Command: ichnos train ensemble_field --data SET --out RUN
"""

from ichnos.recipe import EnsembleRecipe
from ichnos.recipes.bigru import RECIPE as BIGRU
from ichnos.recipes.model_2_any import RECIPE as MODEL_2_ANY
from ichnos.recipes.neighbours import RECIPE as NEIGHBOURS
from ichnos.recipes.reader import RECIPE as READER
from ichnos.recipes.three_windows import RECIPE as THREE_WINDOWS

RECIPE = EnsembleRecipe(
    name="ensemble_field",
    title="Ensemble of the field (the mean of five)",
    members={each.name: each for each in (MODEL_2_ANY, THREE_WINDOWS, NEIGHBOURS, READER, BIGRU)},
)
