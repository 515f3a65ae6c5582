"""The kinds of storages that fsspec knows: which are let through, how each is opened, and what its errors mean."""

import errno
import importlib
from functools import lru_cache
from typing import Any

from ichnos.errors import MissingExtraError, UsageError

EXTRAS = {"s3": ("s3fs", "s3"), "s3a": ("s3fs", "s3"), "gs": ("gcsfs", "gs"), "gcs": ("gcsfs", "gs")}
"""The module that a kind of storage needs, and the extra that brings it."""

MEMORY = "memory"
"""A storage of this process alone, for tests."""

WEB = ("http", "https")
"""What is read from and not written to. A folder is a page of links, as web servers make it."""

WHOLE = (*EXTRAS, "abfs", "az", MEMORY)
"""Storages of objects, each of which is there whole or not at all."""

_VIEWS = (
    *("async_wrapper", "asynclocal", "asyncwrapper", "blockcache", "cached", "data", "dir", "filecache", "generic"),
    *("libarchive", "pyscript", "reference", "simplecache", "tar", "zip"),
)
"""What fsspec has a word for that is no storage, but another way to look at one, or needs more than a URL says."""


def see_that_it_is_known(protocol: str) -> None:
    """Raises UsageError where no such storage is known, MissingExtraError where what it needs is not installed."""
    module, extra = EXTRAS.get(protocol, ("fsspec", "s3"))
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{protocol}:// needs {module}, which is not installed; install it with pip install 'ichnos[{extra}]'"
        ) from error
    fsspec = importlib.import_module("fsspec")
    if protocol not in fsspec.available_protocols() or protocol in _VIEWS:
        raise UsageError(
            f"{protocol}:// is no storage that is known here; give a path, or a URL such as s3://bucket/folder, "
            "gs://bucket/folder or https://host/folder"
        )
    try:
        fsspec.get_filesystem_class(protocol)
    except ImportError as error:
        raise MissingExtraError(f"{protocol}:// needs a package that is not installed; fsspec says: {error}") from error


_FORBIDDEN = (401, 403)
"""HTTP's words for what S3 raises a PermissionError of."""


def is_forbidden(error: Exception) -> bool:
    """Whether a storage knows who asks, and does not let it in. gcsfs has a plain OSError for that."""
    forbidden = isinstance(error, OSError) and str(error).startswith("Forbidden")
    return forbidden or isinstance(error, PermissionError) or _status(error) in _FORBIDDEN


def _status(error: Exception) -> int | None:
    """HTTP's, as aiohttp has it (status) or gcsfs (code, perhaps as text)."""
    told = str(getattr(error, "status", None) or getattr(error, "code", None))
    return int(told) if told.isdecimal() else None


def behind(error: Exception) -> Exception:
    """Of a web server fsspec says that a file is not there whatever was wrong, a network that is down too."""
    cause = error.__cause__
    if not isinstance(error, FileNotFoundError) or not isinstance(cause, Exception):
        return error
    of_web = type(cause).__module__.startswith("aiohttp") or isinstance(cause, TimeoutError)
    return cause if of_web and _status(cause) not in (404, 410) else error


def is_beyond_the_end(error: Exception) -> bool:
    """S3 and HTTP say 416, where a disk gives nothing."""
    if isinstance(error, OSError) and error.errno == errno.EINVAL and "range" in str(error).lower():
        return True
    return _status(error) == 416


def files_below(system: Any, folder: str) -> dict[str, Any]:
    """What fsspec's `find` gives, but a folder below that cannot be listed raises: it would be passed over there."""
    found: dict[str, Any] = {}
    pending, entered = [folder], {folder.rstrip("/")}
    while pending:
        for facts in system.ls(pending.pop(), detail=True):
            name = facts["name"]
            if facts["type"] != "directory":
                found[name] = facts
            elif name.rstrip("/") not in entered:
                entered.add(name.rstrip("/"))
                pending.append(name)
    return found


def system_of(url: str) -> Any:
    """fsspec's file system that a URL lies on, as its user, host and port say."""
    protocol = url.partition("://")[0]
    kind = importlib.import_module("fsspec").get_filesystem_class(protocol)
    options = tuple(sorted(kind._get_kwargs_from_urls(url).items()))
    shared = kind.async_impl or protocol == MEMORY
    return file_system(protocol, options) if shared else _opened(protocol, options)


@lru_cache
def file_system(protocol: str, options: tuple[tuple[str, Any], ...] = ()) -> Any:
    """fsspec's, one a process: its own memory of them is of each thread, and each would make connections of its own."""
    return _opened(protocol, options)


def _opened(protocol: str, options: tuple[tuple[str, Any], ...]) -> Any:
    """fsspec's, one a thread: one that does not send its requests side by side has one connection.

    What it remembers of listings is of no use where others write.
    """
    system = importlib.import_module("fsspec").filesystem(protocol, **dict(options))
    if hasattr(system, "dircache"):
        system.dircache.use_listings_cache = False
    return system
