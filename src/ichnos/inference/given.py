"""HU that a caller brings without files: seen to be the slices of one head, as files are, with what is doubtful."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ichnos.counting import counted
from ichnos.ct.exams import AIR
from ichnos.ct.plausibility import judge
from ichnos.errors import InputError

USUAL_WIDTH_MM = 230.0
"""Of a picture whose pixel spacing nobody gave: heads are reconstructed to 200 to 260 mm."""


@dataclass(frozen=True, eq=False)
class GivenSlices:
    """hu: (slices, rows, columns), nothing below AIR. offsets: (slices,) mm, growing. doubts: sentences for people."""

    hu: NDArray[np.int16]
    offsets: NDArray[np.float64]
    doubts: tuple[str, ...]


def checked_slices(
    hu: NDArray[np.int16] | Sequence[NDArray[np.int16]],
    offsets: Sequence[float] | NDArray[np.floating] | None,
    pixel_spacing: tuple[float, float] | None,
    apart: float,
) -> GivenSlices:
    """See that they are one head CT. apart: mm between slices whose offsets are not given.

    Raises InputError where they are no HU of one matrix, not in order, or no head CT.
    """
    stack = np.maximum(_stacked(hu), AIR)
    places = np.arange(len(stack), dtype=np.float64) * apart if offsets is None else _in_order(offsets, len(stack))
    usual = (USUAL_WIDTH_MM / max(stack.shape[1:]),) * 2
    thickness = float(np.median(np.diff(places))) if len(stack) > 1 else apart
    doubts = judge(stack, pixel_spacing or usual, float(np.ptp(places)) + thickness)
    missing = {
        f"where its slices lie was not given: they were taken to be {apart:g} mm apart, from foot to head": offsets
        is None,
        "the size of its pixels was not given: whether it is a head was judged as if the picture were "
        f"{USUAL_WIDTH_MM:.0f} mm wide": pixel_spacing is None,
    }
    return GivenSlices(stack, places, (*(sentence for sentence, applies in missing.items() if applies), *doubts))


def _stacked(hu: NDArray[np.int16] | Sequence[NDArray[np.int16]]) -> NDArray[np.int16]:
    if not len(hu):
        raise InputError("the exam has no slices")
    for one in hu:
        if not isinstance(one, np.ndarray) or one.dtype != np.int16:
            raise InputError(f"a slice is an array of int16 Hounsfield units, got {getattr(one, 'dtype', type(one))}")
    shapes = sorted({one.shape for one in hu})
    if len(shapes) > 1 or len(shapes[0]) != 2 or 0 in shapes[0]:
        raise InputError(
            f"the slices of an exam are 2D images of one matrix, got {' and '.join(map(str, shapes[:3]))}; "
            "give one series"
        )
    return np.stack(list(hu))


def _in_order(offsets: Sequence[float] | NDArray[np.floating], count: int) -> NDArray[np.float64]:
    places = np.asarray(offsets, dtype=np.float64)
    if places.shape != (count,) or not np.isfinite(places).all():
        raise InputError(
            f"{counted(count, 'slice')} and as many offsets in mm are wanted, finite numbers, got shape {places.shape}"
        )
    if (np.diff(places) <= 0).any():
        raise InputError(
            "slices must be given from foot to head, each offset greater than the one before; sort them, and of slices "
            "at one place give one"
        )
    return places
