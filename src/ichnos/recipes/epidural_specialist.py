"""A specialist for the rare class: epidural hemorrhage and `any`, on all slices, with drawn epidurals.

Source: ours, after the study's future work: its Model 2 for screening beside a second classifier that is given to
epidural hemorrhage alone. Of all slices 0.4 % show one (RSNA 2019).

Differs from `reader`:
- Two classes: epidural, and `any`, so that what it says of an exam is no other hemorrhage called epidural.
- Every drawn lesion is an epidural: four of ten slices of a batch, into real exams without hemorrhage, inside their own
  skulls.
- Brain, blood and bone window as channels, of the slice and of those 5 mm below and above it: an epidural lies against
  the inner table, which the narrow windows show as white as the blood, and goes on in the slices beside it.

A bundle of it stands beside one of a screening model, such as `reader`: `ichnos predict` with each. Whether the drawn
lesions help is asked by `epidural_specialist_real`, the same without them.

Expected: docs/field.md has what it gave over five folds of ct-ich: no gain by drawn epidurals is shown.
Cost: as `reader`, with a cache of three planes a slice and lesions of its own to draw.
Command: ichnos train epidural_specialist --data SET --out RUN (with and without: docs/recipes.md)
"""

from ichnos.ct.windows import BLOOD, BONE, BRAIN
from ichnos.recipe import Synthetic, WindowMerge
from ichnos.recipes.reader import RECIPE as READER
from ichnos.subtypes import Subtype

RECIPE = READER.derive(
    name="epidural_specialist",
    title="Epidural specialist (drawn epidurals)",
    classes=(Subtype.EPIDURAL, Subtype.ANY),
    synthetic=Synthetic(share=0.4, subtypes=(Subtype.EPIDURAL,)),
    **{"input.windows": (BRAIN, BLOOD, BONE), "input.merge": WindowMerge.STACK},
)
