"""Some patients of many: a few with every kind among them where it can be, or shares that hold kinds as all do."""

from dataclasses import dataclass

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


@dataclass(frozen=True, eq=False)
class PatientOrder:
    """Patients in an order of which every beginning is a small copy of all.

    names: (patients,). has: (patients, classes) which of them have which class, in the same order.
    """

    names: NDArray[np.str_]
    has: NDArray[np.bool_]
    fewest: int
    """So many of the first it takes to have every class that any of all has."""

    def __len__(self) -> int:
        return len(self.names)

    def positives(self, count: int) -> NDArray[np.int64]:
        """(classes,) how many of the first so many have each class."""
        return self.has[:count].sum(axis=0)


def order_patients(patients: NDArray[np.str_], labels: NDArray[np.bool_], seed: int) -> PatientOrder:
    """Put the patients of the slices into an order, by the seed. patients: (n,) names; labels: (n, classes) of these.

    First come as few as have every class between them, the rarest class looked after first. From then on every
    beginning is stratified: a patient's kind is the rarest class that they have, or none, and of each kind there are as
    many as its share of all patients, to within a patient or two. A longer beginning holds every shorter one.
    """
    names, unit = np.unique(patients, return_inverse=True)
    has = np.zeros((len(names), labels.shape[1]), np.bool_)
    np.logical_or.at(has, unit, labels)
    place = np.argsort(np.random.default_rng(seed).permutation(len(names)))
    rarest_first = np.argsort(has.sum(axis=0), kind="stable")
    covering, covered = np.zeros(len(names), np.bool_), np.zeros(labels.shape[1], np.bool_)
    for c in rarest_first:
        if has[:, c].any() and not covered[c]:
            chosen = min(np.flatnonzero(has[:, c]), key=lambda k: int(place[k]))
            covering[chosen] = True
            covered |= has[chosen]
    kind = np.full(len(names), -1)
    for c in rarest_first[::-1]:
        kind[has[:, c]] = c
    due = np.empty(len(names))
    for each in np.unique(kind):
        members = np.flatnonzero(kind == each)
        members = members[np.lexsort((place[members], ~covering[members]))]
        due[members] = (np.arange(len(members)) + 0.5) / len(members)  # evenly along the order
    order = np.lexsort((place, due, ~covering))
    return PatientOrder(names[order], has[order], int(covering.sum()))
