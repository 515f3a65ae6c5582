"""Model 2 with three windows and raw HU beside them: what no window shows is not lost.

Source: ours. A window throws away what lies outside it and rounds the rest to 256 steps; the density of a clot against
calcium or contrast, and how far bone reaches, are in the HU themselves.

Differs from `three_windows`:
- Each slice's HU, −1024 to 3071 in whole units, as one channel more, in hundreds of HU with water at 0.
- That channel has a first convolution of its own, which is added to that of the windows and begins at zero: the
  phantom's weights are what they were until it has learnt.

Expected: not measured yet.
Cost: as `three_windows`, with a cache of five planes a slice instead of three.
Command: ichnos train raw_hu --data SET --out RUN
"""

from ichnos.recipes.three_windows import RECIPE as THREE_WINDOWS

RECIPE = THREE_WINDOWS.derive(
    name="raw_hu", title="Model 2 with any, three windows and raw HU", **{"input.raw_hu": True}
)
