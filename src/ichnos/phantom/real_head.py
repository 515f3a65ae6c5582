"""A patient's head as the phantom's lesions see it: braincase, midline and fluid found from the HU of a real exam."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ichnos.errors import InputError
from ichnos.phantom.brain import Brain, cisterns, falx_depth, sulci, tentorium_height
from ichnos.phantom.fields import Box, Field, Plane, box_around, cover
from ichnos.phantom.morphology import closed, disk, filled, grown, opened, parts, signed_distance
from ichnos.phantom.patient import Patient, draw_patient
from ichnos.phantom.skull import Skull
from ichnos.phantom.ventricles import fourth, lateral, third

GRID_MM = 1.1
"""About the pixel at which a head is looked at and lesions are made: a slice is the mean of whole blocks of pixels."""

_BONE_HU = 200
_SOFT_HU = (-25, 130)
"""Between fat and bone: what the braincase holds."""

_BONE_GAPS_MM = (5.0, 10.0, 16.0, 24.0)
"""The skull has holes (foramina, sutures, orbits): gaps up to the first of these with which the inside can be filled
are closed."""

_LEAST_MM2 = 2500.0
"""The smallest cut through the braincase that is used, a cut near the vertex."""

_MOST_STRANGE = 0.06
"""Of a braincase, air and fat and what is as dense as bone may take this share: above it something else was filled."""

_FLUID_MM3 = 500.0
"""The smallest body of fluid that passes for a ventricle."""

_VENTRICLE_DEPTH_MM = 17.0
"""Fluid at least so deep under the inner table somewhere is a ventricle where it is a large body."""

_VENTRICLE_STRAYS_MM = 9.0
"""How far from where the phantom has its ventricles a patient's may be, in mm of the phantom's head."""

_BESIDE = np.ones((1, 3, 3), np.bool_)
"""A pixel and its eight neighbours in its own slice."""

_MOST_MISSED = 2
"""Slices in a row in which the braincase may be missed before the rest of the exam is given up."""

_TEMPLATE_WIDTH, _TEMPLATE_LENGTH, _TEMPLATE_HEIGHT = 76.0, 92.0, 89.0
"""The half axes in mm of the head in whose coordinates the phantom's anatomy is described."""


@dataclass(frozen=True, eq=False)
class RealHead:
    """The braincase of one exam.

    patient: a phantom patient of this size; slices: the exam's slices where the braincase was found, ascending;
    brains: one a slice, over `box`, the rows and columns of the exam around the head. step: pixels of the exam in one
    of the brains' grid; a box is a whole number of steps wide.
    """

    patient: Patient
    slices: tuple[int, ...]
    brains: tuple[Brain, ...]
    box: Box
    step: int


def find_head(
    rng: np.random.Generator, hu: NDArray[np.int16], offsets: NDArray[np.floating], spacing: tuple[float, float]
) -> RealHead:
    """Find the braincase in an exam's slices, foot to head, rows from front to back: hu (slices, rows, columns).

    offsets: (slices,) mm along the slices' normal, growing; spacing: mm between rows and between columns. rng draws
    what cannot be seen. Raises InputError where no braincase can be made out in at least three slices.
    """
    step = max(1, round(GRID_MM / spacing[0]))
    pixel = (spacing[0] * step, spacing[1] * step)
    coarse = _block_mean(hu, step)
    inside = np.stack([_braincase(one, pixel) for one in coarse])
    areas = inside.sum(axis=(1, 2)) * pixel[0] * pixel[1]
    kept = _run_around_largest(areas > 0, int(areas.argmax()))
    if len(kept) < 3:
        raise InputError(f"no braincase in the exam: found in {len(kept)} of {len(hu)} slices, at least 3 are needed")
    around = box_around(np.asarray(inside[kept].any(axis=0)), 1, coarse.shape[1:])
    assert around is not None  # slices were kept
    inside, coarse = inside[kept][:, *around], coarse[kept][:, *around]
    areas, places = areas[kept], np.asarray(offsets, np.float64)[kept]
    frame = _fit(inside, areas, places, pixel)
    depth = _depth(inside, places, pixel, closed_above=areas[-1] < 0.3 * areas.max())
    ventricle, fluid = _fluids(coarse, depth, places, pixel)
    patient = replace(
        draw_patient(rng), half_width=frame.half_width, half_length=frame.half_length, height=frame.height
    )
    patient = replace(patient, bone=frame.bone, atrophy=float(np.clip(_fluid_share(fluid, inside) * 9.0, 0.05, 1.0)))
    brains = [
        _brain(patient, frame.plane(k, inside.shape[1:], pixel), depth[k], ventricle[k], fluid[k], coarse[k])
        for k in range(len(kept))
    ]
    rows, columns = (slice(side.start * step, side.stop * step) for side in around)
    return RealHead(patient, tuple(kept.tolist()), tuple(brains), (rows, columns), step)


@dataclass(frozen=True, eq=False)
class _Frame:
    """Where the head lies in the exam's grid. Lengths in mm. angle: of the midline from the columns, in radians."""

    row: float
    column: float
    angle: float
    half_width: float
    half_length: float
    height: float
    bone: float
    z: NDArray[np.float64]

    def plane(self, k: int, shape: tuple[int, ...], pixel: tuple[float, float]) -> Plane:
        """The k-th slice in the head's coordinates."""
        c, s = np.cos(self.angle), np.sin(self.angle)
        down = np.array([s, c, 0.0]) * pixel[0]
        across = np.array([c, -s, 0.0]) * pixel[1]
        origin = -self.row * down - self.column * across + np.array([0.0, 0.0, self.z[k]])
        return Plane(origin, down, across, (shape[0], shape[1]), np.array([s, c, 0.0]))


def _block_mean(hu: NDArray[np.int16], step: int) -> Field:
    rows, columns = hu.shape[1] // step, hu.shape[2] // step
    blocks = hu[:, : rows * step, : columns * step].reshape(len(hu), rows, step, columns, step)
    return blocks.mean(axis=(2, 4), dtype=np.float32)


def _braincase(hu: Field, pixel: tuple[float, float]) -> NDArray[np.bool_]:
    """What the skull encloses in one slice; nothing where that is no brain."""
    for gap in _BONE_GAPS_MM:
        enclosed = _enclosed(hu, max(1, round(gap / 2 / pixel[0])))
        wide = opened(enclosed, disk(max(1, round(2.0 / pixel[0]))))
        pieces, count = parts(wide)
        if not count:
            continue
        sizes = np.bincount(pieces.ravel())[1:]
        largest = filled(pieces == 1 + int(sizes.argmax()))
        strange = (hu[largest] < _SOFT_HU[0]) | (hu[largest] > _SOFT_HU[1])
        if largest.sum() * pixel[0] * pixel[1] >= _LEAST_MM2 and strange.mean() <= _MOST_STRANGE:
            return largest
    return np.zeros(hu.shape, np.bool_)


def _enclosed(hu: Field, reach: int) -> NDArray[np.bool_]:
    """Soft tissue inside the bone, whose gaps up to twice `reach` pixels are closed."""
    skull = closed(hu > _BONE_HU, reach)
    return filled(skull) & (hu > _SOFT_HU[0]) & (hu < _SOFT_HU[1])


def _run_around_largest(found: NDArray[np.bool_], largest: int) -> NDArray[np.int64]:
    """The slices with a braincase around the largest one, as far as no more than _MOST_MISSED in a row have none."""
    where = np.flatnonzero(found)
    run = np.cumsum(np.diff(where, prepend=where[:1]) > _MOST_MISSED + 1)
    return where[run == run[np.searchsorted(where, largest)]] if found[largest] else where[:0]


def _fit(
    inside: NDArray[np.bool_], areas: NDArray[np.floating], places: NDArray[np.float64], pixel: tuple[float, float]
) -> _Frame:
    wide = areas > 0.75 * areas.max()
    _, rows, columns = np.nonzero(inside[wide])
    y, x = rows * pixel[0], columns * pixel[1]
    middle_y, middle_x = float(y.mean()), float(x.mean())
    covariance = np.cov(np.stack([x - middle_x, y - middle_y]))
    long = np.linalg.eigh(covariance)[1][:, 1]
    long = long if long[1] > 0 else -long
    angle = float(np.clip(np.arctan2(long[0], long[1]), -0.5, 0.5))
    along = (x - middle_x) * np.sin(angle) + (y - middle_y) * np.cos(angle)
    aside = (x - middle_x) * np.cos(angle) - (y - middle_y) * np.sin(angle)
    low, high = np.percentile(along, [0.2, 99.8])
    left, right = np.percentile(aside, [0.2, 99.8])
    bone = 6.5
    half_length, half_width = 0.5 * (high - low) + bone, 0.5 * (right - left) + bone
    size = 0.5 * (half_length / _TEMPLATE_LENGTH + half_width / _TEMPLATE_WIDTH)
    height = size * _TEMPLATE_HEIGHT
    top = (height - bone) * np.sqrt(1.0 - min(0.98, float(areas[-1] / areas.max())))
    shift_y, shift_x = 0.5 * (low + high), 0.5 * (left + right)
    middle_x += shift_x * np.cos(angle) + shift_y * np.sin(angle)
    middle_y += -shift_x * np.sin(angle) + shift_y * np.cos(angle)
    return _Frame(
        row=middle_y / pixel[0],
        column=middle_x / pixel[1],
        angle=angle,
        half_width=float(half_width),
        half_length=float(half_length),
        height=float(height),
        bone=bone,
        z=places - places[-1] + top,
    )


def _depth(
    inside: NDArray[np.bool_], places: NDArray[np.float64], pixel: tuple[float, float], *, closed_above: bool
) -> Field:
    """Signed distance in mm to the inner table, positive inside; what lies below the lowest slice is open."""
    gap = float(np.median(np.diff(places)))
    above = np.zeros_like(inside[-1:]) if closed_above else inside[-1:]
    padded = np.concatenate([inside[:1], inside[:1], inside, above, above])
    sampling = (gap, *pixel)
    return signed_distance(padded, sampling)[2:-2]


def _fluids(hu: Field, depth: Field, places: NDArray[np.float64], pixel: tuple[float, float]) -> tuple[Field, Field]:
    """Signed distances in mm to the ventricles and to all other fluid, plane by plane, positive in them."""
    smooth = ndimage.gaussian_filter(hu, (0.0, 0.9, 0.9))
    tissue = float(np.median(smooth[depth > 8.0])) if (depth > 8.0).any() else 30.0
    fluid = (smooth < 0.5 * (tissue + 5.0) + 1.0) & (depth > 0.8)
    pieces, count = parts(opened(fluid & (depth > 6.0), _BESIDE))
    ventricle = np.zeros_like(fluid)
    if count:
        numbers = np.arange(1, count + 1)
        gap = float(np.median(np.diff(places)))
        volume = np.bincount(pieces.ravel(), minlength=count + 1)[1:] * pixel[0] * pixel[1] * gap
        deepest = np.asarray(ndimage.maximum(depth, pieces, numbers))
        ventricle = np.isin(pieces, numbers[(volume > _FLUID_MM3) & (deepest > _VENTRICLE_DEPTH_MM)])
    outer = fluid & ~grown(ventricle, _BESIDE)
    return _signed(ventricle, pixel), _signed(outer, pixel)


def _signed(shape: NDArray[np.bool_], pixel: tuple[float, float]) -> Field:
    """Plane by plane; −50 mm where a plane has nothing of it."""
    nothing = np.full(shape.shape[1:], -50.0, np.float32)
    return np.stack([signed_distance(one, pixel) if one.any() else nothing for one in shape])


def _fluid_share(fluid: Field, inside: NDArray[np.bool_]) -> float:
    return float((fluid > 0).sum() / max(1, inside.sum()))


def _brain(patient: Patient, plane: Plane, depth: Field, ventricle: Field, fluid: Field, hu: Field) -> Brain:
    """What the lesions ask of a plane, from what was seen, and from the phantom's anatomy where nothing can be seen."""
    hx, hy, hz = (np.broadcast_to(value, plane.shape).astype(np.float32) for value in plane.coordinates())
    bare = np.zeros(plane.shape, np.float32)
    skull = Skull(hx, hy, hz, np.abs(hx), -depth - patient.bone, depth, depth, bare - 50.0, bare)
    x = hx * (_TEMPLATE_WIDTH / patient.half_width)
    y = hy * (_TEMPLATE_LENGTH / patient.half_length)
    z = hz * (_TEMPLATE_HEIGHT / patient.height)
    side, open_share = np.abs(x), np.ones(plane.shape, np.float32)
    expected = np.maximum(np.maximum(lateral(side, y, z, 1.2), third(side, y, z, 1.2)), fourth(side, y, z, 1.0))
    near = expected + _VENTRICLE_STRAYS_MM  # a cistern may run into a ventricle: what is far from one is none
    fluid = np.maximum(fluid, np.minimum(ventricle, -near))
    ventricle = np.minimum(ventricle, near)
    gyri = patient.gyri.on(plane)
    likely = np.maximum(
        sulci(patient, gyri, depth - 1.0, side, y, z, open_share), cisterns(patient, side, y, z, open_share)
    )
    return Brain(
        plane=plane,
        skull=skull,
        x=x,
        side=side,
        y=y,
        z=z,
        depth=depth - 1.0,
        inside=cover(depth, plane.edge),
        ventricle=ventricle,
        sulcus=np.maximum(np.maximum(fluid, likely - 0.6), 1.0 - depth),
        fluid=cover(fluid, plane.edge),
        tentorium=tentorium_height(side, y, z),
        falx=falx_depth(y, z),
        hu=hu,
    )
