"""The one road from HU to what a network sees, walked in numpy; models/ has the torch module of the same plan."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ichnos.errors import InputError
from ichnos.recipe import InputSpec, WindowMerge

MATRIX = 512
"""Rows and columns at which every road starts: the matrix of nearly all head CT (all of RSNA 2019)."""

AIR = -1024
"""HU of what is outside the field of view. Padding below it (−2000, −3024) is raised to it before any filter."""

DENSEST = 3071
"""HU of the most that 12 bits tell apart above air, as nearly all CT is stored; raw HU are clipped to it (metal)."""

RAW_UNIT = 100
"""HU of 1 in a channel of raw HU, with water at 0: brain and blood, 0 to 100, span about what a window's does."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
"""Of ImageNet's training images in [0, 1], red, green, blue: what its weights were trained behind (torchvision)."""

_PLACE_DECIMALS = 2
"""Of mm: below that DICOM's and NIfTI's places of one exam differ, and would settle ties in different ways."""

_LARGEST_SIDE = 4096
"""No CT matrix is larger; a header that says so is damaged."""


Resize = Callable[[NDArray[np.float32], int], NDArray[np.float32]]
"""`resize`, or another way to its numbers."""


def to_planes(spec: InputSpec, hu: NDArray[np.generic], resized_by: Resize | None = None) -> NDArray[np.uint8]:
    """One slice of HU (rows, columns) as the uint8 planes (planes, size, size) that the cache holds.

    resized_by: None, `resize`. Raises InputError where the slice is no 2D image of at least 2×2.
    """
    resized_by = resized_by or resize
    square = to_matrix(hu)
    windowed = [window.apply(square) for window in spec.windows]
    if spec.merge is WindowMerge.MEAN:
        merged = windowed[0]
        for plane in windowed[1:]:
            merged = merged + plane
        planes = [merged / np.float32(len(windowed))]
    else:
        planes = windowed
    resized = np.stack([resized_by(plane, spec.size) for plane in planes])
    windows = np.rint(resized * np.float32(255)).astype(np.uint8)
    return np.concatenate([windows, _raw_bytes(square, spec.size, resized_by)]) if spec.raw_hu else windows


def _raw_bytes(hu: NDArray[np.int16], size: int, resized_by: Resize) -> NDArray[np.uint8]:
    """HU above air, whole numbers of 12 bits, as their high and their low bytes: (2, size, size)."""
    above = (np.clip(hu, AIR, DENSEST) - np.int16(AIR)).astype(np.float32)
    whole = np.rint(resized_by(above, size)).astype(np.uint16)
    return np.stack([whole >> 8, whole & 255]).astype(np.uint8)


def exam_planes(
    spec: InputSpec, hu: Sequence[NDArray[np.generic]], offsets: NDArray[np.floating] | None = None
) -> NDArray[np.uint8]:
    """The slices of one exam as a network takes them, neighbours' planes beside each slice's own: (n, stacked, S, S).

    offsets: mm along the slice normal; None: from foot to head, `neighbour_spacing` apart.
    """
    planes = np.stack([to_planes(spec, one) for one in hu])
    stacks = neighbour_stacks(spec, np.arange(len(hu)) * spec.neighbour_spacing if offsets is None else offsets)
    return planes[stacks].reshape(len(hu), spec.stacked, spec.size, spec.size)


def neighbour_stacks(spec: InputSpec, offsets: NDArray[np.floating]) -> NDArray[np.int64]:
    """Which slices are shown with each slice of one exam: (n, 1 + 2·neighbours) indices into its slices.

    offsets: (n,) mm along the slice normal, in any order. Column `neighbours` is the slice itself; column j holds the
    slice nearest to (j − neighbours)·neighbour_spacing mm from it, the farther one where two are as near.
    """
    order = np.argsort(offsets, kind="stable")
    places = np.round(np.asarray(offsets, dtype=np.float64)[order] - np.min(offsets), _PLACE_DECIMALS)
    steps = np.arange(-spec.neighbours, spec.neighbours + 1) * spec.neighbour_spacing
    wanted = places[:, None] + steps
    above = np.searchsorted(places, wanted).clip(0, len(places) - 1)
    below = (above - 1).clip(0)
    to_below, to_above = wanted - places[below], places[above] - wanted
    nearest = np.where(np.where(steps < 0, to_below <= to_above, to_below < to_above), below, above)
    nearest[:, spec.neighbours] = np.arange(len(places))  # slices at one place are not mixed up
    stacks = np.empty_like(nearest)
    stacks[order] = order[nearest]
    return stacks


def to_matrix(hu: NDArray[np.generic]) -> NDArray[np.int16]:
    """Bring a slice of any matrix to 512×512: raise padding to air, pad to a centred square with air, resize.

    A 512×512 slice keeps its values (but for padding below −1024). Shape (rows, columns) → (512, 512), int16 HU.
    """
    if hu.ndim != 2 or min(hu.shape) < 2 or max(hu.shape) > _LARGEST_SIDE:
        raise InputError(f"a CT slice is a 2D image of 2 to {_LARGEST_SIDE} pixels a side, got shape {hu.shape}")
    raised = np.maximum(hu, AIR)
    rows, columns = raised.shape
    if (rows, columns) == (MATRIX, MATRIX):
        return raised.astype(np.int16, copy=False)
    side = max(rows, columns)
    top, left = (side - rows) // 2, (side - columns) // 2
    square = np.full((side, side), AIR, dtype=np.float32)
    square[top : top + rows, left : left + columns] = raised
    return np.rint(resize(square, MATRIX)).astype(np.int16)


def resize(image: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Resize a 2D image to (size, size) by the separable antialiased triangle filter (PyTorch's "bilinear, antialias").

    Only the filter's few taps are summed: rows first, then columns.
    """
    return _resize_rows(_resize_rows(image, size).T, size).T


@lru_cache(maxsize=32)
def resize_matrix(n_in: int, n_out: int) -> NDArray[np.float32]:
    """The filter as a matrix R of shape (n_out, n_in): a resized image is R @ image @ R.T. Read-only."""
    indices, weights = resize_taps(n_in, n_out)
    matrix = np.zeros((n_out, n_in), dtype=np.float64)
    np.add.at(matrix, (np.arange(n_out)[:, None], indices), weights)
    result = matrix.astype(np.float32)
    result.flags.writeable = False
    return result


@lru_cache(maxsize=32)
def resize_taps(n_in: int, n_out: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """For each output its input indices (n_out, taps) and weights that sum to 1 (unused taps have weight 0).

    Pixel centres lie at half integers; the triangle is as wide as an output pixel where the image shrinks, and one
    input pixel where it grows; what would fall outside is left out and the rest scaled up.
    """
    scale = n_in / n_out
    support = max(scale, 1.0)
    centres = (np.arange(n_out) + 0.5) * scale
    first = np.maximum(np.floor(centres - support + 0.5).astype(np.intp), 0)
    last = np.minimum(np.floor(centres + support + 0.5).astype(np.intp), n_in)
    indices = first[:, None] + np.arange(int((last - first).max()))
    distance = np.abs(indices + 0.5 - centres[:, None]) / support
    weights = np.where(indices < last[:, None], np.clip(1.0 - distance, 0.0, None), 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.minimum(indices, n_in - 1), weights


def _resize_rows(image: NDArray[np.float32], n_out: int) -> NDArray[np.float32]:
    if image.shape[0] == n_out:
        return image
    indices, weights = resize_taps(image.shape[0], n_out)
    rows = np.ascontiguousarray(image)
    result = rows[indices[:, 0]] * weights[:, 0, None].astype(np.float32)
    for tap in range(1, indices.shape[1]):
        result += rows[indices[:, tap]] * weights[:, tap, None].astype(np.float32)
    return result
