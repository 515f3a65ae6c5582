"""The contact sheet of an exam: its slices as small pictures in the brain window, from the lowest."""

from base64 import b64encode
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ichnos.ct.windows import BRAIN
from ichnos.reporting.exam.result import ExamResult
from ichnos.subtypes import SUBTYPES, Subtype

_SIDE = 192
"""Pixels of the longer side: still sharp at 120 CSS pixels on a fine screen, and some 5 kB a picture."""

_QUALITY = 75
"""Of JPEG, libjpeg's usual: the sheet is for finding one's way, key slices stand above it without loss."""

_MOST = 60
"""Pictures: an exam of thick slices has 25 to 60, one of thin slices hundreds."""

_FONT = _SIDE // 9


@dataclass(frozen=True)
class Thumbnail:
    """A slice on the sheet. number: from 1. source: a data URI. text: all that the picture's marks say, in words."""

    number: int
    probability: float
    called: bool
    key: bool
    source: str
    text: str


@dataclass(frozen=True)
class ContactSheet:
    """One slice in `step`, and the key slices, or the most suspicious slice where nothing is called.

    width, height: of every picture in pixels, which are square.
    """

    step: int
    width: int
    height: int
    thumbnails: tuple[Thumbnail, ...]


def contact_sheet(result: ExamResult) -> ContactSheet:
    """The sheet of an exam; from the same exam the same."""
    rows, columns = result.exam.hu.shape[1:]
    row_mm, column_mm = result.exam.pixel_spacing
    scale = _SIDE / max(rows * row_mm, columns * column_mm)
    size = max(1, round(columns * column_mm * scale)), max(1, round(rows * row_mm * scale))
    step, indices = _shown(result)
    font = ImageFont.load_default(_FONT)
    return ContactSheet(step, *size, tuple(_thumbnail(result, index, size, font) for index in indices))


def _shown(result: ExamResult) -> tuple[int, list[int]]:
    """One slice in how many, and the indices of all that are shown."""
    every = [each.probabilities[Subtype.ANY] for each in result.findings.slices]
    if len(every) <= _MOST:
        return 1, list(range(len(every)))
    step = -(-len(every) // (_MOST - len(SUBTYPES) - 1))  # each class has at most one key slice
    return step, sorted({*range(0, len(every), step), *(result.key_slices or [every.index(max(every))])})


def _thumbnail(result: ExamResult, index: int, size: tuple[int, int], font: Any) -> Thumbnail:
    probability = result.findings.slices[index].probabilities[Subtype.ANY]
    called = [each for each in result.present if index in each.slices]
    key = [each for each in called if each.key_slice == index]
    text = f"slice {index + 1} of {len(result.exam)}, probability of any hemorrhage {probability:.2f}"
    for words, classes in (("called", called), ("key slice of", key)):
        if classes:
            text += f"; {words}: {', '.join(each.subtype.display_name.lower() for each in classes)}"
    source = f"data:image/jpeg;base64,{b64encode(_picture(result.exam.hu[index], size, font)).decode()}"
    return Thumbnail(index + 1, probability, bool(called), bool(key), source, text)


def _picture(hu: NDArray[np.int16], size: tuple[int, int], font: Any) -> bytes:
    """A slice as a JPEG file of (width, height) pixels, with R at the patient's right."""
    grey = np.rint(BRAIN.apply(hu) * 255).astype(np.uint8)
    image = Image.fromarray(grey).resize(size, Image.Resampling.BILINEAR)  # antialiased where it shrinks
    ImageDraw.Draw(image).text((3, size[1] / 2), "R", anchor="lm", font=font, fill=255, stroke_width=1, stroke_fill=0)
    stream = BytesIO()
    image.save(stream, format="JPEG", quality=_QUALITY)
    return stream.getvalue()
