"""Input and output on storages other than S3: a web server of this machine, one of files that can be seen half written,
and one in memory, each read through fsspec by the same road."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ichnos.data.sources.cq500 import Cq500Source
from ichnos.data.sources.ct_ich import CtIchSource
from ichnos.dicom.exams import find_exams, read_exam
from ichnos.errors import StorageError
from ichnos.files import LOCK
from ichnos.inference import write_bundle
from ichnos.progress import SILENT
from ichnos.remote import RemotePath
from ichnos.storages import file_system
from ichnos.workflows.prepare import prepare_set
from tests.data.in_memory import InMemorySource
from tests.data.sources.test_cq500 import tree  # noqa: F401 - a fixture
from tests.data.sources.test_ct_ich import _nifti, _picture, _table
from tests.data.test_preparing import contents
from tests.dicom.head_files import as_series, head, head_datasets, write
from tests.dicom.test_finding import directory
from tests.inference.networks import brightness, manifest
from tests.storages import web
from tests.stories.predicting import zipped
from tests.stories.running import ichnos

fsspec_registry = pytest.importorskip("fsspec.registry")
LocalFileSystem: Any = pytest.importorskip("fsspec.implementations.local").LocalFileSystem


class Shelf(LocalFileSystem):
    """shelf://files/FOLDER: files as sftp or ftp have them, in a folder that the environment names."""

    protocol = "shelf"
    cachable = False

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return os.environ["SHELF"] + path.removeprefix("shelf://files") if path.startswith("shelf:") else path


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a storage of files."""
    monkeypatch.setitem(fsspec_registry.known_implementations, "shelf", {"class": f"{__name__}.Shelf"})
    monkeypatch.setenv("SHELF", str(tmp_path / "shelf"))
    (tmp_path / "shelf").mkdir()
    yield tmp_path / "shelf"
    fsspec_registry._registry.pop("shelf", None)


def in_memory(folder: Path, name: str) -> RemotePath:
    """A folder's files as memory://NAME."""
    for path in folder.rglob("*"):
        if path.is_file():
            file_system("memory").pipe_file(f"/{name}/{path.relative_to(folder).as_posix()}", path.read_bytes())
    return RemotePath(f"memory://{name}")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("bundle") / "tiny.ichnos"
    write_bundle(path, manifest(), brightness(level=-385, gain=0.05).SerializeToString(), "card")
    return str(path)


# ---- a web server


@pytest.mark.parametrize("ranges", [True, False])
def test_exams_are_read_from_a_web_server(bundle: str, tmp_path: Path, ranges: bool) -> None:
    exams = tmp_path / "www" / "exams"
    for name, study in {"b": 1, "a/deep": 2}.items():
        write(exams / name, as_series(head_datasets(), study, study=study))
    zipped(exams / "c.zip", write(tmp_path / "apart", as_series(head_datasets(), 4, study=4)))
    words = ["--bundle", bundle, "--json"]
    with web(tmp_path / "www", ranges=ranges) as address:
        remote = ichnos("predict", f"{address}/exams", "--out", str(tmp_path / "remote"), *words)
        one = ichnos("predict", f"{address}/exams/c.zip", "--out", str(tmp_path / "one"), *words)
    local = ichnos("predict", str(exams), "--out", str(tmp_path / "local"), *words)
    assert (remote.exit_code, remote.stdout) == (local.exit_code, local.stdout), remote.stderr
    assert one.exit_code == 0, one.stderr
    assert contents(tmp_path / "remote") == contents(tmp_path / "local")
    assert len(list((tmp_path / "local").glob("exam-*"))) == 3


@pytest.mark.parametrize("ranges", [True, False])
def test_parts_of_a_web_servers_files_are_as_on_a_disk(tmp_path: Path, ranges: bool) -> None:
    (tmp_path / "file").write_bytes(bytes(range(100)))
    with web(tmp_path, ranges=ranges) as address:
        path = RemotePath(f"{address}/file")
        assert path.size() == 100
        assert [path.read_part(*part) for part in ((0, 5), (10, 5), (98, 5), (1, 500))] == [
            bytes(range(5)),
            bytes(range(10, 15)),
            bytes([98, 99]),
            bytes(range(1, 100)),
        ]
        assert path.read_part(5000, 5) == b""
        assert (path.is_file(), path.is_dir(), RemotePath(address).is_dir()) == (True, False, True)
        assert RemotePath(f"{address}/absent").exists() is False
        assert list(RemotePath(f"{address}/absent").files()) == []


def test_a_web_server_that_refuses_or_is_down_leaves_nothing_out(bundle: str, tmp_path: Path) -> None:
    """fsspec says of both that the file does not exist."""
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))  # and nobody listens
        down = RemotePath(f"http://127.0.0.1:{unheard.getsockname()[1]}/exams")
        for asked in (down.exists, down.size, lambda: list(down.files()), lambda: down.read_part(0, 5)):
            with pytest.raises(StorageError, match=r"http://127.0.0.1:\d+ cannot be reached, or answers with an error"):
                asked()
        ran = ichnos("predict", str(down), "--out", str(tmp_path / "out"), "--bundle", bundle)
        assert (ran.exit_code, "cannot be reached" in ran.stderr) == (1, True)
    with web(tmp_path) as address, pytest.raises(PermissionError, match="no permission; check its credentials"):
        RemotePath(f"{address}/closed/exams").exists()
    assert list(tmp_path.iterdir()) == []


# ---- files


def test_a_set_is_written_to_a_storage_of_files(shelf: Path, tmp_path: Path) -> None:
    prepare_set(InMemorySource(), RemotePath("shelf://files/sets/a"), SILENT, workers=1)
    prepare_set(InMemorySource(), tmp_path / "local", SILENT, workers=1)
    ours = {name: digest for name, digest in contents(tmp_path / "local").items() if name != LOCK}
    assert contents(shelf / "sets" / "a") == ours


def test_findings_are_written_to_a_storage_of_files_and_replaced(shelf: Path, bundle: str, tmp_path: Path) -> None:
    exam = write(tmp_path / "exam", as_series(head_datasets(), 1))
    for words in ([], ["--force"]):
        ran = ichnos("predict", str(exam), "--out", "shelf://files/out", "--bundle", bundle, *words)
        assert ran.exit_code == 0, ran.stderr
    assert sorted(contents(shelf / "out")) == ["exam-001/findings.json", "summary.json"]


def test_half_a_file_is_never_seen_on_a_storage_of_files(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = RemotePath("shelf://files/folder/file")
    path.write_bytes(b"before")

    def broken(self: Shelf, name: str, content: bytes, **_: object) -> None:
        Path(name).write_bytes(content[:2])
        raise ConnectionResetError

    monkeypatch.setattr(Shelf, "pipe_file", broken)
    with pytest.raises(StorageError, match=r"shelf://files cannot be reached"):
        path.write_bytes(b"after")
    assert path.read_bytes() == b"before"
    assert contents(shelf) == {"folder/file": contents(shelf)["folder/file"]}, "nothing is left beside it"


def test_a_folder_that_cannot_be_listed_is_not_passed_over(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shelf / "a" / "b").mkdir(parents=True)
    (shelf / "a" / "b" / "file").write_bytes(b"something")
    assert list(RemotePath("shelf://files/a").files()) == [("b/file", 9)]
    listed = Shelf.ls

    def closed(self: Shelf, path: str, detail: bool = False, **given: object) -> object:
        if path.endswith("/b"):
            raise PermissionError
        return listed(self, path, detail, **given)

    monkeypatch.setattr(Shelf, "ls", closed)
    with pytest.raises(PermissionError, match="the storage gives no permission"):
        list(RemotePath("shelf://files/a").files())


# ---- sources and discs, by the road that all storages have


def assert_same(disk: Any, remote: Any, scratch: Path) -> None:
    found, there = disk.scan(SILENT, scratch), remote.scan(SILENT, scratch)
    assert (there.exams, there.skipped, there.contents) == (found.exams, found.skipped, found.contents)
    assert found.exams
    for reference in found.exams:
        ours, theirs = disk.read(reference), remote.read(reference)
        assert (theirs.skipped, theirs.attributes, len(theirs.slices)) == (
            ours.skipped,
            ours.attributes,
            len(ours.slices),
        )
        for one, other in zip(ours.slices, theirs.slices, strict=True):
            assert (one.name, one.offset, one.pixel_spacing) == (other.name, other.offset, other.pixel_spacing)
            np.testing.assert_array_equal(one.hu, other.hu)
            assert (one.mask is None) == (other.mask is None)


def test_ct_ich_is_read_from_a_storage(tmp_path: Path) -> None:
    """Both of its forms, with what they lack."""
    pictures, volumes = tmp_path / "pictures", tmp_path / "volumes"
    _table(pictures / "hemorrhage_diagnosis.csv", ["7,2,0,0,0,1,0,0,1", "7,1,0,0,0,0,0,1,0", "7,3,0,0,0,0,0,1,0"])
    (pictures / "patient_demographics.csv").write_text('"Patient Number","Age\n(years)","Gender"\n7,0.5,"Female"\n')
    for number, grey in ((1, 120), (2, 128)):
        _picture(pictures, 7, "brain", number, grey)
        _picture(pictures, 7, "bone", number, 75)
    _picture(pictures, 7, "brain", 9, 100)
    lps = (np.arange(4 * 6 * 2).reshape(4, 6, 2) - 30).astype(np.int16)
    _nifti(volumes / "ct_scans" / "049.nii.gz", lps, ("R", "A", "S"))
    _nifti(volumes / "masks" / "049.nii.gz", (lps > 0).astype(np.int16), ("R", "A", "S"))
    rows = ["49,1,0,1,0,0,0,0,0", "49,2,0,1,0,0,0,0,0", "50,1,0,0,0,0,0,1,0"]
    _table(volumes / "hemorrhage_diagnosis_raw_ct.csv", rows)
    for folder in (pictures, volumes):
        remote = CtIchSource(in_memory(folder, f"ct-ich-{folder.name}"))
        assert_same(CtIchSource(folder), remote, tmp_path)


def test_cq500_is_read_from_a_storage(tree: Path, tmp_path: Path) -> None:  # noqa: F811
    assert_same(Cq500Source(tree), Cq500Source(in_memory(tree, "cq500")), tmp_path)


def test_a_dicomdir_on_a_storage_leads_to_its_files(tmp_path: Path) -> None:
    disc = tmp_path / "disc"
    write(disc / "im", head_datasets(), "img")
    names = sorted(path.name for path in (disc / "im").iterdir())
    listed = [["IM", name.upper()] for name in names] + [["..", "elsewhere", "img"], ["ABSENT"]]
    (disc / "DICOMDIR").write_bytes(directory(listed))
    there = in_memory(disc, "disc") / "DICOMDIR"
    np.testing.assert_array_equal(read_exam(there).hu, head().hu)
    assert sorted(each.reason for each in find_exams([there]).unreadable) == [
        "a DICOMDIR refers to a file outside its folder, which is not read",
        "a DICOMDIR refers to a file that is not there; copy the disc again",
    ]


class HttpError(Exception):
    """As gcsfs raises it: what HTTP says stands in `code`, at times as text."""

    def __init__(self, code: object) -> None:
        super().__init__(f"{code}, somebody/known.dcm")
        self.code = code


@pytest.mark.parametrize("raised", [HttpError("403"), HttpError(401), OSError("Forbidden: somebody/known.dcm")])
def test_who_is_not_let_in_by_google_is_told_so(raised: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object, **__: object) -> bytes:
        raise raised

    monkeypatch.setattr(type(file_system("memory")), "cat_file", refuses)
    with pytest.raises(PermissionError, match="gives no permission; check its credentials") as error:
        RemotePath("memory://bucket/file").read_bytes()
    assert "known" not in str(error.value)


@pytest.mark.parametrize("code", [416, "416"])
def test_beyond_the_end_google_has_nothing(code: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object, **__: object) -> bytes:
        raise HttpError(code)

    monkeypatch.setattr(type(file_system("memory")), "cat_file", refuses)
    assert RemotePath("memory://bucket/file").read_part(10, 5) == b""


def test_what_else_google_says_ends_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object, **__: object) -> bytes:
        raise HttpError(503)

    monkeypatch.setattr(type(file_system("memory")), "cat_file", breaks)
    with pytest.raises(StorageError):
        RemotePath("memory://bucket/file").read_bytes()
