"""ImageNet weights: how the file that a backbone's were released in gets into the user's cache, checked."""

import hashlib
import http.client
import re
import urllib.error
import urllib.request
from pathlib import Path

from ichnos.errors import OutputError, WeightsError
from ichnos.files import cache_folder, replacing
from ichnos.progress import Progress

_BLOCK = 1 << 18
"""Bytes read between two reports of progress."""

_TIMEOUT = 30.0
"""Seconds without an answer after which the server counts as out of reach."""


def imagenet_file(progress: Progress, url: str) -> Path:
    """The file of ImageNet weights, downloaded if it is not yet in the cache; its checksum holds on return.

    Raises WeightsError, in one line that says what to do, where it cannot be had or is not the file that was meant.
    """
    path = cache_folder() / url.rsplit("/", 1)[1]
    prefix = digest_prefix(url)
    if not path.exists():
        try:
            _download(url, path, prefix, progress)
        except (OSError, http.client.HTTPException, OutputError) as error:
            raise WeightsError(_what_to_do(url, path, _reason(error))) from error
    elif not _digest(path).startswith(prefix):
        raise WeightsError(f"{path} is not the file of its name (SHA-256 must start with {prefix}): remove it")
    return path


def digest_prefix(url: str) -> str:
    """The first eight hex digits of the file's SHA-256: its publisher put them into its name, as torch.hub has it."""
    match = re.search(r"-([0-9a-f]{8})\.pth$", url)
    assert match is not None, f"{url} does not name its digest"
    return match[1]


def _download(url: str, path: Path, prefix: str, progress: Progress) -> None:
    with replacing(path) as temporary:
        # the address is one of ichnos.networks, or a test's
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer, temporary.open("wb") as file:  # noqa: S310
            length = answer.headers.get("Content-Length")
            with progress.task("Downloading ImageNet weights", int(length) if length else None) as task:
                while block := answer.read(_BLOCK):
                    file.write(block)
                    task.advance(len(block))
        if not _digest(temporary).startswith(prefix):
            reason = f"what came is not the file: its SHA-256 must start with {prefix}"
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
        "or train without them: give network.init as random, or of efficientnet-b0 as phantom (--set network.init=..., "
        "--init ... of a study)"
    )
