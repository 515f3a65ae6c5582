"""Many p values at once: Holm's correction."""

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Each p as corrected for being one of a family (Holm, Scandinavian Journal of Statistics 1979, 6, 65-70).

    The chance of any false claim among those below a level is at most that level, whatever hangs together. None, where
    nothing was tested, stays None and is no part of the family.
    """
    tested = [k for k, p in enumerate(p_values) if p is not None]
    raw = np.array([p_values[k] for k in tested], dtype=np.float64)
    order = np.argsort(raw, kind="stable")
    steps = np.minimum(1.0, np.maximum.accumulate(raw[order] * (len(raw) - np.arange(len(raw)))))
    corrected: list[float | None] = [None] * len(p_values)
    for place, value in zip(order, steps, strict=True):
        corrected[tested[int(place)]] = float(value)
    return corrected
