"""Files of one exam: all that was asked for, nothing overwritten unasked, and what was not written said."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from ichnos.errors import OutputError
from ichnos.reporting.exam import ExamResult, Format, write_outputs
from tests.dicom.head_files import head_datasets, write
from tests.reporting.exam.results import result_of, write_nifti

FILES = [
    *("sr.dcm", "key-objects.dcm"),
    *(f"{kind}-{each}.dcm" for each in ("any", "intraventricular", "subdural") for kind in ("heatmap", "map")),
    "report.html",
]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_all_formats(result: ExamResult, tmp_path: Path) -> None:
    written = write_outputs(result, Format, tmp_path / "exam-001")
    assert written.files == FILES
    assert names(tmp_path / "exam-001") == sorted(FILES)
    assert not written.refused
    assert not written.empty


def test_only_what_was_asked_for(result: ExamResult, tmp_path: Path) -> None:
    assert write_outputs(result, [Format.HTML, Format.JSON], tmp_path).files == ["report.html"]
    assert names(tmp_path) == ["report.html"]


def test_nothing_is_replaced_without_force(result: ExamResult, tmp_path: Path) -> None:
    (tmp_path / "heatmap-epidural.dcm").write_bytes(b"before")
    with pytest.raises(OutputError, match=r"heatmap-epidural\.dcm exists; give --out another folder, or --force"):
        write_outputs(result, [Format.SR], tmp_path)
    assert names(tmp_path) == ["heatmap-epidural.dcm"]


def test_with_force_nothing_of_an_earlier_call_stays_to_mislead(
    result: ExamResult, head_folder: Path, tmp_path: Path
) -> None:
    write_outputs(result, Format, tmp_path)
    (tmp_path / "notes.txt").write_text("of the user")
    write_outputs(result_of(head_folder, called={}), [Format.SR], tmp_path, force=True)
    assert names(tmp_path) == ["notes.txt", "sr.dcm"]


def test_a_network_without_class_maps_has_no_heatmaps_and_says_why(result: ExamResult, tmp_path: Path) -> None:
    written = write_outputs(replace(result, maps=None), Format, tmp_path)
    assert written.files == [name for name in FILES if not name.startswith(("heatmap-", "map-"))]
    assert written.refused == {
        Format.HEATMAP: "this bundle's network has no class maps, so there is nothing to show where it looked"
    }
    assert not written.empty


def test_nothing_called_has_a_report_and_no_key_slices(head_folder: Path, tmp_path: Path) -> None:
    written = write_outputs(result_of(head_folder, called={}), Format, tmp_path)
    assert written.files == ["sr.dcm", "report.html"]
    assert written.empty == dict.fromkeys(
        [Format.KEY_OBJECTS, Format.HEATMAP], "no hemorrhage is called, so no slice is key"
    )
    assert not written.refused


def test_of_nifti_the_page_alone(tmp_path: Path) -> None:
    result = result_of(write_nifti(tmp_path / "head.nii"))
    written = write_outputs(result, Format, tmp_path / "out")
    assert written.files == ["report.html"]
    assert set(written.refused) == {Format.SR, Format.KEY_OBJECTS, Format.HEATMAP}
    assert all("give the DICOM exam" in reason for reason in written.refused.values())


def test_a_source_that_went_away_is_said(tmp_path: Path) -> None:
    folder = write(tmp_path / "head", head_datasets())
    result = result_of(folder)
    for path in folder.iterdir():
        path.unlink()
    written = write_outputs(result, [Format.SR, Format.HTML], tmp_path / "out")
    assert written.files == ["report.html"]
    assert list(written.refused) == [Format.SR]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_what_cannot_be_written_is_explained_and_leaves_no_half(
    result: ExamResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OutputError, match=r"disk is full|give a folder that you may write to"):
        write_outputs(result, [Format.SR], tmp_path)
    assert names(tmp_path) == []
