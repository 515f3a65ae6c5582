"""Three windows as channels, instead of their mean.

Source: what most of the RSNA 2019 challenge's best do. Second and Burduja have L40 W80, L80 W200 and L40 W380 as the
three channels; these are theirs. The study shows one picture, the mean of two windows.

Differs from `model_2_any` in the windows alone. Its first weights have seen the mean of two windows in every channel.

Expected: docs/field.md has what it gave over five folds of ct-ich.
Cost: training as `model_2_any`, reading half as long again; three planes of the cache instead of one.
Command: ichnos train three_windows --data SET --out RUN
"""

from ichnos.ct.windows import BLOOD, BRAIN, Window
from ichnos.recipe import WindowMerge
from ichnos.recipes.model_2_any import RECIPE as MODEL_2_ANY

RECIPE = MODEL_2_ANY.derive(
    name="three_windows",
    title="Three windows as channels",
    **{"input.windows": (BRAIN, BLOOD, Window(level=40, width=380)), "input.merge": WindowMerge.STACK},
)
