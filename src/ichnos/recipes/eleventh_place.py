"""Boosted trees on what nine slices below and nine above were given (RSNA 2019's eleventh place), over `reader`.

Source: the eleventh place of the RSNA 2019 challenge, by its code.

Known: boosted trees on the predictions of the nine neighbours to each side of a slice.

Guessed:
- Trees begin from the slice's own logit and add to it. How many (100 at most, rate 0.05, three questions each), that
  each learns from 70 % of the slices and chooses a question from 30 % of the columns, and that an answer rests on ten
  slices at least.
- They learn from the validation patients, whom the network has not learnt from, and their number is chosen by those of
  them that were left out; calibration rests on the same patients, each by trees that had not seen them. A class of
  fewer than five such patients keeps the network's logit.
- Beyond an exam's ends its last slice stands in.

Differs:
- The slice stage is `reader`, not their networks, of which we read nothing: so what the trees add can be measured.
- Neighbours are found by place, 5 mm apart, not by number.
- Beside them the trees see the largest and the mean logit of the exam and how high in it a slice lies: ours.

Expected: docs/field.md has what it gave over `reader` in five folds of ct-ich: nothing that can be told from chance.
Cost: as `reader`, and seconds for the trees; on a set of RSNA's size hours of one core. Reading costs nothing more.
Command: ichnos train eleventh_place --data SET --out RUN
"""

from ichnos.recipe import ExamRecipe, TreesHead
from ichnos.recipes.reader import RECIPE as READER

RECIPE = ExamRecipe(
    name="eleventh_place",
    title="Boosted trees on ±9 neighbours (the eleventh place)",
    slices=READER,
    head=TreesHead(neighbours=9),
)
