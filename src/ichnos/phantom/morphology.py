"""Shapes in pixels: SciPy's morphology with plain types, in the words that finding a head uses."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ichnos.phantom.fields import Field

Shape = NDArray[np.bool_]
"""Which pixels belong to something."""


def disk(radius: int) -> Shape:
    """A disk of 2·radius + 1 pixels."""
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(x * x + y * y <= radius * radius + 1, np.bool_)


def closed(shape: Shape, radius: int) -> Shape:
    """Gaps up to twice the radius closed; the border of the array is no border of the shape."""
    pad = radius + 1
    grown = np.asarray(ndimage.binary_closing(np.pad(shape, pad), disk(radius)), np.bool_)
    return grown[pad:-pad, pad:-pad]


def opened(shape: Shape, structure: Shape) -> Shape:
    """What of a shape is at least as wide as the structure."""
    return np.asarray(ndimage.binary_opening(shape, structure), np.bool_)


def grown(shape: Shape, structure: Shape) -> Shape:
    """A shape and what the structure reaches from it."""
    return np.asarray(ndimage.binary_dilation(shape, structure), np.bool_)


def filled(shape: Shape) -> Shape:
    """A shape without holes."""
    return np.asarray(ndimage.binary_fill_holes(shape), np.bool_)


def parts(shape: Shape) -> tuple[NDArray[np.int32], int]:
    """Connected parts, numbered from 1, and how many there are."""
    numbered = np.empty(shape.shape, np.int32)
    ndimage.label(shape, output=numbered)
    return numbered, int(numbered.max(initial=0))


def signed_distance(shape: Shape, sampling: tuple[float, ...]) -> Field:
    """mm to the border, which runs between pixels: positive inside. sampling: mm a pixel, by axis."""
    within = np.asarray(ndimage.distance_transform_edt(shape, sampling))
    beyond = np.asarray(ndimage.distance_transform_edt(~shape, sampling))
    return (within - beyond - np.where(shape, 0.5, -0.5) * sampling[-1]).astype(np.float32)


def from_nearest(image: Field, inside: Shape) -> Field:
    """The image inside a shape; outside it, each pixel as the nearest one inside."""
    nearest = np.asarray(ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True))
    return image[tuple(nearest)]
