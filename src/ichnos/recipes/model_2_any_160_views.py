"""Model 2 with negatives and `any` at 160 px, asked of each slice and of its mirror image.

Source: ours: `model_2_any_160` with what `reader_views` adds.

Differs from `model_2_any_160` in what comes after training alone: the logits of a slice and of its mirror image are
averaged, in every measurement and in the bundle.

Expected: results/README.md has what it gave over five folds of ct-ich.
Cost: training as `model_2_any_160`, or nothing in a field study that has trained it; reading takes twice as long.
Command: ichnos train model_2_any_160_views --data SET --out RUN
"""

from ichnos.recipe import TestTime
from ichnos.recipes.model_2_any_160 import RECIPE as SINGLE

RECIPE = SINGLE.derive(
    name="model_2_any_160_views",
    title="Model 2 with negatives and any at 160 px, each slice and its mirror image",
    test_time=TestTime(horizontal_flip=True),
)
