"""Where a source's files lie: in a folder, or in a zip file that is read in place and never unpacked."""

import hashlib
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Protocol
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile

from ichnos.data.sources.zip_directory import members
from ichnos.errors import SourceError
from ichnos.remote import Place, RemotePath, ahead

_LOCAL_HEADER_BYTES = 30
"""The fixed part of a zip member's own header; its name and extra field follow (APPNOTE 4.3.7)."""

_LONGEST_NAMES = 512
"""Of a member's name and extra field, as a rule: what is asked for along with its bytes, over a network."""

_PIECE_BYTES = 1 << 20
"""Of a packed file that are unpacked at a time."""

FileRow = tuple[str, str, int]
"""A file's name, its key, which is all that any process needs to read it, and its size in bytes, unpacked."""


class FileStore(Protocol):
    """Files under one root. Picklable; keys stay good in other processes."""

    def find(self, *folders: str) -> Iterator[FileRow]:
        """All files under each of `folders` that is there ("" for all), in no settled order. Raises SourceError."""
        ...

    def read(self, key: str) -> bytes:
        """All bytes of a file. Raises OSError; a damaged zip member raises an OSError too."""
        ...

    def read_start(self, key: str, size: int) -> bytes:
        """The first `size` bytes of a file, without touching the rest. Raises OSError."""
        ...

    @property
    def is_far(self) -> bool:
        """Whether each file is answered for after a while, so that some should be asked for at once."""
        ...


def in_turn(store: FileStore, read: Callable[[str], bytes], keys: Sequence[str]) -> Iterator[Callable[[], bytes]]:
    """read(key) of each in order, when it is called; of a store that is far some are read before their turn."""
    return ahead(read, keys) if store.is_far else (partial(read, key) for key in keys)


def digest_of(files: Iterable[FileRow], labels: Iterable[tuple[object, ...]]) -> str:
    """16 hex digits over labels and over the files' names and sizes, in their order, wherever the root lies."""
    digest = hashlib.blake2b(digest_size=8)
    for row in chain(files, labels):
        digest.update(f"{row!r}\n".encode())
    return digest.hexdigest()


def folder_store(root: Place) -> FileStore:
    """The files of a folder, here or by URL."""
    return RemoteStore(root) if isinstance(root, RemotePath) else FolderStore(root)


def open_store(root: Place) -> FileStore:
    """The store that `root` is: a folder, or a zip file, here or by URL. Raises SourceError where it is neither."""
    try:
        if root.is_dir():
            return folder_store(root)
        if root.is_file():
            return ZipStore(root)
    except OSError as error:  # of a storage: of a path of this machine these two only say no
        raise SourceError(f"{root} cannot be read: {error.strerror}") from error
    raise SourceError(f"{root} does not exist; give the folder or the zip file that holds the images")


@dataclass(frozen=True)
class FolderStore:
    """Files in a folder; a key is the path below it. Symbolic links are followed, each folder is entered once."""

    root: Path
    is_far = False

    def find(self, *folders: str) -> Iterator[FileRow]:
        """See FileStore."""
        try:
            for folder in folders:
                if (self.root / folder).is_dir():
                    yield from self._walk(self.root / folder)
        except PermissionError as error:
            raise SourceError(f"no permission to read {error.filename}; grant it") from None
        except FileNotFoundError as error:
            raise SourceError(f"{error.filename} does not exist; give the folder that holds the images") from None

    def read(self, key: str) -> bytes:
        """See FileStore."""
        return (self.root / key).read_bytes()

    def read_start(self, key: str, size: int) -> bytes:
        """See FileStore."""
        with (self.root / key).open("rb", buffering=0) as stream:
            return stream.read(size)

    def _walk(self, folder: Path) -> Iterator[FileRow]:
        """Every file by its own path, then what links lead to; each real folder once, so that no circle is run."""
        entered: set[str] = set()
        links: list[str] = []
        pending = [str(folder)]
        while pending or links:
            links.sort()
            path = pending.pop() if pending else links.pop(0)
            if (real := os.path.realpath(path)) in entered:
                continue
            entered.add(real)
            with os.scandir(path) as entries:
                for entry in entries:
                    if os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir():  # noqa: PTH112 a link to itself is none
                        (links if entry.is_symlink() else pending).append(entry.path)
                    elif entry.is_symlink() or entry.is_file():
                        yield self._file(entry)

    def _file(self, entry: os.DirEntry[str]) -> FileRow:
        name = Path(entry.path).relative_to(self.root).as_posix()
        try:
            return name, name, entry.stat().st_size
        except OSError:  # a link to nothing: reading it will say so, and it is counted
            return name, name, 0


@dataclass(frozen=True)
class RemoteStore:
    """Files in a folder of a storage; a key is the path below it. Only what is asked for is sent."""

    root: RemotePath
    is_far = True

    def find(self, *folders: str) -> Iterator[FileRow]:
        """See FileStore."""
        try:
            for folder in folders:
                for name, size in (self.root / folder).files():
                    below = f"{folder}/{name}" if folder else name
                    yield below, below, size
        except OSError as error:
            raise SourceError(f"{self.root} cannot be listed: {error.strerror}") from error

    def read(self, key: str) -> bytes:
        """See FileStore."""
        return (self.root / key).read_bytes()

    def read_start(self, key: str, size: int) -> bytes:
        """See FileStore."""
        return (self.root / key).read_part(0, size)


@dataclass(frozen=True)
class ZipStore:
    """Files in a zip; a key holds where the member lies, so that no worker reads the directory of 750,000 members."""

    path: Place

    @property
    def is_far(self) -> bool:
        """See FileStore."""
        return isinstance(self.path, RemotePath)

    def find(self, *folders: str) -> Iterator[FileRow]:
        """See FileStore."""
        prefixes = tuple(f"{folder}/" if folder else "" for folder in folders)
        try:
            for each in members(self.path):
                if each.name.startswith(prefixes):
                    place = (each.offset, each.packed_size, each.method, each.crc, int(each.encrypted))
                    yield each.name, ":".join(map(str, place)), each.size
        except PermissionError:
            raise SourceError(f"no permission to read {self.path}; grant it") from None
        except OSError as error:
            raise SourceError(f"{self.path} cannot be read: {error.strerror}") from error
        except BadZipFile:
            raise SourceError(f"{self.path} is not a whole zip file; download it again, or give a folder") from None

    def read(self, key: str) -> bytes:
        """See FileStore."""
        offset, compressed_size, method, checksum = self._place(key)
        data = _inflated(self._member(offset, compressed_size), method)
        if zlib.crc32(data) != checksum:
            raise OSError(None, "its checksum in the zip file is wrong")
        return data

    def read_start(self, key: str, size: int) -> bytes:
        """See FileStore."""
        offset, compressed_size, method, _ = self._place(key)
        return _inflated(self._member(offset, min(size, compressed_size)), method, size)

    def unpack(self, key: str, target: Path) -> None:
        """Write a file of any length to `target`. Raises OSError where it is damaged."""
        offset, left, method, checksum = self._place(key)
        found = 0
        with self.path.open("rb") as stream, target.open("wb") as file:
            stream.seek(offset)
            stream.seek(offset + _data_start(stream.read(_LOCAL_HEADER_BYTES)))
            packed = (stream.read(min(_PIECE_BYTES, left - done)) for done in range(0, left, _PIECE_BYTES))
            for piece in packed if method == ZIP_STORED else _inflated_pieces(packed):
                found = zlib.crc32(piece, found)
                file.write(piece)
        if found != checksum:
            raise OSError(None, "its checksum in the zip file is wrong")

    @staticmethod
    def _place(key: str) -> tuple[int, int, int, int]:
        offset, compressed_size, method, checksum, encrypted = map(int, key.split(":"))
        if encrypted or method not in (ZIP_STORED, ZIP_DEFLATED):
            raise OSError(None, "it is encrypted in the zip file, or packed in an unusual way")
        return offset, compressed_size, method, checksum

    def _member(self, offset: int, size: int) -> bytes:
        """The first `size` bytes of a member as it is packed; offset: of its own header."""
        if isinstance(self.path, RemotePath):  # one request for header and data, as each waits for an answer
            raw = self.path.read_part(offset, _LOCAL_HEADER_BYTES + _LONGEST_NAMES + size)
            start = _data_start(raw[:_LOCAL_HEADER_BYTES])
            data = raw[start : start + size]
            if len(data) < size:
                data = self.path.read_part(offset + start, size)
        else:
            with self.path.open("rb") as stream:
                start = _data_start(os.pread(stream.fileno(), _LOCAL_HEADER_BYTES, offset))
                data = os.pread(stream.fileno(), size, offset + start)
        if len(data) < size:
            raise OSError(None, "the zip file is cut short")
        return data


def _data_start(header: bytes) -> int:
    """Where a member's bytes begin after the beginning of its own header."""
    if header[:4] != b"PK\x03\x04" or len(header) < _LOCAL_HEADER_BYTES:
        raise OSError(None, "the zip file is cut short or damaged")
    names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    return _LOCAL_HEADER_BYTES + names


def _inflated(data: bytes, method: int, size: int = 0) -> bytes:
    """The member's bytes, at most `size` of them where that is not 0."""
    if method == ZIP_STORED:
        return data
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size)
    except zlib.error:
        raise OSError(None, "it is damaged in the zip file") from None


def _inflated_pieces(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """A member's bytes, a piece at a time however well it is packed."""
    inflating = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for piece in pieces:
            yield inflating.decompress(piece, _PIECE_BYTES)
            while inflating.unconsumed_tail:
                yield inflating.decompress(inflating.unconsumed_tail, _PIECE_BYTES)
        yield inflating.flush()
    except zlib.error:
        raise OSError(None, "it is damaged in the zip file") from None
