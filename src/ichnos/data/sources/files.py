"""Where a source's files lie: in a folder, or in a zip file that is read in place and never unpacked."""

import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Protocol
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile

import polars as pl

from ichnos.errors import SourceError

_LOCAL_HEADER_BYTES = 30
"""The fixed part of a zip member's own header; its name and extra field follow (APPNOTE 4.3.7)."""

FILES = {"name": pl.String(), "key": pl.String(), "size": pl.Int64()}
"""Columns of a table of files."""

_PIECE = 1 << 16
"""Files that are Python objects at a time."""


class FileStore(Protocol):
    """Files under one root. Picklable; keys stay good in other processes."""

    def find(self, folder: str) -> pl.DataFrame:
        """All files under `folder` ("" for all), by name. Raises SourceError.

        Columns: name; key, which is all that any process needs to read the file; size in bytes, unpacked.
        """
        ...

    def read(self, key: str) -> bytes:
        """All bytes of a file. Raises OSError; a damaged zip member raises an OSError too."""
        ...

    def read_start(self, key: str, size: int) -> bytes:
        """The first `size` bytes of a file, without touching the rest. Raises OSError."""
        ...


def digest_of(files: Iterable[pl.DataFrame], labels: Iterable[tuple[object, ...]]) -> str:
    """16 hex digits over labels and over the files' names and sizes, in their order, wherever the root lies."""
    digest = hashlib.blake2b(digest_size=8)
    for row in (*chain.from_iterable(table.iter_rows() for table in files), *labels):
        digest.update(f"{row!r}\n".encode())
    return digest.hexdigest()


def open_store(root: Path) -> FileStore:
    """The store that `root` is: a folder, or a zip file. Raises SourceError where it is neither."""
    if root.is_dir():
        return FolderStore(root)
    if root.is_file():
        return ZipStore(root)
    raise SourceError(f"{root} does not exist; give the folder or the zip file that holds the images")


@dataclass(frozen=True)
class FolderStore:
    """Files in a folder; a key is the path below it. Symbolic links are followed, each folder is entered once."""

    root: Path

    def find(self, folder: str) -> pl.DataFrame:
        """See FileStore."""
        try:
            return _table(self._walk(self.root / folder))
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

    def _walk(self, folder: Path) -> Iterator[tuple[str, str, int]]:
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

    def _file(self, entry: os.DirEntry[str]) -> tuple[str, str, int]:
        name = Path(entry.path).relative_to(self.root).as_posix()
        try:
            return name, name, entry.stat().st_size
        except OSError:  # a link to nothing: reading it will say so, and it is counted
            return name, name, 0


@dataclass(frozen=True)
class ZipStore:
    """Files in a zip; a key holds where the member lies, so that no worker reads the directory of 750,000 members."""

    path: Path

    def find(self, folder: str) -> pl.DataFrame:
        """See FileStore."""
        prefix = f"{folder.rstrip('/')}/" if folder else ""
        try:
            with ZipFile(self.path) as archive:
                return _table(_members(archive, prefix))
        except PermissionError:
            raise SourceError(f"no permission to read {self.path}; grant it") from None
        except BadZipFile:
            raise SourceError(f"{self.path} is not a whole zip file; download it again, or give a folder") from None

    def read(self, key: str) -> bytes:
        """See FileStore."""
        offset, compressed_size, method, checksum = self._place(key)
        with self.path.open("rb") as stream:
            data = _inflated(self._member(stream.fileno(), offset, compressed_size), method)
        if zlib.crc32(data) != checksum:
            raise OSError(None, "its checksum in the zip file is wrong")
        return data

    def read_start(self, key: str, size: int) -> bytes:
        """See FileStore."""
        offset, compressed_size, method, _ = self._place(key)
        with self.path.open("rb") as stream:
            data = self._member(stream.fileno(), offset, min(size, compressed_size))
        return _inflated(data, method, size)

    @staticmethod
    def _place(key: str) -> tuple[int, int, int, int]:
        offset, compressed_size, method, checksum, encrypted = map(int, key.split(":"))
        if encrypted or method not in (ZIP_STORED, ZIP_DEFLATED):
            raise OSError(None, "it is encrypted in the zip file, or packed in an unusual way")
        return offset, compressed_size, method, checksum

    @staticmethod
    def _member(descriptor: int, offset: int, size: int) -> bytes:
        header = os.pread(descriptor, _LOCAL_HEADER_BYTES, offset)
        if header[:4] != b"PK\x03\x04":
            raise OSError(None, "the zip file is cut short or damaged")
        names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        data = os.pread(descriptor, size, offset + _LOCAL_HEADER_BYTES + names)
        if len(data) < size:
            raise OSError(None, "the zip file is cut short")
        return data


def _members(archive: ZipFile, prefix: str) -> Iterator[tuple[str, str, int]]:
    for entry in archive.infolist():
        if entry.filename.startswith(prefix) and not entry.is_dir():
            place = (entry.header_offset, entry.compress_size, entry.compress_type, entry.CRC, entry.flag_bits & 1)
            yield entry.filename, ":".join(map(str, place)), entry.file_size


def _table(files: Iterator[tuple[str, str, int]]) -> pl.DataFrame:
    """Names, keys and sizes as a table, by name; a piece at a time, as Python's own strings take ten times the room."""
    pieces = [pl.DataFrame(schema=FILES)]
    while piece := list(islice(files, _PIECE)):
        pieces.append(pl.DataFrame(piece, schema=FILES, orient="row"))
    return pl.concat(pieces).sort("name")


def _inflated(data: bytes, method: int, size: int = 0) -> bytes:
    """The member's bytes, at most `size` of them where that is not 0."""
    if method == ZIP_STORED:
        return data
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size)
    except zlib.error:
        raise OSError(None, "it is damaged in the zip file") from None
