"""The elements of a DICOM file before its pixels: with or without preamble, of any syntax, deflated ones inflated."""

import logging
import threading
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

from pydicom.dataset import FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from ichnos.dicom.finding import EMPTY, LARGEST_FILE, FoundFile
from ichnos.errors import DicomError
from ichnos.packing import most_unpacked

START_BYTES = 16 << 10
"""Most CT headers take 2 to 12 kB; where one is longer, more of the file is read."""

_PIXEL_GROUP_LENGTH = 0x7FE00000
"""An element that some still write before the pixels; whatever comes after it in its group is pixels."""
_MARK = b"DICM"
_QUIET = threading.RLock()
"""What quiet_pydicom changes is the whole process's: threads that undo it out of turn would leave it changed."""

_LARGEST_SLICE = 4 << 20
"""Bytes of a file of one slice: larger ones of zeros are disc images, masks and the like."""

_META_LENGTH = b"\x02\x00\x00\x00UL\x04\x00"
"""The first element of a file meta header, (0002,0000) FileMetaInformationGroupLength (PS3.10 7.1)."""


@dataclass(frozen=True, eq=False)
class Parsed:
    """elements: those asked for. end: how many bytes they took, the position of the pixel data where there are any.

    syntax: the transfer syntax UID as the file names it, "" where it names none.
    """

    elements: FileDataset
    end: int
    syntax: str


def looks_like_dicom(start: bytes) -> bool:
    """Whether a file has the DICM mark, or begins as a data set without one: group 2 or 8, or 8 in big-endian order."""
    if start[128:132] == _MARK:
        return True
    return len(start) > 8 and (start[:2] in (b"\x02\x00", b"\x08\x00") or start[:2] == b"\x00\x08") and start[3] == 0


def why_damaged(file: FoundFile, start: bytes) -> str | None:
    """Why a file is none that was whole, where that can be told; else it counts as what it seems to be. start: its
    first bytes."""
    if not file.size:
        return EMPTY
    if file.size <= _LARGEST_SLICE and not start.strip(b"\0") and not file.read().strip(b"\0"):
        return "a file of nothing but zeros, as a copy leaves that was cut short; copy it again"
    if start[132:140] == _META_LENGTH and start[128:132] != _MARK:
        return "a DICOM file is damaged: its mark (DICM) is not there; copy it again"
    return None


def is_deflated(start: bytes) -> bool:
    """Whether the file meta header names the deflated syntax (PS3.5 A.5)."""
    return DeflatedExplicitVRLittleEndian.encode() in start[132:1024]


def inflated(data: bytes) -> bytes:
    """A deflated file as the same in Explicit VR Little Endian. Raises DicomError where it is damaged or a bomb."""
    if data[132:140] != _META_LENGTH:
        raise DicomError("it is damaged: its file meta header has no length; copy the file again")
    begin = 144 + int.from_bytes(data[140:144], "little")
    expander = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        plain = expander.decompress(data[begin:], min(LARGEST_FILE, most_unpacked(len(data))))
        plain += expander.flush() if not expander.unconsumed_tail else b""
    except zlib.error:
        raise DicomError("it is damaged: its deflated elements cannot be inflated; copy the file again") from None
    if expander.unconsumed_tail or not expander.eof:
        raise DicomError("it is cut short, or inflates beyond all measure; copy the file again")
    syntax = ExplicitVRLittleEndian.encode() + b"\0"
    meta = b"\x02\x00\x10\x00UI" + len(syntax).to_bytes(2, "little") + syntax
    return b"\0" * 128 + _MARK + _META_LENGTH + len(meta).to_bytes(4, "little") + meta + plain


def parse(data: bytes, tags: Sequence[BaseTag | int]) -> Parsed:
    """The elements named by `tags` that come before the pixels. Raises DicomError where it is no DICOM, or damaged."""
    if not looks_like_dicom(data):
        raise DicomError("it is not a DICOM file; leave it out")
    stream = BytesIO(data)
    try:
        with quiet_pydicom():
            elements = read_partial(stream, stop_when=_at_pixels, force=True, specific_tags=list(tags))
    except InvalidDicomError:
        raise DicomError("it is not a DICOM file; leave it out") from None
    except Exception as error:  # pydicom meets damaged files with whatever it trips over; here is the border
        raise DicomError("it is damaged: its DICOM elements cannot be parsed; copy the file again") from error
    return Parsed(elements, stream.tell(), str(elements.file_meta.get("TransferSyntaxUID", "")))


def parse_whole(data: bytes) -> FileDataset:
    """All elements before the pixels. Raises DicomError where it is no DICOM file, or damaged."""
    try:
        with quiet_pydicom():
            return read_partial(BytesIO(data), stop_when=_at_pixels, force=True)
    except Exception as error:  # see parse
        raise DicomError("it is damaged: its DICOM elements cannot be parsed; copy the file again") from error


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom from warning of values in files, and from logging them: they may be a patient's identifiers.

    What matters of them is judged in frames.py and said in words of ours. One thread at a time is within.
    """
    logger = logging.getLogger("pydicom")
    with _QUIET:
        before = logger.disabled
        logger.disabled = True
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            logger.disabled = before


def _at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag > _PIXEL_GROUP_LENGTH
