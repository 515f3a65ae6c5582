"""A few patients of many, so that every kind is among them where it can be."""

import numpy as np
from numpy.typing import NDArray

from ichnos.counting import counted
from ichnos.errors import UsageError


def draw_patients(patients: NDArray[np.str_], labels: NDArray[np.bool_], count: int, seed: int) -> tuple[str, ...]:
    """So many of the patients of the slices, by the seed. patients: (n,) names; labels: (n, 5) of the same slices.

    Those with and without hemorrhage take turns while there are both; of those with one comes next who has a subtype
    that the fewest before have. A larger count of the same seed has the smaller one's patients and more.
    Raises UsageError where there are fewer.
    """
    names, unit = np.unique(patients, return_inverse=True)
    if not 1 <= count <= len(names):
        raise UsageError(
            f"asked for {counted(count, 'patient')}, and the training part of this set has {len(names)} to draw from"
        )
    has = np.zeros((len(names), labels.shape[1]), np.bool_)
    np.logical_or.at(has, unit, labels)
    order = np.random.default_rng(seed).permutation(len(names))
    bleeding = [int(k) for k in order if has[k].any()]
    healthy = [int(k) for k in order if not has[k].any()]
    covered = np.zeros(labels.shape[1], np.int64)
    chosen: list[int] = []
    while len(chosen) < count:
        if bleeding and (len(chosen) % 2 == 0 or not healthy):
            rarest = min(bleeding, key=lambda k: int(covered[has[k]].min()))  # the first of equals: at random
            bleeding.remove(rarest)
            covered += has[rarest]
            chosen.append(rarest)
        else:
            chosen.append(healthy.pop(0))
    return tuple(str(names[k]) for k in sorted(chosen))
