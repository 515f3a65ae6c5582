"""Files that lie on a storage, by URL (s3://bucket/folder, gs://bucket/folder), read and written through fsspec."""

import errno
import importlib
import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, TypeVar

from ichnos.errors import MissingExtraError, StorageError, UsageError

_EXTRAS = {"s3": ("s3fs", "s3"), "s3a": ("s3fs", "s3"), "gs": ("gcsfs", "gs"), "gcs": ("gcsfs", "gs")}
"""The module that a kind of storage needs, and the extra that brings it."""

_OTHERS = ("memory",)
"""What fsspec reads by itself. Of other protocols nobody has seen here what they do where a connection breaks."""

_BLOCK_BYTES = 8 << 20
"""Read at a time where a file is read from its beginning on: a zip's list of 750,000 files takes some ten requests."""

AT_ONCE = 16
"""Requests to a storage under way."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class RemotePath:
    """A file or folder on a storage. Picklable; other processes open their own connection.

    Has the methods of pathlib.Path that are needed here, and raises what they raise, FileNotFoundError and
    PermissionError, whose text names no file; and StorageError where it cannot be told what is there, which ends the
    work: files are not to be left out because a network was down. url: without a slash at its end.
    """

    url: str

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> "RemotePath":
        return RemotePath(f"{self.url}/{name}") if name else self

    @property
    def name(self) -> str:
        """The last part."""
        return self.url.rpartition("/")[2]

    def is_dir(self) -> bool:
        """Whether something lies below it. Raises OSError where there is no such bucket, StorageError."""
        return self._kind() == "directory"

    def is_file(self) -> bool:
        """Whether it is a file. Raises as is_dir does."""
        return self._kind() == "file"

    def exists(self) -> bool:
        """Whether anything is there. Raises as is_dir does."""
        return self._kind() is not None

    def size(self) -> int:
        """Bytes of a file."""
        with self._explained():
            return int(self._system().info(self._inner())["size"])

    def files(self) -> Iterator[tuple[str, int]]:
        """Every file below the folder: its path from here and its size, by path. No folder: none."""
        with self._explained():
            system, inner = self._system(), self._inner()
            found = system.find(inner, withdirs=False, detail=True)
        for name, facts in sorted(found.items()):
            below = name[len(inner) :].lstrip("/") if name.startswith(inner) else ""
            if below and not name.endswith("/"):
                yield below, int(facts["size"])

    def read_bytes(self) -> bytes:
        """All bytes of a file."""
        with self._explained():
            return bytes(self._system().cat_file(self._inner()))

    def read_part(self, start: int, length: int) -> bytes:
        """At most `length` bytes from `start`, and no others are sent."""
        if length <= 0:
            return b""
        with self._explained():
            try:
                return bytes(self._system().cat_file(self._inner(), start=start, end=start + length))
            except OSError as error:
                if error.errno == errno.EINVAL and "range" in str(error).lower():
                    return b""  # beyond the end: S3 says 416, where a disk gives nothing
                raise

    def open(
        self, mode: str = "r", *, encoding: str | None = None, newline: str | None = None, ahead: int = _BLOCK_BYTES
    ) -> IO[Any]:
        """The file, open for reading: text (`r`), or bytes (`rb`). Seeks send nothing.

        ahead: bytes that are asked for at least.
        """
        raw = io.BufferedReader(_Stream(self, self.size()), ahead)
        return raw if mode == "rb" else io.TextIOWrapper(raw, encoding=encoding, newline=newline)

    def write_bytes(self, content: bytes) -> None:
        """Write a whole file: on a storage it is there when all of it is, or not at all."""
        with self._explained():
            self._system().pipe_file(self._inner(), content)

    def put(self, local: Path) -> None:
        """Write a whole file from one on this machine, as `write_bytes` does."""
        with self._explained():
            self._system().put_file(str(local), self._inner())

    def get(self, local: Path) -> None:
        """Copy the file to this machine."""
        with self._explained():
            self._system().get_file(self._inner(), str(local))

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Take a file away."""
        try:
            with self._explained():
                self._system().rm_file(self._inner())
        except FileNotFoundError:
            if not missing_ok:
                raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """What the storage's library raises, as said above. A key may hold a patient's name: only buckets are told."""
        try:
            yield
        except FileNotFoundError as error:
            raise FileNotFoundError(errno.ENOENT, "it does not exist, or its bucket does not") from error
        except PermissionError as error:
            raise PermissionError(errno.EACCES, "the storage gives no permission; check its credentials") from error
        except MemoryError:
            raise
        except Exception as error:  # botocore's, aiohttp's and Google's have no common base; here is the border
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise  # this machine's disk is full, not the storage
            protocol, _, rest = self.url.partition("://")
            kind, bucket = type(error).__name__, f"{protocol}://{rest.partition('/')[0]}"
            if "Credential" in kind:
                raise StorageError(
                    f"no credentials for {bucket} were found; see docs/cluster.md for how to give them"
                ) from error
            raise StorageError(
                f"{bucket} cannot be reached, or answers with an error ({kind}); check the network and the address of "
                "the storage, then give the same command again"
            ) from error

    def _kind(self) -> str | None:
        try:
            with self._explained():
                return str(self._system().info(self._inner())["type"])
        except FileNotFoundError:
            self._see_bucket()
            return None

    def _see_bucket(self) -> None:
        """Raises FileNotFoundError where nothing can lie there, nor be written."""
        if self.url.partition("://")[0] in _OTHERS:
            return
        with self._explained():
            there = self._system().exists(self._inner().partition("/")[0])
        if not there:
            raise FileNotFoundError(errno.ENOENT, "there is no such bucket")

    def _inner(self) -> str:
        """The name that its file system knows it by."""
        return str(self._system()._strip_protocol(self.url))

    def _system(self) -> Any:
        return file_system(self.url.partition("://")[0])


@lru_cache
def file_system(protocol: str) -> Any:
    """fsspec's, one a process: its own memory of them is of each thread, and each would make connections of its own.

    What it remembers of listings is of no use where others write.
    """
    fsspec = importlib.import_module("fsspec")
    return fsspec.filesystem(protocol, **({} if protocol in _OTHERS else {"use_listings_cache": False}))


def ahead(fetch: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Callable[[], Result]]:
    """fetch(item) of each in order, AT_ONCE of them under way: a storage answers each after a while, but many together.

    What is yielded returns its result, or raises what it raised.
    """
    under_way: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            for item in items:
                under_way.append(pool.submit(fetch, item))
                if len(under_way) >= AT_ONCE:
                    yield under_way.popleft().result
            while under_way:
                yield under_way.popleft().result
        finally:
            for future in under_way:
                future.cancel()


class _Stream(io.RawIOBase):
    """A file on a storage, read by parts, so that a connection that breaks is a StorageError here too."""

    def __init__(self, path: RemotePath, size: int) -> None:
        self._path = path
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        part = self._path.read_part(self._at, min(len(buffer), self._size - self._at))
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)


Place = Path | RemotePath
"""Where something lies or is written: on this machine, or on a storage."""


def place_of(text: str) -> Place:
    """A path of this machine, or a URL. Raises UsageError where no such storage is known, MissingExtraError."""
    protocol, mark, rest = text.partition("://")
    if not mark:
        return Path(text)
    if protocol == "file":
        return Path(rest)
    if protocol not in (*_EXTRAS, *_OTHERS):
        raise UsageError(f"{protocol}:// is no storage that is read here; give a path, or a URL of s3:// or gs://")
    if not rest.strip("/") and protocol not in _OTHERS:
        raise UsageError(f"{text} names no bucket; give {protocol}://bucket/folder")
    module, extra = _EXTRAS.get(protocol, ("fsspec", "s3"))
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{protocol}:// needs {module}, which is not installed; install it with pip install 'ichnos[{extra}]'"
        ) from error
    return RemotePath(text.rstrip("/"))
