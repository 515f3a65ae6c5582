"""RLE frames to cells: PackBits, one segment for each byte of a cell (DICOM PS3.5 Annex G), every length checked."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ichnos.errors import DicomError

_HEADER_BYTES = 64
"""The number of segments and 15 places for where they begin, as little-endian numbers of 4 bytes (G.5)."""

_NO_RUN = 0x80
"""A byte that says nothing (G.3.2)."""


def rle_cells(frame: bytes, rows: int, columns: int, bytes_a_cell: int) -> NDArray[np.unsignedinteger]:
    """The cells of one frame, shape (rows, columns), little-endian.

    Raises DicomError where its segments are not one a byte, or one unpacks to another number of bytes than the slice
    has pixels: bytes were lost or changed, and all pixels after them would be others.
    """
    count, *begins = np.frombuffer(frame[:_HEADER_BYTES].ljust(_HEADER_BYTES, b"\0"), "<u4").tolist()
    places = [*begins[:bytes_a_cell], len(frame)]
    if count != bytes_a_cell or places[0] < _HEADER_BYTES or places != sorted(places):
        raise DicomError("its RLE header is damaged: other segments than its cells have bytes; copy the file again")
    cells = np.empty((rows * columns, bytes_a_cell), np.uint8)
    for number, (begin, end) in enumerate(pairwise(places)):  # the highest byte comes first (G.2)
        unpacked = _unpacked(frame[begin:end], rows * columns)
        cells[:, bytes_a_cell - 1 - number] = np.frombuffer(unpacked, np.uint8)
    return cells.view(f"<u{bytes_a_cell}").reshape(rows, columns)


def _unpacked(segment: bytes, size: int) -> bytearray:
    """What a segment says, which must be `size` bytes; padding may follow: one zero (G.3.1), of some writers more."""
    out = bytearray()
    at = 0
    try:
        while len(out) < size:
            head = segment[at]
            if head > _NO_RUN:
                out += segment[at + 1 : at + 2] * (257 - head)
                at += 2
            elif head < _NO_RUN:
                out += segment[at + 1 : at + 2 + head]
                at += 2 + head
            else:
                at += 1
    except IndexError:
        raise _damaged(len(out), size) from None
    if len(out) != size or at > len(segment) or segment[at:].strip(b"\0\x80"):
        raise _damaged(len(out), size)
    return out


def _damaged(got: int, wanted: int) -> DicomError:
    return DicomError(
        f"its RLE data are damaged: {got} bytes in a segment of {wanted}, or more follow; copy the file again"
    )
