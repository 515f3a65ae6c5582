"""Frames to Hounsfield units: uncompressed pixels in this process, compressed ones in one that can be killed."""

import struct
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pydicom import config
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian

from ichnos.ct.exams import AIR
from ichnos.dicom.decode import is_compressed, native_cells, refuse_spare, without_unused_bits
from ichnos.dicom.decoder import Decodes, FileInMemory
from ichnos.dicom.finding import FoundFile
from ichnos.dicom.frames import Frame
from ichnos.dicom.hounsfield import to_hu
from ichnos.dicom.orientation import turn_upright
from ichnos.dicom.parsing import inflated
from ichnos.errors import DicomError
from ichnos.processes import exams_at_once

_HEAD_BYTES = 12
_TAIL_BYTES = 4
"""Of an element behind the pixels, enough to see its tag."""
_PADDING_NOISE_HU = 300
"""Less than anything that a row of a body shows, skin beside air included."""

_UNDEFINED = 0xFFFFFFFF
_PIXEL_GROUP = b"\xe0\x7f"


def read_hu(frame: Frame, decoder: Decodes, file: FoundFile | FileInMemory | None = None) -> NDArray[np.int16]:
    """HU of one slice, turned upright, nothing below AIR. Raises DicomError where its pixels are not all there.

    file: the frame's own, where it is read already.
    """
    stored = without_unused_bits(_cells(frame, file or frame.file, decoder), frame.layout)
    hu = to_hu(stored, frame.rescale, frame.padding)
    if needs_decoder(frame):
        _refuse_sunken(hu)
    np.maximum(hu, AIR, out=hu)
    return turn_upright(hu, frame.orientation)


def _refuse_sunken(hu: NDArray[np.int16]) -> None:
    """Raise DicomError where whole rows lie below air and yet show something.

    A codec that predicts each pixel from the one before carries one false difference on to the end. Rows so far down
    would all become air; padding, which lies there too, has one value, and some more where it was compressed with loss.
    """
    below = hu[hu.max(axis=1) < AIR]
    if below.size and np.ptp(below, axis=1).max() > _PADDING_NOISE_HU:
        raise DicomError("whole rows of its pixels lie below air, so they are damaged; copy the file again")


def needs_decoder(frame: Frame) -> bool:
    """Whether its pixels are compressed, so that they are decoded in a process that can be killed."""
    return bool(frame.syntax) and is_compressed(_syntax(frame))


def _syntax(frame: Frame) -> UID:
    return UID(frame.syntax, validation_mode=config.IGNORE)  # a damaged one is no syntax that is known


def _cells(frame: Frame, file: FoundFile | FileInMemory, decoder: Decodes) -> NDArray[np.integer]:
    syntax = _syntax(frame)
    if needs_decoder(frame):
        return decoder.decode(file, frame.number, frame.layout)
    if syntax == DeflatedExplicitVRLittleEndian:
        whole = _inflated(file, file.modified())
        return native_cells(_native_bytes(frame, lambda offset, length: whole[offset : offset + length]), frame.layout)
    data = _native_bytes(frame, file.read_part)
    return native_cells(data, frame.layout, big_endian=syntax == ExplicitVRBigEndian)


@lru_cache(maxsize=exams_at_once())
def _inflated(file: FoundFile | FileInMemory, _modified: int) -> bytes:
    """A deflated file's bytes, kept for its other frames; one for each exam that is read side by side."""
    return inflated(file.read())


def _native_bytes(frame: Frame, part: Callable[[int, int], bytes]) -> bytes:
    """The bytes of one frame from the pixel data element; part: (offset, length) to bytes, fewer at the file's end.

    A single-frame file is read in one go, with what tells that it holds more than one frame.
    """
    size = frame.layout.byte_count
    skipped = size * ((frame.number or 1) - 1)
    head = part(frame.pixels_at, _HEAD_BYTES + (0 if skipped else size + _TAIL_BYTES))
    begin, length = _element(head)
    if frame.number is None and length >= 2 * size:
        raise DicomError(f"it holds {length} bytes of pixels where one slice has {size}; send single slices")
    refuse_spare(length, frame.layout, frame.count)
    value = part(frame.pixels_at + begin + skipped, size + _TAIL_BYTES) if skipped else head[begin:]
    left = max(length - skipped, 0)
    if (frame.number or 1) == frame.count:
        _refuse_foreign(value[left : left + _TAIL_BYTES], big_endian=head[0] == _PIXEL_GROUP[1])
    return value[: min(size, left)]


def _refuse_foreign(tail: bytes, *, big_endian: bool) -> None:
    """Behind the pixels the file ends, is filled with zeros, or has an element of a higher group (PS3.5 7.1). Else
    bytes were lost or added before them, and what would be read is shifted.

    tail: the four bytes that follow, or fewer, which are not looked at: the file ends there, or pads its value.
    """
    group = tail[1::-1] if big_endian else tail[:2]
    if (
        len(tail) == _TAIL_BYTES
        and any(tail)
        and int.from_bytes(group, "little") < int.from_bytes(_PIXEL_GROUP, "little")
    ):
        raise DicomError("more bytes follow its pixels than belong to them, so it is damaged; copy the file again")


def _element(head: bytes) -> tuple[int, int]:
    """Where the value of the pixel data element begins and how long it is (PS3.5 7.1.2, 7.1.3)."""
    order = {b"\xe0\x7f\x10\x00": "<", b"\x7f\xe0\x00\x10": ">"}.get(head[:4])
    if order is None or len(head) < _HEAD_BYTES:
        raise DicomError("it has no pixel data (a file cut short, or no image); copy the file again")
    explicit = head[4:6] in (b"OB", b"OW", b"UN")  # read as an implicit length these would be odd, which none is
    begin = 12 if explicit else 8
    length = int(struct.unpack_from(f"{order}I", head, begin - 4)[0])
    if length == _UNDEFINED:
        raise DicomError("its pixels are compressed, but it does not say how (no transfer syntax); convert it again")
    return begin, length
