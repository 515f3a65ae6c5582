"""Class maps in the geometry of slices, and the pictures made of them: brain window, map in colour, words burned in."""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ichnos.ct.windows import BRAIN
from ichnos.inputs import resize
from ichnos.reporting.exam.result import ExamResult
from ichnos.subtypes import Subtype

_COOL, _WARM = np.array([213, 94, 0], np.float32), np.array([240, 228, 66], np.float32)
"""From vermilion to yellow (Okabe and Ito 2008): told apart from grey, and from each other, with any colour vision."""

_OPAQUE = 0.55
"""Of the strongest part: what lies under it must stay visible."""

_TEXT, _SMALLEST_TEXT = 1 / 22, 11
"""Height of words as a share of the picture's, legible at half its size; and at least so many pixels."""


def class_map(result: ExamResult, subtype: Subtype, index: int) -> NDArray[np.float32]:
    """Grad-CAM of a class in one slice, (rows, columns) of the slice, ≥ 0.

    Of `any` where the network has no output for it: the largest of the subtypes' maps at each place. Only of results
    with maps.
    """
    return placed(_own_map(result, subtype, index), result.exam.hu.shape[1:])


def placed(own: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A network's map (h, w) over a slice of `shape` (rows, columns), which it sees padded to a square."""
    rows, columns = shape
    side = max(rows, columns)
    square = resize(np.ascontiguousarray(own), side)
    top, left = (side - rows) // 2, (side - columns) // 2  # as ichnos.inputs pads
    return square[top : top + rows, left : left + columns]


def plain(result: ExamResult, index: int) -> NDArray[np.uint8]:
    """A slice in the brain window, (rows, columns, 3)."""
    return brain_window(result.exam.hu[index])


def brain_window(hu: NDArray[np.int16]) -> NDArray[np.uint8]:
    """HU (rows, columns) as a grey picture (rows, columns, 3)."""
    grey = np.rint(BRAIN.apply(hu) * 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def overlaid(result: ExamResult, subtype: Subtype, index: int) -> NDArray[np.uint8]:
    """A slice with a class's map over it, (rows, columns, 3); full colour is the strongest response in this slice."""
    return coloured(plain(result, index), class_map(result, subtype, index))


def coloured(picture: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A picture (rows, columns, 3) with a map (rows, columns) over it; full colour is the map's strongest response."""
    heat = (heat / np.float32(heat.max() or 1.0))[..., None]
    colour = _COOL + (_WARM - _COOL) * heat
    opacity = np.float32(_OPAQUE) * heat
    return np.rint(picture * (1 - opacity) + colour * opacity).astype(np.uint8)


def labelled(picture: NDArray[np.uint8], top: str, bottom: str) -> NDArray[np.uint8]:
    """A picture with words burned in above and below, and R at the patient's right."""
    rows, columns = picture.shape[:2]
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    edge = max(2, rows // 128)
    font = _font(max(_SMALLEST_TEXT, round(rows * _TEXT)), (top, bottom), columns - 2 * edge)
    dark = max(2, edge // 2)  # round each letter: words may lie over white bone
    style: dict[str, Any] = {"font": font, "fill": (255, 255, 255), "stroke_width": dark, "stroke_fill": (0, 0, 0)}
    draw.text((columns / 2, edge), top, anchor="ma", **style)
    draw.text((columns / 2, rows - edge), bottom, anchor="md", **style)
    draw.text((edge, rows / 2), "R", anchor="lm", **style)
    return np.asarray(image)


def _font(size: int, lines: Sequence[str], columns: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Of that size, or smaller where the words would not fit: a warning that is cut off warns of nothing."""
    font = ImageFont.load_default(size)
    wide = max(map(font.getlength, lines))
    return font if wide <= columns else ImageFont.load_default(size * columns / wide)


def png(picture: NDArray[np.uint8]) -> bytes:
    """A picture as a PNG file's bytes; of a grey one, a grey file."""
    image = Image.fromarray(picture)
    if (picture[..., 0] == picture[..., 1]).all() and (picture[..., 1] == picture[..., 2]).all():
        image = Image.fromarray(np.ascontiguousarray(picture[..., 0]))
    stream = BytesIO()
    image.save(stream, format="PNG")
    return stream.getvalue()


def _own_map(result: ExamResult, subtype: Subtype, index: int) -> NDArray[np.float32]:
    assert result.maps is not None
    if subtype in result.outputs:
        return result.maps[index, result.outputs.index(subtype)]
    return result.maps[index].max(axis=0)
