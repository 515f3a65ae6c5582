"""The reader, which learns to outline blood beside naming it: labels and masks together.

Source: ours, after Kang 2023, who trained by strong (mask) and weak (label) annotation; an outline as a second task is
common elsewhere.

Differs from `reader`:
- An auxiliary head on the last feature map and one of finer cells says for each class where it bleeds; its loss
  (cross-entropy and Dice) is added to the classifier's for slices that have masks. At 96 px it has 12 × 12 cells.
- Masks are those of the set, where it has any (phantom, CT-ICH 1.3.1), and those of the synthetic lesions, which are
  drawn with theirs: so it can be trained where a set gives none (RSNA; CT-ICH 1.0, whose own are not read).
- The bundle is the reader's: the auxiliary head stays in the run.

Expected: not measured yet.
Cost: as `reader`, and a tenth more multiplications in training for the head (7 million a slice beside 71); reading is
the same.
Command: ichnos train reader_masks --data SET --out RUN
"""

from ichnos.recipe import Segmentation
from ichnos.recipes.reader import RECIPE as READER

RECIPE = READER.derive(
    name="reader_masks",
    title="Reader that learns from masks too",
    segmentation=Segmentation(),
)
