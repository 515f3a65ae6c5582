"""CT-ICH 1.0's pictures to HU: one slice as two grey JPEGs, a brain window and a bone window, each clipped."""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ichnos.ct import Window
from ichnos.errors import SourceError
from ichnos.remote import Place

BRAIN_PICTURE = Window(level=40, width=120)
"""The brain pictures' window: grey 0 to 255 is −20 to 100 HU."""

BONE_PICTURE = Window(level=700, width=3200)
"""The bone pictures' window: grey 0 to 255 is −900 to 2300 HU (checked: brain tissue is grey 75 there)."""

_PICTURE_SIZE = 650
_CONTENT = (slice(9, 641), slice(11, 643))
"""Rows and columns of the slice within the picture's black frame: 632×632, the same in all that were measured."""

_RINGING_GREYS = 12
"""How far from 0 or 255 JPEG brings a clipped cell of these pictures (scalp fat comes out at 1 to 10)."""

_TOLERANCE_NEAR_THE_ENDS_HU = 30.0
"""Two greys of the bone picture and a little: there the brain picture only says that HU is beyond its window."""

_TOLERANCE_HU = 120.0
"""More than the bone picture's own JPEG noise beside edges (some ±8 greys of 12.5 HU) explains."""


def read_picture(path: Place) -> NDArray[np.uint8]:
    """One picture without its frame: grey, uint8, shape (632, 632). Raises SourceError."""
    try:
        with Image.open(BytesIO(path.read_bytes())) as picture:
            grey = np.asarray(picture.convert("L"))
    except PermissionError:
        raise SourceError("no permission to read its picture; grant it") from None
    except (OSError, UnidentifiedImageError) as error:
        raise SourceError("its picture is missing or damaged; download it again") from error
    if grey.shape != (_PICTURE_SIZE, _PICTURE_SIZE):
        raise SourceError(f"its picture has {grey.shape[0]}×{grey.shape[1]} pixels; wanted are the published 650×650")
    return grey[_CONTENT]


def hu_from_pictures(brain: NDArray[np.uint8], bone: NDArray[np.uint8]) -> NDArray[np.int16]:
    """HU, int16, of the pictures' shape, from −900 to 2300.

    The brain picture is fine (0.47 HU a step) and is used where it is not clipped. Elsewhere the coarse bone picture
    (12.5 HU a step) says how far beyond the brain window the HU lies, never back inside it. JPEG rings beside edges, so
    clipped cells may come out a few greys from 0 or 255: there the bone picture disagrees widely, and is believed.
    """
    fine = _hu(brain, BRAIN_PICTURE)
    coarse = _hu(bone, BONE_PICTURE)
    clipped = np.where(brain == 0, np.minimum(coarse, fine), np.maximum(coarse, fine))
    near_the_ends = (brain <= _RINGING_GREYS) | (brain >= 255 - _RINGING_GREYS)
    tolerance = np.where(near_the_ends, _TOLERANCE_NEAR_THE_ENDS_HU, _TOLERANCE_HU)
    unclipped = np.where(np.abs(coarse - fine) > tolerance, coarse, fine)
    hu = np.where((brain == 0) | (brain == 255), clipped, unclipped)
    return np.rint(hu).astype(np.int16)


def _hu(grey: NDArray[np.uint8], window: Window) -> NDArray[np.float32]:
    return grey.astype(np.float32) * np.float32(window.width / 255) + np.float32(window.lower)
