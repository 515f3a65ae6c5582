"""Storages on this machine: moto's server, which s3fs asks over HTTP as it would ask any other; a web server; files."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from ichnos.storages import file_system

BUCKET = "s3://exams"


@contextmanager
def s3() -> Iterator[str]:
    """The address of a storage with an empty bucket; this process and those it starts find it by the environment."""
    pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 'ichnos[s3]'")
    server_module = pytest.importorskip("moto.server", reason="moto is not installed: pip install 'moto[s3]' flask")
    requests = pytest.importorskip("requests")
    server = server_module.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "their secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        forget()
        requests.post(
            f"http://{host}:{port}/moto-api/reset", timeout=10
        )  # an earlier one of this process lives on in it
        files().mkdir(BUCKET)
        yield f"http://{host}:{port}"
    forget()
    server.stop()


def files() -> Any:
    """The storage, as s3fs itself sees it."""
    import fsspec

    return fsspec.filesystem("s3", use_listings_cache=False)


def forget() -> None:
    """Let connections go: whoever asks next finds the storage that the environment names now."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    file_system.cache_clear()


def upload(folder: Path, url: str) -> str:
    """Put a file, or all files of a folder, where `url` says, and return that."""
    each = [folder] if folder.is_file() else [path for path in folder.rglob("*") if path.is_file()]
    for path in each:
        files().put_file(str(path), url if path is folder else f"{url}/{path.relative_to(folder).as_posix()}")
    return url


def download(url: str, folder: Path) -> Path:
    """Copy all that lies below `url` into a folder."""
    inner = url.removeprefix("s3://")
    for name in files().find(inner):
        (folder / name[len(inner) + 1 :]).parent.mkdir(parents=True, exist_ok=True)
        files().get_file(name, str(folder / name[len(inner) + 1 :]))
    return folder


class _Pages(SimpleHTTPRequestHandler):
    """Folders as pages of links, and files; nothing below `closed` to anybody."""

    protocol_version = "HTTP/1.1"
    ranges = True

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "") if self.ranges else ""
        path = Path(self.translate_path(self.path))
        if self.path.startswith("/closed"):
            self.send_error(403)
        elif not asked or not path.is_file():
            super().do_GET()
        else:
            self._send_part(path.read_bytes(), *map(int, asked.removeprefix("bytes=").split("-")))

    def do_HEAD(self) -> None:
        if self.path.startswith("/closed"):
            self.send_error(403)
        else:
            super().do_HEAD()

    def _send_part(self, content: bytes, first: int, last: int) -> None:
        part = content[first : last + 1]
        self.send_response(206 if part else 416)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Standard error is the command's."""


class _WholeFiles(_Pages):
    """As Python's own server: whatever part is asked for, it sends all."""

    ranges = False


@contextmanager
def web(folder: Path, *, ranges: bool = True) -> Iterator[str]:
    """The address of a web server that shows a folder."""
    handler = partial(_Pages if ranges else _WholeFiles, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
