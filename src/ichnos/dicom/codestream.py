"""Damage in JPEG 2000 and HTJ2K codestreams that decoders pass over in silence (ISO/IEC 15444-1 Annex A)."""

import re
import struct
from collections.abc import Iterator
from struct import unpack_from

from ichnos.errors import DicomError

_SOC_AND_SIZ = b"\xff\x4f\xff\x51"
_SIZ, _COD, _SOT, _SOD, _EOC = 0xFF51, 0xFF52, 0xFF90, 0xFF93, 0xFFD9

_FORBIDDEN = re.compile(rb"\xff[\x90-\xff]")
"""Packets never hold such a pair, which is kept for markers: headers and coded data are stuffed so that none comes up
(B.10.1, C.2). Of random pairs one in 585 is such a one."""

_MARKERS_IN_PACKETS = re.compile(rb"\xff\x91\x00\x04..|\xff\x92", re.DOTALL)
"""Start of packet and end of packet header (A.8): the two that may stand there, where the coding style says so."""

_HOLE = 256
"""Zero bytes in a row, beside those that are empty packets: no coded data has such a run. A lost disk sector is 512."""


def refuse_damaged(stream: bytes) -> None:
    """Raise DicomError where a codestream holds what no encoder writes; OpenJPEG decodes whatever bits it is given.

    What can be told without decoding: tile-parts that do not follow one another to the end, pairs of bytes that are
    kept for markers, and holes filled with zeros. Other changed bits cannot: coded data has no checksum.
    """
    begin = stream.find(_SOC_AND_SIZ)  # some writers put a file header before it, against PS3.5 A.4.4
    if begin < 0:
        return  # the decoder says what it is
    stream = stream[begin:]
    try:
        places, begin = _header(stream)
        marked = stream[places[_COD] + 4] & 6
        hole = bytes(min(_HOLE + _most_packets(stream, places), len(stream)))
        for packets in _tile_parts(stream, begin):
            bare = _MARKERS_IN_PACKETS.sub(b"", packets) if marked else packets
            if _FORBIDDEN.search(bare) or hole in bare:
                raise DicomError("its JPEG 2000 data are damaged: no encoder writes them so; copy the file again")
    except (struct.error, IndexError, KeyError):
        raise DicomError("its JPEG 2000 header is damaged or cut short; copy the file again") from None


def _header(stream: bytes) -> tuple[dict[int, int], int]:
    """Where each marker segment of the main header begins, and where the first tile-part does."""
    places: dict[int, int] = {}
    at = 2
    while (marker := _number(stream, at)) != _SOT:
        places[marker] = at
        at += 2 + _number(stream, at + 2)
    return places, at


def _number(stream: bytes, at: int) -> int:
    return unpack_from(">H", stream, at)[0]


def _most_packets(stream: bytes, places: dict[int, int]) -> int:
    """No fewer than one tile has: one for each layer, component, resolution and precinct (A.5.1, A.6.1, B.6)."""
    width, height = unpack_from(">II", stream, places[_SIZ] + 6)
    components = _number(stream, places[_SIZ] + 38)
    style, _, layers, _, levels = unpack_from(">BBHBB", stream, places[_COD] + 4)
    precincts = 0
    for resolution in range(levels + 1):
        size = stream[places[_COD] + 14 + resolution] if style & 1 else 0xFF
        across, down = (
            side >> (levels - resolution) >> power for side, power in ((width, size & 15), (height, size >> 4))
        )
        precincts += (across + 2) * (down + 2)
    return layers * components * precincts


def _tile_parts(stream: bytes, at: int) -> Iterator[bytes]:
    """The packets of each (A.4.2). Raises DicomError where one does not end where the next one or the stream does."""
    while _number(stream, at) == _SOT:
        (length,) = unpack_from(">I", stream, at + 6)
        end = at + length if length else stream.rfind(_EOC.to_bytes(2))  # 0: the last one, to the end
        while _number(stream, at) != _SOD:
            at += 2 + _number(stream, at + 2)
        yield stream[at + 2 : end]
        at = end
    if _number(stream, at) != _EOC:
        raise DicomError("its JPEG 2000 data are damaged: a part has another length than it says; copy the file again")
