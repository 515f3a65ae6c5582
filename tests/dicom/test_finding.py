"""Finding files: nested folders, zips, links, DICOMDIR; what must not be opened is not."""

import os
import struct
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from ichnos.dicom import finding
from ichnos.dicom.exams import find_exams, read_exam
from ichnos.dicom.finding import FoundFile, Unreadable, find_files
from tests.dicom.head_files import head, head_datasets, write


def files(*paths: Path) -> list[FoundFile]:
    return [found for found in find_files(paths) if isinstance(found, FoundFile)]


def reasons(*paths: Path) -> list[str]:
    return [found.reason for found in find_files(paths) if isinstance(found, Unreadable)]


def test_nested_folders_any_names(tmp_path: Path) -> None:
    for name in ("b/deep/er/x", "a", "ä ö.txt", "b/IM 0001"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"data")
    found = [f.path.relative_to(tmp_path).as_posix() for f in files(tmp_path)]
    assert found == [
        "a",
        "ä ö.txt",
        "b/IM 0001",
        "b/deep/er/x",
    ]
    assert [f.read() for f in files(tmp_path)] == [b"data"] * 4


def test_what_systems_leave_in_folders_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "._a").write_bytes(b"x")
    assert list(find_files([tmp_path])) == []


def test_links_are_not_followed_out(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "own").write_bytes(b"own")
    (inside / "to_own").symlink_to(inside / "own")
    (inside / "to_secret").symlink_to(tmp_path / "outside" / "secret")
    (inside / "to_folder").symlink_to(tmp_path / "outside")
    (inside / "to_itself").symlink_to(inside)
    (inside / "to_nowhere").symlink_to(tmp_path / "absent")
    assert [f.path.name for f in files(inside)] == ["own"]
    assert len(reasons(inside)) == 4
    assert all("a link that leads out" in reason for reason in reasons(inside))


def test_links_that_run_in_a_circle_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "own").write_bytes(b"own")
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "itself").symlink_to(tmp_path / "itself")
    assert [f.path.name for f in files(tmp_path)] == ["own"]
    assert len(reasons(tmp_path)) == 3
    assert "symbolic links" in reasons(tmp_path / "a")[0]


def test_a_path_that_is_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "own").write_bytes(b"own")
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    assert len(files(tmp_path / "link")) == 1


def test_pipes_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert reasons(tmp_path) == ["a device, pipe or socket is not read"]
    assert "neither a file nor a folder" in reasons(tmp_path / "pipe")[0]


def test_an_unreadable_folder_and_file_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "locked").mkdir()
    (tmp_path / "file").write_bytes(b"data")
    listed, opened = os.scandir, Path.open

    def scandir(path: Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    def denied(path: Path, *args: object, **kwargs: object) -> object:
        if path.name == "file":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr("os.scandir", scandir)  # tests may run as root, who may read everything
    monkeypatch.setattr(Path, "open", denied)
    assert any("a folder cannot be opened: no permission to read it" in reason for reason in reasons(tmp_path))
    assert any("no permission to read it" in reason for reason in reasons(tmp_path))
    assert not any(str(tmp_path) in reason for reason in reasons(tmp_path))


def test_absent_and_empty(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert "does not exist" in reasons(tmp_path / "absent")[0]
    assert reasons(tmp_path) == ["an empty file; copy it again"]


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_zip_is_never_unpacked_whatever_its_names_say(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"../../escape": b"one", "/absolute": b"two", "plain": b"three"})
    assert sorted(f.read() for f in files(archive)) == [b"one", b"three", b"two"]
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]
    assert not (tmp_path.parent / "escape").exists()


def test_an_empty_member_is_told_as_an_empty_file_is(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a/", "")
        archive.writestr("a/slice", "")
    assert reasons(tmp_path) == ["an empty file; copy it again"]


def test_two_members_of_one_name_are_two_files(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"same": b"one", "sane": b"two"})
    path.write_bytes(path.read_bytes().replace(b"sane", b"same"))
    assert [f.read() for f in files(tmp_path / "a.zip")] == [b"one", b"two"]


def test_a_zip_in_a_zip_is_refused(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", {"x": b"x"}).read_bytes()
    outer = zipped(tmp_path / "outer.zip", {"inner.zip": inner, "ok": b"ok"})
    assert reasons(outer) == ["a zip inside a zip is not opened; unpack the outer one"]
    assert len(files(outer)) == 1


def test_a_zip_bomb_is_not_opened(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "bomb.zip", {f"{n}": bytes(100 << 20) for n in range(3)})
    assert archive.stat().st_size < 1 << 20
    (reason,) = reasons(archive)
    assert "would unpack to 300 MB" in reason
    assert files(archive) == []


def small(packed: int) -> int:
    return max(1 << 20, 200 * packed)


def test_a_bomb_whose_list_lies_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list says that 4 MB of zeros take 4 MB packed; the file has 4 kB."""
    monkeypatch.setattr(finding, "most_unpacked", small)
    path = zipped(tmp_path / "a.zip", {"a": bytes(4 << 20)})
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.rindex(b"PK\x01\x02") + 20, 4 << 20)
    path.write_bytes(content)
    assert "would unpack to 4 MB" in reasons(path)[0]


def test_a_bomb_that_counts_the_same_bytes_many_times_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "most_unpacked", small)
    path = zipped(tmp_path / "a.zip", {"a": os.urandom(30_000)})
    content = path.read_bytes()
    at = content.rindex(b"PK\x01\x02")
    entry, end = content[at : content.rindex(b"PK\x05\x06")], bytearray(content[content.rindex(b"PK\x05\x06") :])
    struct.pack_into("<HHI", end, 8, 300, 300, 300 * len(entry))
    path.write_bytes(content[:at] + 300 * entry + end)
    assert "would unpack to 8 MB" in reasons(path)[0]
    assert files(path) == []


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_that_unpack_without_measure_are_refused(tmp_path: Path, method: int) -> None:
    """A reader that asks zipfile for 4 bytes of them gets all that 4 kB unpack to."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("a", bytes(1000))
    assert "packed in an unusual way" in reasons(tmp_path / "a.zip")[0]
    assert files(tmp_path / "a.zip") == []


@pytest.mark.parametrize("large", [False, True], ids=["plain", "zip64"])
def test_a_list_of_files_beyond_measure_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    def opened(*_args: object) -> None:
        raise AssertionError

    path = zipped(tmp_path / "a.zip", {"a": b"a"})
    content = path.read_bytes()
    end = content.rindex(b"PK\x05\x06")
    if large:
        record = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, 40 << 20, 0)
        locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1)
        path.write_bytes(content[:end] + record + locator + content[end:])
    else:
        path.write_bytes(content[: end + 12] + struct.pack("<I", 40 << 20) + content[end + 16 :])
    monkeypatch.setattr(finding, "ZipFile", opened)
    assert reasons(path) == ["a zip whose list of files takes 40 MB is not opened; split it"]


def test_a_zip_of_too_many_files_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "MOST_MEMBERS", 2)
    assert "a zip of 3 files" in reasons(zipped(tmp_path / "a.zip", {"a": b"a", "b": b"b", "c": b"c"}))[0]


def test_a_member_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a": b"a" * 1000})
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    struct.pack_into("<I", content, at + 24, 10)  # the directory's uncompressed size
    path.write_bytes(content)
    assert len(files(path)) == 0 or len(files(path)[0].read()) <= 10


@pytest.mark.parametrize("keep", [30, 0.5, -4])
def test_a_zip_cut_short_is_refused(tmp_path: Path, keep: float) -> None:
    path = zipped(tmp_path / "a.zip", {"a": os.urandom(1000)})
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if keep == 0.5 else int(keep)])
    assert "damaged or cut short" in reasons(path)[0]


def test_a_damaged_member_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a": os.urandom(1000), "b": b"fine"})
    content = bytearray(path.read_bytes())
    content[500] ^= 0xFF
    path.write_bytes(content)
    assert "damaged in the zip" in reasons(path)[0]
    assert [f.read() for f in files(path)] == [b"fine"]


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a": b"a" * 100})
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert "encrypted" in reasons(path)[0]


def test_a_file_beyond_measure_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "big").open("wb") as stream:
        stream.truncate(finding.LARGEST_FILE + 1)
    assert "MB are read" in reasons(tmp_path)[0]


def directory(names: list[list[str]]) -> bytes:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    records = []
    for name in names:
        record = Dataset()
        record.DirectoryRecordType = "IMAGE"
        record.add(DataElement(0x00041500, "CS", name, validation_mode=config.IGNORE))
        records.append(record)
    dataset.DirectoryRecordSequence = Sequence(records)
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


@pytest.mark.parametrize("given", ["DICOMDIR", ""], ids=["the index", "the folder"])
def test_a_dicomdir_leads_to_its_files(tmp_path: Path, given: str) -> None:
    disc = tmp_path / "disc"
    write(disc / "im", head_datasets(), "img")
    names = sorted(path.name for path in (disc / "im").iterdir())
    (disc / "DICOMDIR").write_bytes(directory([["IM", name.upper()] for name in names]))
    np.testing.assert_array_equal(read_exam(disc / given).hu, head().hu)


def test_a_dicomdir_leads_to_no_file_outside_its_folder(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere", head_datasets(), "img")
    disc = tmp_path / "disc"
    disc.mkdir()
    (disc / "link").symlink_to(tmp_path / "elsewhere")
    name = sorted(path.name for path in (tmp_path / "elsewhere").iterdir())[0]
    listed = [["..", "elsewhere", name], ["link", name], ["ABSENT"]]
    (disc / "DICOMDIR").write_bytes(directory(listed))
    found = find_exams([disc / "DICOMDIR"])
    assert found.exams == ()
    assert sorted(u.reason[:50] for u in found.unreadable) == [
        "a DICOMDIR refers to a file outside its folder, wh",
        "a DICOMDIR refers to a file outside its folder, wh",
        "a DICOMDIR refers to a file that is not there; cop",
    ]


@pytest.mark.parametrize(("name", "reason"), [("A" * 300, "cannot be opened"), ("LOOP", "is not there")])
def test_a_dicomdir_of_odd_names_is_no_trouble(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "LOOP").symlink_to(tmp_path / "LOOP")
    (tmp_path / "DICOMDIR").write_bytes(directory([[name], [name, "X"]]))
    assert reason in find_exams([tmp_path / "DICOMDIR"]).unreadable[0].reason


def test_a_damaged_dicomdir_is_said(tmp_path: Path) -> None:
    (tmp_path / "DICOMDIR").write_bytes(directory([["A"]])[:-9])
    assert find_exams([tmp_path / "DICOMDIR"]).exams == ()


ALTERNATELY = """
import os, sys

os.sched_getaffinity = lambda _: set(range(8))
from pathlib import Path
from ichnos.dicom.finding import FoundFile

whole, reads = FoundFile.read, []
FoundFile.read = lambda self, limit=None: reads.append(limit) or whole(self, limit)
files = [FoundFile(Path(path), 0, 4000, member=0) for path in sys.argv[1:]]
for k in range(10):
    assert [file.read_part(k, 1) for file in files] == [b"a", b"b"]
print(len(reads))
"""


def test_exams_read_side_by_side_do_not_make_each_other_unpack_again(tmp_path: Path) -> None:
    """Where there are cores for two at once; each holds one multi-frame file in a zip."""
    zips = [tmp_path / name for name in ("a.zip", "b.zip")]
    for path in zips:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("multi", path.stem * 4000)
    words = [sys.executable, "-c", ALTERNATELY, *map(str, zips)]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "2\n"
