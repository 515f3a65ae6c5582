"""The reader, asked of each slice and of its mirror image.

Source: the RSNA 2019 challenge's first place averages ten views of each slice (crops and mirror images); the study's
networks are trained on mirror images and asked of the slice alone.

Differs from `reader` in what comes after training alone: the logits of a slice and of its mirror image are averaged, in
every measurement and in the bundle. Crops or turns are more of the same: `test_time.zooms`, `test_time.rotations`.

Expected: over five folds of ct-ich in three epochs, any hemorrhage, means of folds: +0.003 (-0.005 to 0.011) in slice
AUC and -0.012 (-0.067 to 0.045) in exam AUC against `reader` (results/field-ct-ich.json): nothing that 82 patients
could show. Inner validation chose it over `reader`; later recipes went ahead (results/README.md).
Cost: training as `reader`, or nothing in a field study that has trained it; reading takes twice as long.
Command: ichnos train reader_views --data SET --out RUN
"""

from ichnos.recipe import TestTime
from ichnos.recipes.reader import RECIPE as READER

RECIPE = READER.derive(
    name="reader_views", title="Reader, each slice and its mirror image", test_time=TestTime(horizontal_flip=True)
)
