"""Files as people give them: folders, zips, single files, found without unpacking or following links out."""

import errno
import os
import stat
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from ichnos.errors import DicomError, StorageError
from ichnos.packing import most_unpacked
from ichnos.processes import exams_at_once
from ichnos.remote import AT_ONCE, Place, RemotePath, ahead

LARGEST_FILE = 2 << 30
"""Bytes of one file, unpacked. The largest CT objects, thin whole-body multi-frames, are about 1 GB."""

MOST_MEMBERS = 100_000
"""Members of one zip: fifty exams of two thousand slices."""

_LARGEST_DIRECTORY = 256 * MOST_MEMBERS
"""Bytes of a zip's list of files, which is read before it can be judged: 46 a file, its name, and room to spare."""

_PACKED_AS = (ZIP_STORED, ZIP_DEFLATED)
"""How members may be packed. Of others 4 kB can unpack to gigabytes before anyone can look at them."""

_START_BYTES = 16 << 10
"""Of a file on a storage, kept when it is found: as much as headers take (parsing.START_BYTES)."""

_ZIP_AHEAD = 1 << 20
"""Of a zip on a storage, asked for at a time: its slices lie side by side, of some 100 to 300 kB each."""

_ZIP_MARK = b"PK\x03\x04"
_EMPTY_ZIP_MARK = b"PK\x05\x06"
_LOCATOR_64, _END_64 = b"PK\x06\x07", b"PK\x06\x06"
_END_SIZE, _LOCATOR_64_SIZE, _END_64_SIZE = 22, 20, 56
_LONGEST_COMMENT = 0xFFFF

EMPTY = "an empty file; copy it again"

_CLUTTER = ("Thumbs.db", "desktop.ini", "__MACOSX")
"""What operating systems leave in folders; it and files that begin with a dot are passed over without a word."""


@dataclass(frozen=True)
class FoundFile:
    """One file on disk or in a zip. given: the number, from 1, of the path that led to it. within: of a member, the
    folder that its name has in the zip."""

    path: Place = field(repr=False)
    given: int
    size: int
    member: int | None = None
    within: str = field(default="", repr=False)

    @property
    def folder(self) -> str:
        """Where it lies, in words that no file of another folder or zip has."""
        return str(self.path.parent) if self.member is None else f"{self.path}/{self.within}"

    def read(self, limit: int | None = None) -> bytes:
        """All bytes, or the first `limit`. Raises DicomError where they cannot be had."""
        if self.size > LARGEST_FILE:
            raise DicomError(f"it has {self.size >> 20:,} MB; files up to {LARGEST_FILE >> 20:,} MB are read")
        wanted = self.size if limit is None else min(limit, self.size)
        try:
            if self.member is not None:
                return _read_member(self.path, self.member, wanted)
            return _read_at(self.path, 0, wanted)
        except OSError as error:
            raise DicomError(f"it cannot be opened: {_why(error)}") from error

    def modified(self) -> int:
        """When it was last changed, in ns. Raises DicomError where it is gone."""
        try:
            return _modified(self.path)
        except OSError as error:
            raise DicomError(f"it cannot be opened: {_why(error)}") from error

    def read_part(self, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset`. Raises DicomError where they cannot be had."""
        if self.member is not None:
            return _whole_member(self, self.modified())[offset : offset + length]
        try:
            return _read_at(self.path, offset, length)
        except OSError as error:
            raise DicomError(f"it cannot be opened: {_why(error)}") from error


@dataclass(frozen=True)
class Unreadable:
    """Something that was given and could not be looked into, and why; `given` as in FoundFile. Names no file."""

    given: int
    reason: str


def again(path: Place, member: int | None) -> FoundFile:
    """A file that was found before. Raises DicomError where it is no longer there."""
    try:
        size = _size(path)
        if member is not None:
            size = _archive(path, _modified(path)).infolist()[member].file_size
    except (OSError, BadZipFile, IndexError):
        raise DicomError("it is no longer where it was read; put it back") from None
    return FoundFile(path, 1, size, member)


def find_files(paths: Sequence[Place]) -> Iterator[FoundFile | Unreadable]:
    """Everything that lies under `paths`, in a settled order, each path's contents once.

    A folder of a storage has the order of the same folder on a disk. Raises StorageError where one cannot be reached.

    Zip files are looked into, zips in zips are not. Links are followed only where a path itself is one, or where they
    stay below the folder that was given.
    """
    for given, path in enumerate(paths, start=1):
        if isinstance(path, RemotePath):
            yield from _elsewhere(path, given)
            continue
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            yield Unreadable(given, "it does not exist; give a folder, a zip, a DICOM or a NIfTI file")
            continue
        except OSError as error:
            yield Unreadable(given, f"it cannot be opened: {_why(error)}")
            continue
        if stat.S_ISDIR(mode):
            yield from _walk(path, given)
        elif stat.S_ISREG(mode):
            yield from _file_or_zip(path, given, path.stat().st_size)
        else:
            yield Unreadable(given, "it is neither a file nor a folder; give a folder, a zip, a DICOM or a NIfTI file")


def _elsewhere(path: RemotePath, given: int) -> Iterator[FoundFile | Unreadable]:
    """What lies under a URL, the first bytes of some files asked for at once, as each waits for its answer."""
    try:
        if path.is_dir():
            files = sorted(filter(_is_no_clutter, path.files()), key=_as_on_disk)
        elif path.is_file():
            files = [("", path.size())]
        else:
            yield Unreadable(given, "it does not exist; give a folder, a zip, a DICOM or a NIfTI file")
            return
    except OSError as error:
        yield Unreadable(given, f"it cannot be opened: {error.strerror}")
        return
    started = ahead(_start_or_nothing, (path / name if size else None for name, size in files))
    for (name, size), start in zip(files, started, strict=True):
        start()
        yield from _file_or_zip(path / name, given, size)


def _is_no_clutter(file: tuple[str, int]) -> bool:
    *folders, name = file[0].split("/")
    return not name.startswith(".") and not {*folders, name} & set(_CLUTTER)


def _as_on_disk(file: tuple[str, int]) -> tuple[tuple[bool, str], ...]:
    """A folder's files by name, then what lies in its folders: the order of _walk."""
    *folders, name = file[0].split("/")
    return (*((True, folder) for folder in folders), (False, name))


def _start_or_nothing(path: RemotePath | None) -> None:
    """Keep a file's first bytes, where it has any; what is wrong with it shows where it is read."""
    with suppress(OSError):
        if path is not None:
            _start(path)


@lru_cache(maxsize=4 * AT_ONCE)
def _start(path: RemotePath) -> bytes:
    """A file's first bytes, which are looked at several times before any others."""
    return path.read_part(0, _START_BYTES)


def _walk(root: Path, given: int) -> Iterator[FoundFile | Unreadable]:
    """Files below a folder, by name; what lies deeper comes where its folder's name stands."""
    inside = root.resolve()
    pending = [root]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            yield Unreadable(given, f"a folder cannot be opened: {_why(error)}")
            continue
        folders: list[Path] = []
        for entry in listed:
            if entry.name in _CLUTTER or (entry.name.startswith(".") and entry.is_file(follow_symlinks=False)):
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                else:
                    yield from _entry(entry, given, inside)
            except OSError as error:
                yield Unreadable(given, f"a file cannot be opened: {_why(error)}")
        pending += reversed(folders)


def _entry(entry: "os.DirEntry[str]", given: int, inside: Path) -> Iterator[FoundFile | Unreadable]:
    path = Path(entry.path)
    if entry.is_symlink():
        target = Path(os.path.realpath(path))  # Path.resolve raises an error of its own where links run in a circle
        if not target.exists() or target.is_dir() or not target.is_relative_to(inside):
            yield Unreadable(given, "a link that leads out of the folder, to a folder or nowhere is not followed")
        return  # a link to a file of this folder is that file, which is read by its own name
    if not entry.is_file():
        yield Unreadable(given, "a device, pipe or socket is not read")
        return
    yield from _file_or_zip(path, given, entry.stat().st_size)


def _file_or_zip(path: Place, given: int, size: int) -> Iterator[FoundFile | Unreadable]:
    found = FoundFile(path, given, size)
    if size == 0:
        yield Unreadable(given, EMPTY)
        return
    try:
        mark = found.read(4)
    except DicomError as error:
        yield Unreadable(given, str(error))
        return
    if mark in (_ZIP_MARK, _EMPTY_ZIP_MARK):
        yield from _members(path, given)
    else:
        yield found


def _members(path: Place, given: int) -> Iterator[FoundFile | Unreadable]:
    try:
        size = _size(path)
        reason = _too_long(path, size)
        members = [] if reason else _archive(path, _modified(path)).infolist()
    except StorageError:
        raise
    except Exception:  # zipfile meets damaged files with whatever it trips over; here is the border
        yield Unreadable(given, "a zip file is damaged or cut short; copy it again")
        return
    reason = reason or _bomb(members, size)
    if reason:
        yield Unreadable(given, reason)
        return
    for number, member in sorted(enumerate(members), key=lambda numbered: numbered[1].filename):
        within, _, name = member.filename.rpartition("/")
        if member.filename.endswith(("/", "\\")) or name.startswith(".") or name in _CLUTTER:
            continue
        if not member.file_size:
            yield Unreadable(given, EMPTY)
            continue
        found = FoundFile(path, given, member.file_size, number, within)
        reason = _closed(member, found)
        yield Unreadable(given, reason) if reason else found


def _closed(member: ZipInfo, found: FoundFile) -> str | None:
    """Why a member is not read."""
    if member.flag_bits & 1:
        return "a file in a zip is encrypted; unpack it and give the folder"
    if member.compress_type not in _PACKED_AS:
        return "a file in a zip is packed in an unusual way (not stored, not deflated); unpack it and give the folder"
    try:
        nested = found.read(4) == _ZIP_MARK
    except DicomError as error:
        return str(error)
    return "a zip inside a zip is not opened; unpack the outer one" if nested else None


def _too_long(path: Place, size: int) -> str | None:
    """Why a zip's list of files is not even read, by what its end records say of it (APPNOTE 4.3.14 to 4.3.16)."""
    length = min(size, _LOCATOR_64_SIZE + _END_64_SIZE + _END_SIZE + _LONGEST_COMMENT)
    tail = _read_at(path, size - length, length)
    plain = tail[-_END_SIZE:].startswith(_EMPTY_ZIP_MARK) and tail.endswith(b"\0\0")
    end = len(tail) - _END_SIZE if plain else tail.rfind(_EMPTY_ZIP_MARK, 0, len(tail) - _END_SIZE + 4)
    listed = struct.unpack_from("<I", tail, end + 12)[0] if end >= 0 else 0
    larger = end - _LOCATOR_64_SIZE - _END_64_SIZE
    if larger >= 0 and tail.startswith(_LOCATOR_64, end - _LOCATOR_64_SIZE) and tail.startswith(_END_64, larger):
        listed = struct.unpack_from("<Q", tail, larger + 40)[0]
    if listed > _LARGEST_DIRECTORY:
        return f"a zip whose list of files takes {listed >> 20:,} MB is not opened; split it"
    return None


def _bomb(members: Sequence[ZipInfo], size: int) -> str | None:
    """Why a zip of `size` bytes is not opened: what it would unpack to is out of all proportion."""
    if len(members) > MOST_MEMBERS:
        return f"a zip of {len(members):,} files is not opened (at most {MOST_MEMBERS:,}); split it"
    unpacked = sum(member.file_size for member in members)
    packed = min(sum(member.compress_size for member in members), size)  # its list may lie, or count bytes twice
    if unpacked > most_unpacked(packed):
        return (
            f"a zip of {packed >> 20:,} MB that would unpack to {unpacked >> 20:,} MB is not opened; "
            "if it is what it should be, unpack it and give the folder"
        )
    return None


@lru_cache(maxsize=4)
def _archive(path: Place, _modified: int) -> ZipFile:
    """A zip with its directory read, kept open: an exam's slices are members of the same one."""
    return ZipFile(path.open("rb", ahead=_ZIP_AHEAD) if isinstance(path, RemotePath) else path)


@lru_cache(maxsize=exams_at_once())
def _whole_member(file: FoundFile, _modified: int) -> bytes:
    """A member's bytes, kept for the frames of a multi-frame object: each would unpack it from its beginning. One for
    each exam that is read side by side, or these would put out each other's."""
    return file.read()


def _read_member(path: Place, number: int, wanted: int) -> bytes:
    try:
        archive = _archive(path, _modified(path))
        with archive.open(archive.infolist()[number]) as stream:
            data = stream.read(wanted)
    except (OSError, StorageError):
        raise
    except Exception:  # as in _members
        raise DicomError("it is damaged in the zip file; copy the zip again") from None
    if len(data) < wanted:
        raise DicomError("it is cut short in the zip file; copy the zip again")
    return data


def _size(path: Place) -> int:
    return path.size() if isinstance(path, RemotePath) else path.stat().st_size


def _modified(path: Place) -> int:
    """In ns; of a file on a storage nobody asks, as it is replaced whole or not at all."""
    return 0 if isinstance(path, RemotePath) else path.stat().st_mtime_ns


def _read_at(path: Place, offset: int, length: int) -> bytes:
    if isinstance(path, RemotePath):
        if offset + length <= _START_BYTES:
            return _start(path)[offset : offset + length]
        return path.read_part(offset, length)
    with path.open("rb", buffering=0) as stream:
        return _read_all(stream.fileno(), offset, length)


def _read_all(descriptor: int, offset: int, length: int) -> bytes:
    """One read of the operating system gives at most 2 GB, and less where it likes."""
    data = os.pread(descriptor, length, offset)
    while len(data) < length and (more := os.pread(descriptor, length - len(data), offset + len(data))):
        data += more
    return data


def _why(error: OSError) -> str:
    """What the operating system says, and what to do. Without the name of the file, which the error holds too."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return "no permission to read it; grant it"
    return f"{error.strerror or 'input/output error'}; check the disk"
