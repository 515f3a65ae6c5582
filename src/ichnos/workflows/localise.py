"""A model's class maps against a set's masks, while its slices are read."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichnos.data.set import PreparedSet
from ichnos.evaluation.localisation import Pointed, mean_of, point
from ichnos.reporting.exam.heat import placed
from ichnos.subtypes import SUBTYPES, Subtype

NOTHING_MAPPED: Mapping[Subtype, Sequence[Subtype]] = {}

NOTES = (
    "Pointing game: the share of marked slices where the map's largest cell overlaps the mask, called or not.",
    "By chance: the mean share of a map's cells that overlap the mask. The fewer the cells, the more do.",
    "Above chance: the former less the latter, slice by slice. An interval that holds 0 does not show that maps point.",
    "IoU: mask and map at half its largest value. A map has few cells, so it cannot outline a hemorrhage.",
)


class MapsAgainstMasks:
    """Collects, slice by slice, how each class's map lies to its mask."""

    def __init__(
        self,
        prepared: PreparedSet,
        classes: tuple[Subtype, ...],
        mapping: Mapping[Subtype, Sequence[Subtype]] = NOTHING_MAPPED,
    ) -> None:
        """classes: the network's outputs, in the order of its maps. mapping: for an output those classes of the set
        whose masks together are its own, where it is not itself."""
        self._prepared = prepared
        self._classes = classes
        self._mapping = mapping
        self._has_mask = prepared.index["mask_length"].is_not_null().to_numpy()
        self._patients = prepared.index["patient"].to_numpy().astype(np.str_)
        self._found: defaultdict[Subtype, list[tuple[int, Pointed]]] = defaultdict(list)

    def marked(self, rows: NDArray[np.integer]) -> NDArray[np.integer]:
        """Those rows of the index whose mask marks something."""
        masks = (self._prepared.mask(int(row)) if self._has_mask[row] else None for row in rows)
        return rows[np.array([mask is not None and bool(mask.any()) for mask in masks], dtype=np.bool_)]

    def __call__(self, rows: NDArray[np.intp], maps: NDArray[np.float32]) -> None:
        """rows: of the index; maps: (rows, outputs, h, w)."""
        for row, own in zip(rows[self._has_mask[rows]], maps[self._has_mask[rows]], strict=True):
            mask = self._prepared.mask(int(row))
            if mask is None or not mask.any():
                continue
            for k, c in enumerate(self._classes):
                marked = np.logical_or.reduce([_of_class(mask, each) for each in self._mapping.get(c, (c,))])
                if marked.any():
                    self._found[c].append((int(row), point(own[k], placed(own[k], mask.shape), marked)))

    def tree(self, *, seed: int, resamples: int) -> dict[str, Any] | None:
        """For the scorecard; None where no slice has a mask that marks anything."""
        if not self._found:
            return None
        classes: dict[str, Any] = {}
        for c in (c for c in self._classes if c in self._found):
            rows, pointed = zip(*self._found[c], strict=True)
            patients = self._patients[list(rows)]
            hits = np.array([each.hit for each in pointed], dtype=np.float64)
            chances = np.array([each.chance for each in pointed])
            overlaps = np.array([each.iou for each in pointed])
            measured = {"pointing": hits, "chance": chances, "above_chance": hits - chances, "iou": overlaps}
            classes[c.value] = {
                "slices": len(rows),
                "patients": len(np.unique(patients)),
                **{
                    name: mean_of(values, patients, seed=seed, resamples=resamples).to_json()
                    for name, values in measured.items()
                },
            }
        return {"notes": list(NOTES), "classes": classes}


def _of_class(mask: NDArray[np.uint8], c: Subtype) -> NDArray[np.bool_]:
    """Where a set's mask marks a class; a mask of no subtype counts for `any` alone."""
    return mask != 0 if c is Subtype.ANY else (mask >> SUBTYPES.index(c) & 1).astype(np.bool_)
