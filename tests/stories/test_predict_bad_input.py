"""`ichnos predict` on what is damaged or hostile: the exam beside it is read, and what is wrong is said."""

import errno
import json
import os
import re
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.uid import RLELossless

from ichnos.dicom import decoder
from ichnos.dicom.decoder import Decoder
from tests.dicom.ct_files import file_of
from tests.dicom.head_files import SLICES, as_series, head_datasets, write
from tests.inference.networks import brightness
from tests.stories.predicting import (
    ALL_FORMATS,
    bundle_file,
    findings,
    good_exam,
    nifti_of,
    predict,
    summary,
    zipped,
)
from tests.stories.running import Ran


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It calls bright slices: of the head some, not all."""
    return bundle_file(tmp_path_factory.mktemp("bundle") / "tiny.ichnos", brightness(level=-385, gain=0.05))


def reasons(out: Path) -> list[str]:
    return [each["reason"] for each in summary(out)["unreadable"]]


def read_beside(ran: Ran, out: Path) -> None:
    """Exit 3: the exam that is given beside what is bad is read, the rest is said."""
    assert ran.exit_code == 3, ran
    read = [exam for exam in summary(out)["exams"] if exam["findings"]]
    assert [exam["geometry"]["slices"] for exam in read] == [SLICES]
    assert "Traceback" not in ran.stderr


# Zips


def one_huge_member(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("bomb", bytes(300 << 20))


def many_members(path: Path) -> None:
    """100,001 entries of one file's bytes: a list of files as long as that is written by hand."""
    entry = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0) + b"a"
    local = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 0, 0, 0, zlib.crc32(b"a"), 1, 1, 1, 0) + b"aa"
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 100_001 * len(entry), len(local), 0)
    path.write_bytes(local + 100_001 * entry + end)


def zips_in_zips(path: Path) -> None:
    inner = BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("deeper.zip", inner.getvalue() or b"PK\x05\x06" + bytes(18))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inner.zip", inner.getvalue())


def sizes_too_small(path: Path) -> None:
    """Members that unpack to more than the list of files says."""
    _lying(path, offset=24, value=64)


def sizes_too_large(path: Path) -> None:
    """Members that unpack to less than the list of files says, and a list that says 2 GB."""
    _lying(path, offset=24, value=2 << 30)


def packed_sizes_too_large(path: Path) -> None:
    """A list that hides a bomb: it says that what is packed takes as much as what is not."""
    one_huge_member(path)
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.rindex(b"PK\x01\x02") + 20, 300 << 20)
    path.write_bytes(content)


def _lying(path: Path, offset: int, value: int) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for k, dataset in enumerate(as_series(head_datasets(), 1, study=7)):
            archive.writestr(f"{k}", file_of(dataset))
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02")
    while at >= 0:
        struct.pack_into("<I", content, at + offset, value)
        at = content.find(b"PK\x01\x02", at + 4)
    path.write_bytes(content)


ZIPS: dict[str, tuple[Callable[[Path], None], str]] = {
    "one huge member": (one_huge_member, "a zip of 1 MB that would unpack to 300 MB is not opened"),
    "many members": (many_members, "a zip of 100,001 files is not opened"),
    "zips in zips": (zips_in_zips, "a zip inside a zip is not opened"),
    "sizes too small": (sizes_too_small, "damaged"),
    "sizes too large": (sizes_too_large, "would unpack to 24,576 MB is not opened"),
    "packed sizes too large": (packed_sizes_too_large, "would unpack to 300 MB is not opened"),
    "cut short": (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(500)), "a zip file is damaged or cut short"),
}


@pytest.mark.parametrize("name", ZIPS)
def test_zip_bombs_and_liars_are_refused_beside_an_exam_that_is_read(tmp_path: Path, bundle: Path, name: str) -> None:
    make, reason = ZIPS[name]
    make(tmp_path / "bad.zip")
    begun = time.process_time()
    ran = predict(bundle, tmp_path / "out", tmp_path / "bad.zip", good_exam(tmp_path / "good"))
    assert time.process_time() - begun < 5
    read_beside(ran, tmp_path / "out")
    refusals = [exam["refusal"] or "" for exam in summary(tmp_path / "out")["exams"]]
    assert any(reason in each for each in [*reasons(tmp_path / "out"), *refusals])


@pytest.mark.parametrize("prefix", ["../../", "/", "C:\\", "a/../../../", "\\\\host\\share\\"])
def test_names_in_a_zip_lead_nowhere(tmp_path: Path, bundle: Path, prefix: str) -> None:
    """The exam is read from the zip, and nothing is written anywhere but into the folder of findings."""
    place = tmp_path / "deep" / "er"
    archive = zipped(tmp_path / "exam.zip", good_exam(tmp_path / "in"), prefix)
    assert all(name.startswith(prefix) for name in zipfile.ZipFile(archive).namelist())
    before = set(tmp_path.rglob("*"))
    ran = predict(bundle, place / "out", archive, "--format", "html")
    assert ran.exit_code == 0, ran
    new = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert {path.relative_to(place / "out").as_posix() for path in new} == {
        "summary.json",
        "report.html",
        "exam-001/findings.json",
        "exam-001/report.html",
    }


# Links, permissions


def test_links_are_not_followed_out_and_do_not_stop_the_exam(tmp_path: Path, bundle: Path) -> None:
    folder = good_exam(tmp_path / "exam")
    secret = good_exam(tmp_path / "elsewhere", study=5)
    (folder / "to-a-file").symlink_to(next(secret.iterdir()))
    (folder / "to-a-folder").symlink_to(secret)
    (folder / "to-itself").symlink_to(folder / "to-itself")
    (folder / "round").symlink_to(folder / "about")
    (folder / "about").symlink_to(folder / "round")
    (folder / "up").symlink_to(folder)
    (folder / "dangling").symlink_to(tmp_path / "absent")
    ran = predict(bundle, tmp_path / "out", folder)
    read_beside(ran, tmp_path / "out")
    assert [(each["files"], each["reason"][:25]) for each in summary(tmp_path / "out")["unreadable"]] == [
        (7, "a link that leads out of ")
    ]
    assert len(summary(tmp_path / "out")["exams"]) == 1
    assert any("7 files beside it could not be read" in each for each in findings(tmp_path / "out")["doubts"])
    assert predict(bundle, tmp_path / "none", folder / "dangling").exit_code == 1
    assert predict(bundle, tmp_path / "nor", folder / "round").exit_code == 1


def test_what_may_not_be_read_is_said_and_the_rest_is_read(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests may run as root, who may read everything: the system's answer is put in its place."""
    folder = good_exam(tmp_path / "exam")
    good_exam(folder / "locked", study=2)
    (folder / "a-locked-file").write_bytes(b"x")
    listed, opened = os.scandir, Path.open

    def scandir(path: Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return listed(path)

    def denied(path: Path, *args: object, **kwargs: object) -> object:
        if path.name == "a-locked-file":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr("os.scandir", scandir)
    monkeypatch.setattr(Path, "open", denied)
    ran = predict(bundle, tmp_path / "out", folder)
    read_beside(ran, tmp_path / "out")
    assert sorted(reasons(tmp_path / "out")) == [
        "a folder cannot be opened: no permission to read it; grant it",
        "it cannot be opened: no permission to read it; grant it",
    ]
    alone = predict(bundle, tmp_path / "alone", folder / "locked")
    assert alone.exit_code == 1
    assert "no exam found: a folder cannot be opened: no permission to read it; grant it" in alone.stderr


# Damaged and hanging files


def test_truncated_files(tmp_path: Path, bundle: Path) -> None:
    """A slice cut in its pixels and one cut in its header: both missing, with a doubt; all of them cut: refused."""
    folder = good_exam(tmp_path / "in")
    files = sorted(folder.iterdir())
    files[3].write_bytes(files[3].read_bytes()[:-1000])
    files[7].write_bytes(files[7].read_bytes()[:200])
    ran = predict(bundle, tmp_path / "out", folder)
    assert ran.exit_code == 3
    found = findings(tmp_path / "out")
    assert len(found["slices"]) == SLICES - 2
    assert found["doubts"][0].startswith(
        "1 of 11 slices could not be read, and the gap that this leaves was not looked"
    )
    assert "the first because: it is cut short" in found["doubts"][0]
    assert any(doubt.startswith("1 file beside it could not be read") for doubt in found["doubts"])
    assert summary(tmp_path / "out")["exams"][0]["skipped"][0]["slices"] == 1
    for path in files:
        path.write_bytes(path.read_bytes()[:-1000])
    ran = predict(bundle, tmp_path / "none", folder)
    assert ran.exit_code == 1
    assert "tried cannot be read" in ran.stdout
    assert [path.name for path in (tmp_path / "none").iterdir()] == ["summary.json"]


@pytest.mark.parametrize("name", ["head.nii", "head.nii.gz"])
def test_truncated_volumes(tmp_path: Path, bundle: Path, name: str) -> None:
    data = nifti_of(0, "RAS", packed=name.endswith(".gz"))
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    ran = predict(bundle, tmp_path / "out", tmp_path / name, good_exam(tmp_path / "good"))
    read_beside(ran, tmp_path / "out")
    assert "cut short" in ran.stdout


SECONDS = 2.0
"""A decoder's time for a slice: enough for those that do not hang, on a busy machine too."""


@pytest.mark.parametrize(
    ("fate", "said"),
    [("time.sleep(60)", "could not be decoded in 2 seconds"), ("os.abort()", "decoding them crashed")],
    ids=["hangs", "crashes"],
)
def test_a_file_that_hangs_or_crashes_a_decoder_costs_its_slice_alone(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch, fate: str, said: str
) -> None:
    """C decoders cannot be made to hang at will, so the process that runs them is: at one slice of the first exam."""
    datasets = as_series(head_datasets(), 1)
    datasets[4].PixelData = b"\x12\x34" + datasets[4].PixelData[2:]
    for dataset in datasets:
        dataset.compress(RLELossless, generate_instance_uid=False)
    hostile = (
        "import os, time, ichnos.dicom.decoding as d; whole = d._decoded;"
        f"d._decoded = lambda *a: (c := whole(*a), {fate} if int(c.flat[0]) == 0x3412 else None)[0]; serve(int"
    )
    monkeypatch.setattr(decoder, "_BEGIN", decoder._BEGIN.replace("serve(int", hostile))
    own = Decoder(limit=SECONDS)
    monkeypatch.setattr("ichnos.dicom.exams.shared_decoder", lambda: own)
    with own:
        folder = write(tmp_path / "in", datasets, syntax=RLELossless)
        begun = time.monotonic()
        ran = predict(bundle, tmp_path / "out", folder, good_exam(tmp_path / "good", study=2))
        assert time.monotonic() - begun < 40, "the slice was waited for"
    assert ran.exit_code == 3, ran
    assert len(findings(tmp_path / "out")["slices"]) == SLICES - 1
    assert said in findings(tmp_path / "out")["doubts"][0]
    assert len(findings(tmp_path / "out", 2)["slices"]) == SLICES


# One exam of many


def test_a_fault_in_one_exam_stops_neither_the_others_nor_names_anyone(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ichnos.workflows.predict as workflow

    folders = [good_exam(tmp_path / name, study) for study, name in enumerate("abc", start=1)]
    whole = workflow.classify_reading

    def faulty(reading, *rest):  # type: ignore[no-untyped-def]
        if reading.found.number == 2:
            raise ValueError("Somebody^Known has no 1.2.3")
        return whole(reading, *rest)

    monkeypatch.setattr(workflow, "classify_reading", faulty)
    ran = predict(bundle, tmp_path / "out", *folders)
    assert ran.exit_code == 3
    assert re.search(
        r"exam 2: refused: a fault of ichnos \(ValueError at test_\w+\.py:\d+\); please report it", ran.stdout
    )
    assert not re.search(r"somebody|1\.2\.3", ran.stdout + ran.stderr, re.IGNORECASE)
    assert [bool(exam["findings"]) for exam in summary(tmp_path / "out")["exams"]] == [True, False, True]


def test_a_fault_in_one_form_stops_no_other(tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(*_args: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr("ichnos.reporting.exam.key_objects.key_objects", faulty)
    ran = predict(bundle, tmp_path / "out", good_exam(tmp_path / "in"), "--format", ALL_FORMATS)
    assert ran.exit_code == 3
    (exam,) = summary(tmp_path / "out")["exams"]
    assert exam["refused_formats"] == {"key-objects": "it takes more memory than there is"}
    assert {"exam-001/findings.json", "exam-001/sr.dcm", "exam-001/report.html"} <= set(exam["files"])


def test_bad_ones_of_every_kind_beside_two_good_ones(tmp_path: Path, bundle: Path) -> None:
    """In one folder: a chest, a cut volume, a bomb, rubbish, an empty file, a dangling link: all is said."""
    folder = tmp_path / "in"
    good_exam(folder / "a", study=1)
    good_exam(folder / "z", study=9)
    write(folder / "chest", as_series(head_datasets(PixelSpacing=[8, 8]), 1, study=5))
    (folder / "cut.nii").write_bytes(nifti_of(0, "LPS")[:5000])
    many_members(folder / "bomb.zip")
    (folder / "empty").touch()
    (folder / "rubbish").write_bytes(os.urandom(3000))
    (folder / "damaged.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 900)
    (folder / "link").symlink_to(tmp_path / "absent")
    ran = predict(bundle, tmp_path / "out", folder, "--json")
    assert ran.exit_code == 3
    told = json.loads(ran.stdout)
    assert told == summary(tmp_path / "out")
    assert sorted(bool(exam["findings"]) for exam in told["exams"]) == [False, False, True, True]
    assert told["other_files"] == 1
    assert len(told["unreadable"]) == 4
