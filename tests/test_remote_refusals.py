"""URLs that lead nowhere: each a clear error, before anything is read or written."""

import json
import sys
from pathlib import Path

import pytest

from ichnos.data.set import PreparedSet
from ichnos.errors import MissingExtraError, SetError, UsageError
from ichnos.remote import RemotePath, place_of, place_to_write
from ichnos.storages import file_system
from tests.data.sources.rsna_trees import write_tree
from tests.dicom.head_files import as_series, head_datasets, write
from tests.stories.running import ichnos


def test_a_path_is_a_path() -> None:
    assert place_of("some/folder") == Path("some/folder")
    assert place_of("file:///some/folder") == Path("/some/folder")


def test_a_storage_that_nobody_knows_is_wrong_use() -> None:
    for text in ("htp://somewhere/exams", "study://x", "zip://a.dcm", "simplecache::s3://bucket/exams", "S3://bucket"):
        with pytest.raises(
            UsageError, match=r":// is no storage that is known here; give a path, or a URL such as s3://"
        ):
            place_of(text)


@pytest.mark.parametrize("text", [r"C:\exams", "C:/exams", "a:b", "exams:/of today", "s3:/bucket", ":", "a::b"])
def test_a_name_with_a_colon_is_a_path(text: str) -> None:
    assert place_of(text) == Path(text)


def test_what_fsspec_lacks_for_a_storage_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adlfs", None)
    with pytest.raises(MissingExtraError, match=r"abfs:// needs a package that is not installed.* Install adlfs to"):
        place_of("abfs://container/exams")


def test_no_password_is_given_in_a_url() -> None:
    with pytest.raises(
        UsageError, match=r"a password in a URL would stand in messages; give ftp://user@host"
    ) as raised:
        place_of("ftp://somebody:secret@host/exams")
    assert "secret" not in str(raised.value)


def test_a_web_server_is_not_written_to() -> None:
    with pytest.raises(UsageError, match="a web server is read from, not written to; give --out a folder"):
        place_to_write("https://somewhere/findings")
    assert place_to_write("some/folder") == Path("some/folder")


def test_a_url_without_a_bucket_is_wrong_use(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"s3:// names no bucket; give s3://bucket/folder"):
        place_of("s3://")
    with pytest.raises(UsageError, match=r"https:// names no host; give https://host/folder"):
        place_of("https://")


@pytest.mark.parametrize(("url", "module", "extra"), [("s3://b/f", "s3fs", "s3"), ("gs://b/f", "gcsfs", "gs")])
def test_without_its_library_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, url: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"{module}, which is not installed.*pip install 'ichnos\[{extra}\]'"):
        place_of(url)


def test_a_set_is_read_from_a_disk() -> None:
    with pytest.raises(SetError, match=r"a set is read from a disk, not from s3://; copy it to this machine"):
        PreparedSet("s3://bucket/set")


def test_the_order_on_a_storage_is_that_of_a_disk(tmp_path: Path) -> None:
    from ichnos.dicom.finding import FoundFile, find_files

    fsspec = pytest.importorskip("fsspec")
    names = ["b/2", "b/1", "a/z", "a/a/deep", "top", "a.b/x", ".hidden", "a/Thumbs.db", "__MACOSX/x", "a/.h"]
    system = fsspec.filesystem("memory")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"something")
        system.pipe_file(f"/order/{name}", b"something")
    local = [str(f.path.relative_to(tmp_path)) for f in find_files([tmp_path]) if isinstance(f, FoundFile)]
    found = [f.path for f in find_files([RemotePath("memory://order")]) if isinstance(f, FoundFile)]
    assert [str(path).removeprefix("memory://order/") for path in found] == local == ["top", *local[1:]]
    assert len(local) == 6


def test_a_storage_that_stops_answering_ends_the_work_and_leaves_nothing_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fsspec")
    system = file_system("memory")
    for path in write_tree(tmp_path / "root", images="stage_2_test").rglob("*.dcm"):
        system.pipe_file(f"/rsna/stage_2_test/{path.name}", path.read_bytes())
    exam = write(tmp_path / "exam", as_series(head_datasets(), 1))
    for path in exam.iterdir():
        system.pipe_file(f"/exam/{path.name}", path.read_bytes())
    asked: list[str] = []
    last = 5

    def breaking(name: str, **_: object) -> bytes:
        asked.append(name)
        if len(asked) > last:
            raise ConnectionResetError("a line with SOMEBODY^KNOWN in it")
        return cat(name, **_)

    cat = system.cat_file
    monkeypatch.setattr(system, "cat_file", breaking)
    broken = " cannot be reached, or answers with an error (ConnectionResetError); check the network"
    ran = ichnos("predict", "memory://exam", "--out", str(tmp_path / "out"))
    assert (ran.exit_code, broken in ran.stderr, "SOMEBODY" in ran.stderr) == (1, True, False)
    asked.clear()
    last = 15  # the headers of all, and the pixels of some
    alone = ["--workers", "1"]  # other processes have another memory://
    ran = ichnos("prepare", "rsna", "memory://rsna", "--test", "--out", str(tmp_path / "set"), *alone)
    assert (ran.exit_code, broken in ran.stderr) == (1, True), ran.stderr
    assert not (tmp_path / "set" / "header.json").exists()
    monkeypatch.undo()
    ran = ichnos(
        "prepare", "rsna", "memory://rsna", "--test", "--out", str(tmp_path / "set"), "--workers", "1", "--json"
    )
    assert (json.loads(ran.stdout)["slices"], json.loads(ran.stdout)["skipped"]) == (12, 0)
