"""Whether an array of HU is a head CT: air, brain, a skull around it, and a body the size of a head; judged whole."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ichnos.ct.clipping import clipped_above, clipped_below
from ichnos.ct.geometry import reconstruction_circle
from ichnos.errors import ExamError

_MOST_SLICES = 24
"""Slices looked at, evenly spread: enough to meet the brain wherever the series begins and ends."""

_SMALLEST_PICTURE_MM, _LARGEST_PICTURE_MM = 40.0, 2000.0
"""Sides of a picture: less shows no brain, and no scanner is wider."""

_LARGEST_SPACING_MM = 20.0
"""Pixels wider than this show no skull."""

_CELL_MM = 1.8
"""The grid on which slices are looked at: finer than a skull is thick, coarse enough to be quick."""

_RAYS = 72
_LONGEST_RAY_MM = 125.0
"""From the middle of a head no skull is farther; ribs and pelvis are."""

_AIR_GAP_MM = 9.0
"""So much air along a ray is outside, or a sinus: a head holder lies farther off, bone and scalp never so far apart."""

_BONE_HU = 150
"""An infant's skull is this dense; fresh blood and tissue are not, and contrast in vessels makes no ring."""

_LOWEST_TOP_HU = 80
"""Where a picture is clipped above at less than _BONE_HU, what lies at the top is taken for bone; below this it may be
blood, or brain with its noise."""

_LEAST_FILLED = 0.3
"""The share of a slice's tissue that brain has where it has most, asked for where bone is known by its shape alone: a
head has 0.6 at least (CT-ICH), a chest 0.1, whose vessels with contrast make rings around its middle."""

_GREYS = (0, 255)
"""The lowest and the highest value of a picture in greys, and of none in HU but by chance."""

_TISSUE_HU = -200
"""Fat and all that is denser is body; the foam and shell of a head holder are not."""

_BRAIN_HU = (-5, 95)
"""From fluid to fresh clot."""

_LEAST_RING = 0.7
"""The share of rays that must meet bone: a burr hole, a flap or a suture leaves the rest."""

_LEAST_BRAIN = 0.7
"""The share of what lies inside that ring that must be brain, fluid or blood."""

_LEAST_BRAIN_CM2 = 4.0
_LEAST_VERTEX_CM2 = 12.0
"""Scalp and skull around the last of the brain; a bone of a limb with its marrow is smaller."""

_LEAST_SHARE = 0.12
"""The share of slices that must show brain in a skull: a head scanned with its neck has more, a whole body less."""

_LARGEST_BODY_CM2 = 420.0
"""Tissue in one slice: a large head with its ears has 300 cm², a thin chest 450."""

_SMALLEST_HEAD_CM2 = 25.0
"""Tissue in the largest slice: the head of a child born at 24 weeks has some 35 cm²."""

_USUAL_HEADS_CM2 = (50.0, 340.0)
"""Of the largest slice and of the middle one: from a child born early to a large head. The 82 of CT-ICH, whose pixel
spacing is assumed, have 194 cm² at least in their largest slice and 299 cm² at most in their middle one."""

_FEW_SLICES_MM = 80.0
"""Less coverage than this leaves parts of the brain unseen: it is about 130 mm high."""

_FARTHEST_APART_MM = 16.0
"""Of slices, what each covers on average: head CT is read in slices of 10 mm at most, and in thicker ones, or between
ones farther apart, a hemorrhage is lost. With _FEW_SLICES_MM it asks for six slices at least."""

_PADDED_ASIDE = 0.98
"""The share of the circle of reconstruction that has more than the lowest value where that is padding around it."""

_HIGHEST_AIR = -700
_LOWEST_WINDOW = -250
"""Between these HU lie neither air nor fat: where nothing was clipped there, they are no HU."""

_NO_AIR = "no air is in the picture, so HU cannot be checked against it"

_AIR_HU = (-1060, -930)
"""Where the middle of the air around a body lies when HU are right; scanners give −1024 to −975."""


@dataclass(frozen=True)
class _Seen:
    """What each slice looked at shows; arrays of shape (slices,)."""

    ring: NDArray[np.float64]
    brain: NDArray[np.float64]
    brain_cm2: NDArray[np.float64]
    brain_hu: NDArray[np.float64]
    tissue_cm2: NDArray[np.float64]
    edge: NDArray[np.float64]

    @property
    def shows_brain(self) -> NDArray[np.bool_]:
        """Slices of which nobody would doubt that they are of a head."""
        return self.shows_skull & (self.tissue_cm2 <= _LARGEST_BODY_CM2)

    @property
    def shows_skull(self) -> NDArray[np.bool_]:
        """The same, however large what they show is."""
        enough = (self.brain >= _LEAST_BRAIN) & (self.brain_cm2 >= _LEAST_BRAIN_CM2)
        return enough & (self.ring >= _LEAST_RING)

    @property
    def is_cut(self) -> bool:
        """Whether the edge of the picture cuts the head off."""
        wide = self.tissue_cm2 > _LEAST_VERTEX_CM2
        return bool(wide.any() and self.edge[wide].mean() > 0.1)

    @property
    def may_be_vertex(self) -> NDArray[np.bool_]:
        """Slices through the top of a skull: thick bone around little brain."""
        small = (self.tissue_cm2 > _LEAST_VERTEX_CM2) & (self.tissue_cm2 < _LARGEST_BODY_CM2 / 2)
        return (self.ring >= _LEAST_RING) & (self.brain >= 0.5) & (self.brain_cm2 >= 1.0) & small


def judge(hu: NDArray[np.int16], pixel_spacing: tuple[float, float], coverage: float) -> tuple[str, ...]:
    """The doubts that a head CT leaves, none where it is a plain one. Raises ExamError, `not a head CT: …`, otherwise.

    hu: int16 (slices, rows, columns), upright, padding raised to air. coverage: mm from foot to head. No single slice
    decides: a vertex, an infant, a head cut by the field of view or a craniectomy are heads.
    """
    rows_mm, columns_mm = hu.shape[1] * pixel_spacing[0], hu.shape[2] * pixel_spacing[1]
    if not (min(rows_mm, columns_mm) > _SMALLEST_PICTURE_MM and max(rows_mm, columns_mm) < _LARGEST_PICTURE_MM):
        raise ExamError(f"not a head CT: the picture measures {rows_mm:.3g}×{columns_mm:.3g} mm")
    if max(pixel_spacing) > _LARGEST_SPACING_MM:
        raise ExamError(f"not a head CT: its pixels are {pixel_spacing[0]:.3g}×{pixel_spacing[1]:.3g} mm")
    some = hu[np.unique(np.linspace(0, len(hu) - 1, min(len(hu), _MOST_SLICES)).round().astype(int))]
    if some.min() == some.max():
        raise ExamError("not a head CT: every pixel has the same value")
    if (some.min(), some.max()) == _GREYS:
        raise ExamError("not a head CT: its values run from 0 to 255, as a grey picture's do: are these HU?")
    lowest, air_doubts = _judge_air(some)
    lowest_tissue = _TISSUE_HU if not air_doubts else max(lowest + 5, _TISSUE_HU)
    bone_above, bone_doubts = _judge_bone(some, lowest_tissue)
    seen = _look(some, pixel_spacing, lowest_tissue, bone_above)
    shows_brain = seen.shows_brain
    if not shows_brain.any():
        shows_brain = seen.may_be_vertex
    if shows_brain.mean() < _LEAST_SHARE or not shows_brain.any():
        raise ExamError(f"not a head CT: {_why_not(seen)}")
    size_doubts = _judge_size(seen)
    if bone_doubts and not (seen.brain_cm2 >= _LEAST_FILLED * seen.tissue_cm2)[shows_brain].any():
        raise ExamError(f"not a head CT: {bone_doubts[0]}, and what looks like one holds little brain")
    middle = float(np.median(seen.brain_hu[shows_brain]))
    if not 8 <= middle <= 60:
        raise ExamError(f"not a head CT: what lies in the skull has {middle:.0f} HU, and brain about 30")
    doubts = (*_covering_doubts(seen, shows_brain, len(hu), coverage), *_picture_doubts(seen, middle))
    return (*air_doubts, *bone_doubts, *size_doubts, *doubts)


def _covering_doubts(seen: _Seen, shows_brain: NDArray[np.bool_], count: int, coverage: float) -> Iterator[str]:
    """What the series may not show. count: its slices."""
    if not seen.shows_brain.any():
        yield "it shows little brain: only the top of a head"
    elif shows_brain.mean() < 0.35:
        yield f"only {shows_brain.mean():.0%} of the slices show brain in a skull"
    if coverage < _FEW_SLICES_MM:
        yield f"the series covers {coverage:.0f} mm, and a brain is about 130 mm high: parts are not shown"
    apart = coverage / count
    if apart > _FARTHEST_APART_MM:
        yield (
            f"its slices are few for the {coverage:.0f} mm that they cover ({count}, one for each {apart:.0f} mm): too "
            "few to judge a whole exam by"
        )


def _picture_doubts(seen: _Seen, middle: float) -> Iterator[str]:
    """middle: HU of the brain."""
    if seen.is_cut:
        yield "the head is cut off by the edge of the picture"
    if middle < 15 or middle > 50:
        yield f"brain has {middle:.0f} HU, and 20 to 45 are usual"


def _judge_size(seen: _Seen) -> tuple[str, ...]:
    """A skull must have the size of a head's, which tells pixels that are not as large as the file says. One that the
    picture cuts off may be as small as it likes, and so may the top of a head that shows no brain yet."""
    sizes = seen.tissue_cm2[seen.shows_skull]
    if not sizes.size:
        return ()
    middle, largest = float(np.median(sizes)), float(sizes.max())
    if middle > _LARGEST_BODY_CM2:
        raise ExamError(f"not a head CT: {_too_large(middle)}")
    if middle > _USUAL_HEADS_CM2[1]:
        return (f"the head measures {middle:.0f} cm² a slice, more than heads do: is its pixel spacing right?",)
    if seen.is_cut or largest >= _USUAL_HEADS_CM2[0]:
        return ()
    if largest < _SMALLEST_HEAD_CM2:
        raise ExamError(
            f"not a head CT: what is in it measures {largest:.0f} cm² a slice at most, and the smallest newborn's head "
            f"{_SMALLEST_HEAD_CM2:.0f}"
        )
    return (
        f"the head measures {largest:.0f} cm² a slice at most: of a child born early, or its pixel spacing is wrong",
    )


def _too_large(cm2: float) -> str:
    return f"the body in it measures {cm2:.0f} cm² a slice, and a head at most {_LARGEST_BODY_CM2:.0f}"


def _judge_air(hu: NDArray[np.int16]) -> tuple[int, tuple[str, ...]]:
    """The lowest HU, that of padding aside, and the doubts: a picture without air leaves one, and so does one whose air
    was clipped. Air must be near −1000; what is exactly the lowest value may be padding."""
    lowest = int(hu.min())
    coarse = np.ascontiguousarray(hu[:, ::4, ::4])
    within = _within_padding(coarse, hu.shape[1], hu.shape[2])
    clipped = None if within is None else clipped_below(within, _TISSUE_HU)
    if clipped is not None and clipped > _AIR_HU[1]:
        return clipped, (_clipped_doubt(clipped),)
    low = coarse[(coarse < _HIGHEST_AIR) & (coarse > coarse.min())]
    darkest = float(np.percentile(coarse, 0.5)) if low.size < 0.005 * coarse.size else _median(low)
    if darkest <= _AIR_HU[1] or (coarse < _AIR_HU[1]).mean() >= 0.02:
        return lowest, ()
    clipped = clipped_below(coarse, _TISSUE_HU)
    if clipped is not None:
        return lowest, (_clipped_doubt(clipped),)
    if darkest > _LOWEST_WINDOW:
        return lowest, (_NO_AIR,)
    raise ExamError(f"not a head CT: the darkest of it has {darkest:.0f} HU, and air has -1000: are these HU?")


def _clipped_doubt(hu: int) -> str:
    return f"it is clipped below at {hu} HU: {_NO_AIR}"


def _within_padding(coarse: NDArray[np.int16], rows: int, columns: int) -> NDArray[np.int16] | None:
    """What lies in the circle of reconstruction, (n,), where nothing but its surroundings has the lowest value.

    coarse: every fourth row and column of slices with so many rows and columns.
    """
    lowest = coarse.min()
    if not (coarse[:, [0, -1]][:, :, [0, -1]] == lowest).all():
        return None
    within = coarse[:, reconstruction_circle(rows, columns)[::4, ::4]]
    above = within[within > lowest]
    return above if above.size >= _PADDED_ASIDE * within.size else None


def _median(hu: NDArray[np.int16]) -> float:
    """np.median of so few different values that counting them takes a fifth of its time."""
    lowest = int(hu.min())
    below = np.cumsum(np.bincount(hu.astype(np.intp) - lowest))
    middle: NDArray[np.intp] = np.searchsorted(below, [(hu.size - 1) // 2, hu.size // 2], side="right")
    return float(middle.mean()) + lowest


def _judge_bone(hu: NDArray[np.int16], lowest_tissue: int) -> tuple[int, tuple[str, ...]]:
    """The HU above which bone is, and the doubt that is left where that is no density of bone."""
    if _LOWEST_TOP_HU <= hu.max() <= _BONE_HU and (top := clipped_above(hu, lowest_tissue)) is not None:
        doubt = f"it is clipped above at {top} HU: a skull could not be told from its density, only from its shape"
        return top - 1, (doubt,)
    return _BONE_HU, ()


def _why_not(seen: _Seen) -> str:
    if np.median(seen.tissue_cm2) > _LARGEST_BODY_CM2:
        return _too_large(float(np.median(seen.tissue_cm2)))
    if not (seen.tissue_cm2 > _LEAST_BRAIN_CM2).any():
        return "there is next to no tissue in it"
    if not (seen.ring >= _LEAST_RING).any():
        return f"no skull: bone surrounds {seen.ring.max():.0%} of what is in the middle, and a skull at least 70%"
    best = int(np.argmax(np.where(seen.ring >= _LEAST_RING, seen.brain * (seen.brain_cm2 >= _LEAST_BRAIN_CM2), -1)))
    if seen.shows_brain.any():
        return f"brain in a skull is in {seen.shows_brain.mean():.0%} of the slices, and in a head CT in most"
    return f"{seen.brain[best]:.0%} of what the bone surrounds has the HU of brain, and in a head most of it has"


def _look(hu: NDArray[np.int16], pixel_spacing: tuple[float, float], lowest_tissue: int, bone_above: int) -> _Seen:
    """What every slice shows along rays from the middle of its tissue, above `lowest_tissue` HU, to the skull."""
    steps = (max(int(_CELL_MM / pixel_spacing[0]), 1), max(int(_CELL_MM / pixel_spacing[1]), 1))
    cell_mm = (steps[0] * pixel_spacing[0], steps[1] * pixel_spacing[1])
    highest = _block_maximum(hu, *steps)
    coarse = hu[:, steps[0] // 2 :: steps[0], steps[1] // 2 :: steps[1]]
    coarse = np.ascontiguousarray(coarse[:, : highest.shape[1], : highest.shape[2]])
    tissue: NDArray[np.bool_] = (coarse > lowest_tissue) & (coarse < 3000)
    areas: NDArray[np.float64] = tissue.sum(axis=(1, 2)).astype(np.float64)
    step = min(cell_mm)
    lengths: NDArray[np.float64] = np.arange(0.5, _LONGEST_RAY_MM / step) * step
    index, inside = _rays(tissue, np.maximum(areas, 1.0), lengths, cell_mm)
    along: NDArray[np.int16] = coarse.ravel()[index]
    dense: NDArray[np.bool_] = highest.ravel()[index] > bone_above
    bone: NDArray[np.bool_] = _of_the_body(dense & inside, along <= lowest_tissue, step)

    meets: NDArray[np.bool_] = np.asarray(bone.any(axis=2))
    cut: NDArray[np.bool_] = ~meets & (((along > lowest_tissue) | ~inside).mean(axis=2) > 0.9)  # tissue up to the edge
    judged: NDArray[np.float64] = (~cut).sum(axis=1).astype(np.float64)
    within: NDArray[np.bool_] = np.arange(lengths.size) < _inner_table(bone)[..., None]
    weights: NDArray[np.float64] = (within & inside & ~bone & meets[..., None]) * lengths  # a ray widens as it goes
    brain: NDArray[np.float64] = weights * ((along >= _BRAIN_HU[0]) & (along <= _BRAIN_HU[1]))
    amount: NDArray[np.float64] = brain.sum(axis=(1, 2))
    return _Seen(
        ring=np.where(judged >= _RAYS / 3, meets.sum(axis=1) / np.maximum(judged, 1.0), 0.0),
        brain=amount / np.maximum(weights.sum(axis=(1, 2)), 1e-9),
        brain_cm2=amount * (step * 2 * np.pi / _RAYS / 100),
        brain_hu=(brain * along).sum(axis=(1, 2)) / np.maximum(amount, 1e-9),
        tissue_cm2=areas * (cell_mm[0] * cell_mm[1] / 100),
        edge=cut.mean(axis=1),
    )


def _rays(
    tissue: NDArray[np.bool_], areas: NDArray[np.float64], lengths: NDArray[np.float64], cell_mm: tuple[float, float]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """The cells on each ray from the middle of the tissue, (slices, rays, lengths), by their number in the flattened
    array, and which of them are there."""
    count, rows, columns = tissue.shape
    row_numbers: NDArray[np.float64] = np.arange(rows, dtype=np.float64)
    column_numbers: NDArray[np.float64] = np.arange(columns, dtype=np.float64)
    middle_row: NDArray[np.float64] = (tissue.sum(axis=2) * row_numbers).sum(axis=1) / areas
    middle_column: NDArray[np.float64] = (tissue.sum(axis=1) * column_numbers).sum(axis=1) / areas
    angles: NDArray[np.float64] = np.arange(_RAYS, dtype=np.float64) * (2 * np.pi / _RAYS)
    down: NDArray[np.float64] = np.sin(angles)[:, None] * lengths / cell_mm[0]
    across: NDArray[np.float64] = np.cos(angles)[:, None] * lengths / cell_mm[1]
    r = np.rint(middle_row[:, None, None] + down).astype(np.intp)
    c = np.rint(middle_column[:, None, None] + across).astype(np.intp)
    inside: NDArray[np.bool_] = (r >= 0) & (r < rows) & (c >= 0) & (c < columns)
    which: NDArray[np.intp] = np.arange(count, dtype=np.intp)[:, None, None]
    return (which * rows + np.clip(r, 0, rows - 1)) * columns + np.clip(c, 0, columns - 1), inside


def _of_the_body(bone: NDArray[np.bool_], air: NDArray[np.bool_], step: float) -> NDArray[np.bool_]:
    """Bone on each ray before it leaves the body: a head holder is as dense. A ray that meets none before its first
    air, as behind air in the skull, keeps what lies beyond."""
    run, length = max(2, round(_AIR_GAP_MM / step)), air.shape[2]
    sums: NDArray[np.int16] = np.cumsum(air, axis=2, dtype=np.int16)
    ends: NDArray[np.bool_] = sums[..., run:] - sums[..., :-run] == run  # the run of air begins behind this place
    first: NDArray[np.intp] = np.argmax(ends, axis=2)
    has_left: NDArray[np.bool_] = np.asarray(ends.any(axis=2))
    left: NDArray[np.intp] = np.where(has_left, first, length)
    within: NDArray[np.bool_] = bone & (np.arange(length, dtype=np.intp) <= left[..., None])
    meets: NDArray[np.bool_] = np.asarray(within.any(axis=2))
    return np.where(meets[..., None], within, bone)


def _inner_table(bone: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Where the skull begins on each ray: the beginning of its last stretch of bone."""
    length = bone.shape[2]
    last: NDArray[np.intp] = length - 1 - np.argmax(bone[..., ::-1], axis=2)
    before: NDArray[np.bool_] = np.arange(length, dtype=np.intp) < last[..., None]
    gap: NDArray[np.bool_] = before & ~bone
    return np.where(gap.any(axis=2), length - np.argmax(gap[..., ::-1], axis=2), 0)


def _block_maximum(hu: NDArray[np.int16], row_step: int, column_step: int) -> NDArray[np.int16]:
    """The highest HU of every cell, so that a thin skull is not stepped over."""
    rows, columns = hu.shape[1] // row_step * row_step, hu.shape[2] // column_step * column_step
    cut = hu[:, :rows, :columns]
    most = cut[:, ::row_step].copy()
    for offset in range(1, row_step):
        np.maximum(most, cut[:, offset::row_step], out=most)
    result = most[:, :, ::column_step].copy()
    for offset in range(1, column_step):
        np.maximum(result, most[:, :, offset::column_step], out=result)
    return result
