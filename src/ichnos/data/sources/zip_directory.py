"""The members of a zip file, listed a piece at a time: Python's own list of 750,000 takes 0.7 GB of memory."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO
from zipfile import BadZipFile

from ichnos.remote import Place

_END = struct.Struct("<4s4H2LH")
"""End of central directory record (APPNOTE 4.3.16)."""

_END_64 = struct.Struct("<4sQ2H2L4Q")
"""The same in zip64 (4.3.14)."""

_END_64_LOCATOR = struct.Struct("<4sLQL")
"""Where that is (4.3.15); it stands right before the end record."""

_HEADER = struct.Struct("<4s6H3L5H2L")
"""Central directory file header (4.3.12); name, extra fields and comment follow."""

_LONGEST_COMMENT = 0xFFFF

_ELSEWHERE = 0xFFFFFFFF
"""A size or an offset that is in the zip64 extra field (4.5.3)."""


@dataclass(frozen=True)
class Member:
    """A file in a zip. offset: of its own header; crc: of its bytes, `size` of them when unpacked."""

    name: str
    offset: int
    packed_size: int
    size: int
    method: int
    crc: int
    encrypted: bool


def members(path: Place) -> Iterator[Member]:
    """All files of a zip, in the order of its directory, folders left out. Raises BadZipFile where it is none."""
    with path.open("rb") as stream:
        start, size, shift = _find_directory(stream)
        stream.seek(start)
        while size > 0:
            member, length = _read_member(stream, shift)
            size -= length
            if not member.name.endswith("/"):
                yield member


def _find_directory(stream: IO[bytes]) -> tuple[int, int, int]:
    """Where the directory begins, its size, and how much farther all lies than it says: what was put before the zip."""
    length = stream.seek(0, 2)
    begin = max(0, length - _LONGEST_COMMENT - _END.size)
    stream.seek(begin)
    tail = stream.read()
    place = tail.rfind(b"PK\5\6")
    if place < 0 or len(tail) - place < _END.size:
        raise BadZipFile("no end record")
    *_, size, offset, _ = _END.unpack_from(tail, place)
    end = begin + place
    before = end - _END_64_LOCATOR.size - _END_64.size
    if before >= 0:
        stream.seek(before)
        record = stream.read(_END_64.size + _END_64_LOCATOR.size)
        if record[_END_64.size :].startswith(b"PK\6\7") and record.startswith(b"PK\6\6"):
            *_, size, offset = _END_64.unpack_from(record)
            end = before
    start = end - size
    if start < offset:
        raise BadZipFile("the directory lies outside the file")
    return start, size, start - offset


def _read_member(stream: IO[bytes], shift: int) -> tuple[Member, int]:
    """The next member, and the length of its entry."""
    fixed = stream.read(_HEADER.size)
    if len(fixed) < _HEADER.size or not fixed.startswith(b"PK\1\2"):
        raise BadZipFile("a damaged entry in the directory")
    _, _, _, flags, method, _, _, crc, packed, size, *lengths, _, _, _, offset = _HEADER.unpack(fixed)
    name_length, extra_length, comment_length = lengths
    rest = stream.read(name_length + extra_length + comment_length)
    if len(rest) < sum(lengths):
        raise BadZipFile("the directory is cut short")
    try:
        name = rest[:name_length].decode("utf-8" if flags & 0x800 else "cp437").partition("\0")[0]
    except UnicodeDecodeError:
        raise BadZipFile("a name is not UTF-8") from None
    size, packed, offset = _with_zip64([size, packed, offset], rest[name_length : name_length + extra_length])
    return Member(name, offset + shift, packed, size, method, crc, bool(flags & 1)), len(fixed) + len(rest)


def _with_zip64(numbers: list[int], extra: bytes) -> list[int]:
    """Unpacked size, packed size and offset, those that do not fit in 32 bits from the extra field, in that order."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        if kind == 1:
            wide = iter(struct.unpack_from(f"<{length // 8}Q", extra, 4) if len(extra) >= 4 + length else ())
            try:
                return [next(wide) if number == _ELSEWHERE else number for number in numbers]
            except (StopIteration, RuntimeError):
                raise BadZipFile("a damaged zip64 entry in the directory") from None
        extra = extra[4 + length :]
    return numbers
