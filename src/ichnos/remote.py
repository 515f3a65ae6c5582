"""Files that lie on a storage, by URL (s3://bucket/folder, https://host/folder), read and written through fsspec."""

import errno
import io
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import get_ident
from typing import IO, Any, TypeVar

from ichnos.errors import StorageError, UsageError
from ichnos.storages import (
    EXTRAS,
    MEMORY,
    WEB,
    WHOLE,
    behind,
    files_below,
    is_beyond_the_end,
    is_forbidden,
    see_that_it_is_known,
    system_of,
)

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

    @property
    def parent(self) -> "RemotePath":
        """The folder that it lies in."""
        return RemotePath(self.url.rpartition("/")[0])

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
            return self._length(self._inner())

    def _length(self, name: str) -> int:
        with self._explained():
            size = self._system().info(name)["size"]
        if size is None:
            raise StorageError(f"{self._place} does not say how large its files are; copy them to this machine")
        return int(size)

    def files(self) -> Iterator[tuple[str, int]]:
        """Every file below the folder: its path from here and its size, by path. No folder: none."""
        found = self._found()
        with self._explained():
            inner = self._inner()
        names = {name: name[len(inner) :].lstrip("/") for name in sorted(found) if name.startswith(inner)}
        # a web server's page may hold links to itself in another order: ?C=M;O=A
        below = {name: path for name, path in names.items() if path and not path.endswith("/") and "?" not in path}
        yield from zip(below.values(), self._sizes(found, below), strict=True)

    def _found(self) -> dict[str, Any]:
        """All that fsspec finds below, by its own names."""
        try:
            with self._explained():
                system, inner = self._system(), self._inner()
                if self._protocol in EXTRAS:  # these list what lies below at once
                    return system.find(inner, withdirs=False, detail=True)
                return files_below(system, inner)
        except FileNotFoundError:
            if self._kind() is not None:
                raise
            return {}

    def _sizes(self, found: dict[str, Any], names: Iterable[str]) -> Iterator[int]:
        """Bytes of each; a page of links does not tell them, so each is asked for, some at once."""

        def size_of(name: str) -> int:
            size = found[name].get("size")
            return self._length(name) if size is None else int(size)

        if any(facts.get("size") is None for facts in found.values()):
            yield from (told() for told in ahead(size_of, names))
        else:
            yield from map(size_of, names)

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
                sent = bytes(self._system().cat_file(self._inner(), start=start, end=start + length))
            except Exception as error:
                if is_beyond_the_end(error):
                    return b""
                raise
        # a web server may send the whole file whatever it was asked for
        whole = len(sent) > length or (start > 0 and self._protocol in WEB and len(sent) == self.size())
        return sent[start : start + length] if whole else sent

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
        with self._explained(), self._moved_there() as name:
            self._system().pipe_file(name, content)

    def put(self, local: Path) -> None:
        """Write a whole file from one on this machine, as `write_bytes` does."""
        with self._explained(), self._moved_there() as name:
            self._system().put_file(str(local), name)

    @contextmanager
    def _moved_there(self) -> Iterator[str]:
        """What to write to: among files, unlike objects, one beside its place, as half a file can be seen."""
        system, inner = self._system(), self._inner()
        if self._protocol in WHOLE:
            yield inner
            return
        folder, _, name = inner.rpartition("/")
        system.makedirs(folder, exist_ok=True)
        temporary = f"{folder}/.{name}.{os.uname().nodename}-{os.getpid()}-{get_ident()}.tmp"
        try:
            yield temporary
            system.mv(temporary, inner)
        except BaseException:
            with suppress(Exception):  # what went wrong before says more
                system.rm_file(temporary)
            raise

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
        except (MemoryError, StorageError):
            raise
        except Exception as raised:  # botocore's, aiohttp's and Google's have no common base; here is the border
            error = behind(raised)
            if isinstance(error, FileNotFoundError):
                raise FileNotFoundError(errno.ENOENT, "it does not exist, or its bucket does not") from error
            if is_forbidden(error):
                said = "the storage gives no permission; check its credentials"
                raise PermissionError(errno.EACCES, said) from error
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise  # this machine's disk is full, not the storage
            kind = type(error).__name__
            if "Credential" in kind:
                raise StorageError(
                    f"no credentials for {self._place} were found; see docs/cluster.md for how to give them"
                ) from error
            raise StorageError(
                f"{self._place} cannot be reached, or answers with an error ({kind}); check the network and the "
                "address of the storage, then give the same command again"
            ) from error

    def _kind(self) -> str | None:
        try:
            with self._explained():
                facts = self._system().info(self._inner())
        except FileNotFoundError:
            self._see_bucket()
            return None
        if self._protocol in WEB and (self.url == self._place or str(facts.get("url", "")).endswith("/")):
            return "directory"  # where web servers lead who asks for a folder
        return str(facts["type"])

    def _see_bucket(self) -> None:
        """Raises FileNotFoundError where nothing can lie there, nor be written."""
        if self._protocol not in EXTRAS:
            return
        with self._explained():
            there = self._system().exists(self._inner().partition("/")[0])
        if not there:
            raise FileNotFoundError(errno.ENOENT, "there is no such bucket")

    @property
    def _protocol(self) -> str:
        return self.url.partition("://")[0]

    @property
    def _place(self) -> str:
        """Whose storage it is: keys may hold patients' names."""
        return f"{self._protocol}://{self.url.partition('://')[2].partition('/')[0]}"

    def _inner(self) -> str:
        """The name that its file system knows it by."""
        return str(self._system()._strip_protocol(self.url))

    def _system(self) -> Any:
        return system_of(self.url)


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
    if protocol in ("file", "local"):
        return Path(rest)
    see_that_it_is_known(protocol)
    host = rest.partition("/")[0]
    if not host and protocol != MEMORY:
        wanted = ("bucket", "bucket/folder") if protocol in EXTRAS else ("host", "host/folder")
        raise UsageError(f"{text} names no {wanted[0]}; give {protocol}://{wanted[1]}")
    if ":" in host.rpartition("@")[0]:
        raise UsageError(
            f"a password in a URL would stand in messages; give {protocol}://user@host/folder, and the password as "
            "docs/cluster.md says"
        )
    return RemotePath(text.rstrip("/"))


def place_to_write(text: str) -> Place:
    """The same for what will be written. Raises UsageError where that is not done there."""
    place = place_of(text)
    if isinstance(place, RemotePath) and place.url.partition("://")[0] in WEB:
        raise UsageError("a web server is read from, not written to; give --out a folder, or a URL of a storage")
    return place
