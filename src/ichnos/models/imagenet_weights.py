"""EfficientNet-B0's ImageNet weights: where they come from, and how they get into the user's cache, checked."""

import hashlib
import http.client
import urllib.error
import urllib.request
from pathlib import Path

from ichnos.errors import OutputError, WeightsError
from ichnos.files import cache_folder, replacing
from ichnos.progress import Progress

URL = "https://github.com/lukemelas/EfficientNet-PyTorch/releases/download/1.0/efficientnet-b0-355c32eb.pth"
"""The weights of Tan & Le 2019 carried over to PyTorch, release 1.0 of EfficientNet-PyTorch (Apache-2.0)."""

DIGEST_PREFIX = "355c32eb"
"""The first eight hex digits of the file's SHA-256: its publisher put them into its name."""

_BLOCK = 1 << 18
"""Bytes read between two reports of progress."""

_TIMEOUT = 30.0
"""Seconds without an answer after which the server counts as out of reach."""


def imagenet_file(progress: Progress, url: str = URL, digest_prefix: str = DIGEST_PREFIX) -> Path:
    """The file of ImageNet weights, downloaded if it is not yet in the cache; its checksum holds on return.

    Raises WeightsError, in one line that says what to do, where it cannot be had or is not the file that was meant.
    """
    path = cache_folder() / url.rsplit("/", 1)[1]
    if not path.exists():
        try:
            _download(url, path, digest_prefix, progress)
        except (OSError, http.client.HTTPException, OutputError) as error:
            raise WeightsError(_what_to_do(url, path, _reason(error))) from error
    elif not _digest(path).startswith(digest_prefix):
        raise WeightsError(f"{path} is not the file of its name (SHA-256 must start with {digest_prefix}): remove it")
    return path


def _download(url: str, path: Path, digest_prefix: str, progress: Progress) -> None:
    with replacing(path) as temporary:
        # the address is a constant of this module, or a test's
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer, temporary.open("wb") as file:  # noqa: S310
            length = answer.headers.get("Content-Length")
            with progress.task("Downloading ImageNet weights", int(length) if length else None) as task:
                while block := answer.read(_BLOCK):
                    file.write(block)
                    task.advance(len(block))
        if not _digest(temporary).startswith(digest_prefix):
            reason = f"what came is not the file: its SHA-256 must start with {digest_prefix}"
            raise WeightsError(_what_to_do(url, path, reason))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return f"the server answered {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return f"the server cannot be reached: {error.reason}"
    return str(error) or type(error).__name__


def _what_to_do(url: str, path: Path, reason: str) -> str:
    return (
        f"the ImageNet weights could not be downloaded ({reason}); put {url} at {path} by hand, "
        "or train without them: give network.init as phantom or random (--set network.init=..., --init ... of a study)"
    )
