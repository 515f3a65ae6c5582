"""Where `ichnos predict` writes: a full disk, what lies there already, what is not ours."""

import errno
import json
import os
from pathlib import Path

import pytest

from ichnos.counting import counted
from tests.dicom.head_files import as_series, head_datasets, write
from tests.inference.networks import brightness
from tests.stories.predicting import (
    ALL_FORMATS,
    bundle_file,
    findings,
    good_exam,
    predict,
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It calls bright slices: of the head some, not all."""
    return bundle_file(tmp_path_factory.mktemp("bundle") / "tiny.ichnos", brightness(level=-385, gain=0.05))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("which", [1, 4, 8, 9])
def test_a_full_disk_leaves_whole_files_and_a_way_on(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch, number: int, which: int
) -> None:
    """Of ten files the first, one of each exam's, or the page of all; with room again --force finishes the work."""
    paths = [good_exam(tmp_path / "a"), good_exam(tmp_path / "b", study=2)]
    written = 0
    flush = os.fsync

    def fsync(descriptor: int) -> None:
        nonlocal written
        written += 1
        if written >= which:
            raise OSError(number, os.strerror(number))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    ran = predict(bundle, tmp_path / "out", *paths, "--format", "sr,key-objects,html")
    assert ran.exit_code == 1
    assert ("the disk is full" if number != errno.EFBIG else "File too large") in ran.stderr
    assert f"with --force: {counted((which - 1) // 4, 'exam')} written there" in ran.stderr
    assert "Traceback" not in ran.stderr
    there = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(there) == which - 1
    assert not any(path.name.endswith(".tmp") for path in there)
    for path in there:
        json.loads(path.read_text()) if path.suffix == ".json" else path.read_bytes()
    monkeypatch.undo()
    assert predict(bundle, tmp_path / "out", *paths).exit_code == 1, "without --force nothing is replaced"
    assert predict(bundle, tmp_path / "out", *paths, "--force").exit_code == 0
    assert {path.name for path in (tmp_path / "out").rglob("*.*")} == {"summary.json", "findings.json"}


def test_what_a_killed_call_was_writing_does_not_stand_in_the_way_of_force(tmp_path: Path, bundle: Path) -> None:
    folder = good_exam(tmp_path / "in")
    assert predict(bundle, tmp_path / "out", folder).exit_code == 0
    for torn in (".summary.json.machine-7.tmp", "exam-001/.findings.json.machine-7.tmp"):
        (tmp_path / "out" / torn).write_text("{")
    assert predict(bundle, tmp_path / "out", folder).exit_code == 1
    assert predict(bundle, tmp_path / "out", folder, "--force").exit_code == 0
    there = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert there == {"summary.json", "exam-001/findings.json"}


def test_an_output_folder_that_holds_something_is_left_alone_without_force(tmp_path: Path, bundle: Path) -> None:
    folder = good_exam(tmp_path / "in")
    assert predict(bundle, tmp_path / "out", folder, "--format", ALL_FORMATS).exit_code == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    ran = predict(bundle, tmp_path / "out", folder)
    assert ran.exit_code == 1
    assert "holds something already; give --out a new folder, or --force" in ran.stderr
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["thesis.docx", "report.html", "summary.json", "exam-photos/one.jpg", "exam-001"])
def test_what_is_no_finding_of_ours_is_never_touched(tmp_path: Path, bundle: Path, name: str) -> None:
    """Not even with --force; a link in the place of an exam's folder is none either."""
    out = tmp_path / "out"
    (out / name).parent.mkdir(parents=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "findings.json").write_text("of another")
    if name == "exam-001":
        (out / name).symlink_to(elsewhere)
    else:
        (out / name).write_text("of the user")
    ran = predict(bundle, out, good_exam(tmp_path / "in"), "--force")
    assert ran.exit_code == 1
    assert "other things than findings of ours" in ran.stderr
    assert (elsewhere / "findings.json").read_text() == "of another"
    assert [path.name for path in out.iterdir()] == [name.partition("/")[0]]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        *((name, None) for name in ("report.html", "sr.dcm", "heatmap-a.dcm")),
        *(("report.html", found) for found in ("no JSON", '["ichnos-findings"]', '{"form": "of another program"}')),
    ],
)
def test_an_exams_folder_that_another_program_wrote_is_never_touched(
    tmp_path: Path, bundle: Path, name: str, found: str | None
) -> None:
    """Its name alone does not make it ours, nor do those of its files."""
    folder = tmp_path / "out" / "exam-001"
    folder.mkdir(parents=True)
    files = {name: "of another program"} | ({} if found is None else {"findings.json": found})
    for each, content in files.items():
        (folder / each).write_text(content)
    ran = predict(bundle, tmp_path / "out", good_exam(tmp_path / "in"), "--force")
    assert ran.exit_code == 1
    assert "holds 1 exam folder" in ran.stderr
    assert "no findings.json of ichnos" in ran.stderr
    assert {path.name: path.read_text() for path in folder.iterdir()} == files


@pytest.mark.parametrize("which", [3, 4])
def test_what_a_call_with_force_left_when_it_was_stopped_can_be_replaced(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    """While it took away the old, after some files of an exam; an empty folder is what a full disk leaves."""
    folder, out = good_exam(tmp_path / "in"), tmp_path / "out"
    assert predict(bundle, out, folder, "--format", "sr,html").exit_code == 0
    (out / "exam-002").mkdir()
    unlink, gone = Path.unlink, 0

    def stopped(path: Path, missing_ok: bool = False) -> None:
        nonlocal gone
        gone += path.is_relative_to(out)
        if gone > which:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", stopped)
    assert predict(bundle, out, folder, "--force").exit_code == 1
    monkeypatch.undo()
    assert 0 < len(list((out / "exam-001").iterdir())) < 3, "some are gone, not all"
    assert predict(bundle, out, folder, "--force").exit_code == 0
    assert {path.relative_to(out).as_posix() for path in out.rglob("*.*")} == {"summary.json", "exam-001/findings.json"}


def test_an_output_folder_that_is_a_file_is_said(tmp_path: Path, bundle: Path) -> None:
    (tmp_path / "out").write_text("x")
    for words in ([], ["--force"]):
        ran = predict(bundle, tmp_path / "out", good_exam(tmp_path / "in"), *words)
        assert ran.exit_code == 1
        assert "give a folder that you may write to with --out" in ran.stderr
    assert (tmp_path / "out").read_text() == "x"


def test_with_force_no_finding_stays_that_the_summary_does_not_name(tmp_path: Path, bundle: Path) -> None:
    """Of three exams the first is now refused and the third is gone: their old findings would pass for new ones."""
    folders = [good_exam(tmp_path / name, study) for study, name in enumerate("abc", start=1)]
    out = tmp_path / "out"
    assert predict(bundle, out, *folders, "--format", ALL_FORMATS).exit_code == 0
    (out / "exam-003" / "notes.txt").write_text("of the user")
    chest = write(tmp_path / "chest", as_series(head_datasets(PixelSpacing=[8, 8]), 1))
    assert predict(bundle, out, chest, folders[1], "--force").exit_code == 3
    left = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert left == {"summary.json", "exam-002/findings.json", "exam-003/notes.txt"}


def test_findings_stay_where_a_new_call_finds_no_exam(tmp_path: Path, bundle: Path) -> None:
    assert predict(bundle, tmp_path / "out", good_exam(tmp_path / "in")).exit_code == 0
    assert predict(bundle, tmp_path / "out", tmp_path / "absent", "--force").exit_code == 1
    assert findings(tmp_path / "out")["form"] == "ichnos-findings"
