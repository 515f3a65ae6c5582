"""2.5D on three windows: each slice with those below and above it, every one of the three in three windows.

Source: ours, as the rung between `three_windows` and `neighbours`: nine channels, as the RSNA 2019 challenge's entries
that had windows and neighbours both.

Differs from `neighbours` in the windows alone, those of `three_windows`. Its first weights have seen the mean of two
windows of three slices, a channel each; all nine channels begin with the mean over those three, so that which slice is
the one that is asked about has to be learnt anew.

Expected: docs/field.md has what it gave over five folds of ct-ich.
Cost: training as `neighbours`, reading as `three_windows`; three planes of the cache instead of one.
Command: ichnos train neighbours_windows --data SET --out RUN
"""

from ichnos.recipes.neighbours import RECIPE as NEIGHBOURS
from ichnos.recipes.three_windows import RECIPE as THREE_WINDOWS

RECIPE = NEIGHBOURS.derive(
    name="neighbours_windows",
    title="Neighbouring slices, three windows each, as channels",
    **{"input.windows": THREE_WINDOWS.input.windows, "input.merge": THREE_WINDOWS.input.merge},
)
