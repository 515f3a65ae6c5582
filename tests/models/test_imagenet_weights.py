"""The download of ImageNet weights, from a server on this machine."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ichnos.errors import WeightsError
from ichnos.models.imagenet_weights import digest_prefix, imagenet_file
from ichnos.networks import Architecture
from ichnos.progress import SILENT

CONTENT = b"weights" * 100_000
PREFIX = hashlib.sha256(CONTENT).hexdigest()[:8]
NAME = f"b0-{PREFIX}.pth"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if "absent" in self.path:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:5000] if "torn" in self.path else CONTENT)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ICHNOS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_downloaded_once(server: str, cache: Path):
    path = imagenet_file(SILENT, f"{server}/{NAME}")
    assert path == cache / NAME
    assert path.read_bytes() == CONTENT
    assert imagenet_file(SILENT, f"http://127.0.0.1:9/{NAME}") == path


@pytest.mark.parametrize(
    ("name", "prefix", "message"),
    [
        ("b0", "00000000", "SHA-256 must start with 00000000"),
        ("absent", PREFIX, "answered 404"),
        ("torn", PREFIX, "SHA-256 must start"),
    ],
)
def test_what_is_not_the_file_leaves_nothing(server: str, cache: Path, name: str, prefix: str, message: str):
    with pytest.raises(WeightsError, match=message) as raised:
        imagenet_file(SILENT, f"{server}/{name}-{prefix}.pth")
    assert "give network.init as random" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert list(cache.iterdir()) == []


def test_offline_says_what_to_do(cache: Path):
    with pytest.raises(WeightsError, match="cannot be reached") as raised:
        imagenet_file(SILENT, f"http://127.0.0.1:9/{NAME}")
    assert str(cache / NAME) in str(raised.value)


def test_wrong_file_put_by_hand(cache: Path):
    cache.mkdir()
    (cache / NAME).write_bytes(b"other")
    with pytest.raises(WeightsError, match="remove it"):
        imagenet_file(SILENT, f"http://127.0.0.1:9/{NAME}")


def test_cache_that_cannot_be_written(server: str, cache: Path):
    cache.write_bytes(b"a file where the folder should be")
    with pytest.raises(WeightsError, match="could not be downloaded"):
        imagenet_file(SILENT, f"{server}/{NAME}")


@pytest.mark.parametrize("which", [each for each in Architecture if each.facts.weights])
def test_the_released_names_carry_their_digests(which: Architecture):
    assert which.facts.weights is not None
    assert int(digest_prefix(which.facts.weights), 16) > 0
