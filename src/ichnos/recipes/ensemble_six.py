"""Every step of the study towards the reader, averaged: five slice models with a cascade among them, and a BiGRU.

Source: ours.

Differs from `ensemble_field`: `cascade` is a member too. Its any is its gate's, which is `reader`, so that `reader`'s
any counts three times here: alone, as the gate, and under the head of `bigru`. Of a subtype the cascade says the
product of its two stages. The mean of the logits of all six, all alike; nothing is fitted for it.

Expected: docs/field.md has what it gave over five folds of ct-ich.
Cost: as `ensemble_field` and both networks of the cascade, as its gate is held and asked by itself: a bundle of 102 MB.
In a field study that has trained the members nothing but its measuring.
Command: ichnos train ensemble_six --data SET --out RUN
"""

from ichnos.recipe import EnsembleRecipe
from ichnos.recipes.cascade import RECIPE as CASCADE
from ichnos.recipes.ensemble_field import RECIPE as FIELD

RECIPE = EnsembleRecipe(
    name="ensemble_six",
    title="Ensemble of the field with the cascade (the mean of six)",
    members={**FIELD.members, CASCADE.name: CASCADE},
)
