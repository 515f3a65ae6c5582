"""RSNA 2019: the same exams from folder and zip, whatever the order of files; and all that may be wrong with a tree."""

import errno
import os
import pickle
import random
import zipfile
from pathlib import Path

import pytest

from ichnos.data.sources import headers
from ichnos.data.sources.rsna import RsnaSource
from ichnos.dicom import PixelEncoding
from ichnos.errors import OutputError, SourceError
from ichnos.progress import SILENT
from tests.data.sources.rsna_trees import (
    EXAMS,
    SLICES,
    all_rows,
    assert_same,
    image_id,
    label_rows,
    read_all,
    slice_bytes,
    write_files,
    write_tree,
    zip_tree,
)
from tests.dicom.ct_files import changed


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "rsna")


def test_exams_are_grouped_ordered_and_labelled(tree: Path, tmp_path: Path) -> None:
    source = RsnaSource(tree)
    scan = source.scan(SILENT, tmp_path)
    assert (source.name, len(scan.exams), len(scan.skipped)) == ("rsna", EXAMS, 0)
    for number, reference in enumerate(scan.exams):
        exam = source.read(reference)
        assert (exam.patient, exam.exam, exam.series) == (f"ID_{number // 2}", f"ID_57{number}", f"ID_5e{number}")
        assert reference.slice_count == len(exam.slices) == SLICES
        assert [each.name for each in exam.slices] == [image_id(number, index) for index in range(SLICES)]
        assert [each.offset for each in exam.slices] == [-40, -35, -30, -25]
        assert [int(each.hu[0, 0]) for each in exam.slices] == [100 * number + index for index in range(SLICES)]
        assert [each.labels.sum() for each in exam.slices] == [0, 0, 0, 1]
        assert exam.slices[-1].labels[number]


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_folder_and_zip_yield_the_same(tree: Path, tmp_path: Path, method: int) -> None:
    archive = zip_tree(tree, tmp_path / "rsna.zip", method)
    assert_same(read_all(RsnaSource(archive), tmp_path / "a"), read_all(RsnaSource(tree), tmp_path / "b"))


def test_the_folder_above_will_do(tmp_path: Path) -> None:
    write_tree(tmp_path / "down" / "rsna-intracranial-hemorrhage-detection")
    assert len(read_all(RsnaSource(tmp_path / "down"), tmp_path)) == EXAMS


def test_stage_1_is_read_under_its_own_names(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "one", images="stage_1_train_images", table="stage_1_train.csv")
    assert len(read_all(RsnaSource(root), tmp_path)) == EXAMS
    with pytest.raises(SourceError, match=r"stage_2_train\.csv"):
        RsnaSource(root, stage="stage_2").scan(SILENT, tmp_path)


@pytest.mark.parametrize("seed", range(3))
def test_order_on_disk_and_of_rows_does_not_matter(tree: Path, tmp_path: Path, seed: int) -> None:
    shuffled = random.Random(seed)
    files = {image_id(exam, index): slice_bytes(exam, index) for exam in range(EXAMS) for index in range(SLICES)}
    names = list(files)
    shuffled.shuffle(names)
    rows = all_rows()
    shuffled.shuffle(rows)
    other = write_files(
        tmp_path / "other", {name: files[name] for name in names}, rows, "stage_2_train", "stage_2_train.csv"
    )
    assert_same(read_all(RsnaSource(tree), tmp_path / "a"), read_all(RsnaSource(other), tmp_path / "b"))


def test_sources_travel_between_processes(tree: Path, tmp_path: Path) -> None:
    source = RsnaSource(tree, workers=1)
    scan = source.scan(SILENT, tmp_path)
    again, reference = pickle.loads(pickle.dumps((source, scan.exams[0])))
    assert_same([again.read(reference)], [source.read(scan.exams[0])])


def test_many_processes_find_what_one_finds(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = RsnaSource(tree, workers=1).scan(SILENT, tmp_path)
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(headers, "_CHUNK", 5)
    assert RsnaSource(tree, workers=2).scan(SILENT, tmp_path / "scratch") == expected


def test_a_killed_scan_continues(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "_CHUNK", 5)
    expected = RsnaSource(tree, workers=1).scan(SILENT, tmp_path)
    tables = sorted(tmp_path.glob("headers-*.parquet"))
    assert len(tables) == 3
    tables[1].unlink()
    read: list[str] = []
    scan_file = headers._scan_file
    noting = lambda store, file, start: read.append(file[0]) or scan_file(store, file, start)  # noqa: E731
    monkeypatch.setattr(headers, "_scan_file", noting)
    assert RsnaSource(tree, workers=1).scan(SILENT, tmp_path) == expected
    assert 0 < len(read) <= 5, "only the lost table's files are read again"


def test_disk_full_says_so_of_the_headers_table(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="the disk is full: headers-"):
        RsnaSource(tree, workers=1).scan(SILENT, tmp_path)


def test_repeated_positions_are_kept_in_the_order_of_their_identifiers(tmp_path: Path) -> None:
    names = ["ID_00000000c", "ID_00000000a", "ID_00000000b"]
    data = slice_bytes(0, 0)
    files = {name: data.replace(image_id(0, 0).encode(), name.encode()) for name in names}
    rows = [row for name in names for row in label_rows(name)]
    root = write_files(tmp_path / "same", files, rows, "stage_2_train", "stage_2_train.csv")
    (exam,) = read_all(RsnaSource(root), tmp_path)
    assert [each.name for each in exam.slices] == sorted(names)


def test_ids_without_files_and_files_without_ids_are_counted(tmp_path: Path) -> None:
    rows = all_rows()[6:] + label_rows("ID_0000absent")
    scan = RsnaSource(write_tree(tmp_path / "rsna", rows)).scan(SILENT, tmp_path)
    assert {each.name: each.reason for each in scan.skipped} == {
        image_id(0, 0): "it has a file, but no labels",
        "ID_0000absent": "it has labels, but no file",
    }
    assert sum(each.slice_count for each in scan.exams) == EXAMS * SLICES - 1


def test_the_truncated_file_is_skipped_with_its_reason(tree: Path, tmp_path: Path) -> None:
    path = tree / "stage_2_train" / f"{image_id(1, 2)}.dcm"
    path.write_bytes(path.read_bytes()[:-50])
    archive = zip_tree(tree, tmp_path / "rsna.zip")
    for root in (tree, archive):
        exam = read_all(RsnaSource(root), tmp_path)[1]
        assert len(exam.slices) == SLICES - 1
        assert [each.name for each in exam.skipped] == [image_id(1, 2)]
        assert exam.skipped[0].reason.startswith("it is cut short: 78 of 128 bytes of pixels")


@pytest.mark.parametrize(
    ("keyword", "value", "reason"),
    [
        ("Modality", "MR", "not CT"),
        ("PhotometricInterpretation", "MONOCHROME1", "MONOCHROME1"),
        ("PhotometricInterpretation", "RGB", "colour"),
        ("NumberOfFrames", 2, "multi-frame"),
        ("RescaleIntercept", None, "HU cannot be known"),
        ("ImageOrientationPatient", [1, 0, 0, 0, 0, -1], "not an axial slice"),
    ],
)
def test_files_that_are_no_ct_slice_are_skipped(
    tree: Path, tmp_path: Path, keyword: str, value: object, reason: str
) -> None:
    path = tree / "stage_2_train" / f"{image_id(2, 0)}.dcm"
    path.write_bytes(changed(lambda dataset: setattr(dataset, keyword, value)))
    scan = RsnaSource(tree).scan(SILENT, tmp_path)
    assert [each.name for each in scan.skipped] == [image_id(2, 0)]
    assert reason in scan.skipped[0].reason


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission_to_read_an_image_is_a_reason(tree: Path, tmp_path: Path) -> None:
    (tree / "stage_2_train" / f"{image_id(0, 0)}.dcm").chmod(0)
    (skipped,) = RsnaSource(tree).scan(SILENT, tmp_path).skipped
    assert "no permission" in skipped.reason


def test_no_permission_is_a_reason_for_root_too(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_ = Path.open

    def denying(path: Path, *args: object, **kwargs: object) -> object:
        if path.stem == image_id(0, 0):
            raise PermissionError(13, "Permission denied", str(path))
        return open_(path, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "open", denying)
    (skipped,) = RsnaSource(tree).scan(SILENT, tmp_path).skipped
    assert "no permission" in skipped.reason


def test_wrong_folder(tmp_path: Path) -> None:
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "beach.jpg").write_bytes(b"sun")
    with pytest.raises(SourceError, match=r"holds no stage_2_train\.csv or stage_1_train\.csv; give the folder"):
        RsnaSource(tmp_path / "holiday").scan(SILENT, tmp_path)
    with pytest.raises(SourceError, match="does not exist"):
        RsnaSource(tmp_path / "nowhere").scan(SILENT, tmp_path)
    with pytest.raises(SourceError, match="not a whole zip"):
        RsnaSource(tmp_path / "holiday" / "beach.jpg").scan(SILENT, tmp_path)


def test_a_damaged_table_in_the_zip_is_named(tree: Path, tmp_path: Path) -> None:
    archive = zip_tree(tree, tmp_path / "rsna.zip", zipfile.ZIP_STORED)
    data = archive.read_bytes()
    archive.write_bytes(data.replace(b"ID,Label\n", b"ID,Lable\n", 1))
    with pytest.raises(SourceError, match=r"stage_2_train\.csv in .* its checksum in the zip file is wrong; download"):
        RsnaSource(archive).scan(SILENT, tmp_path)


def test_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="holds no stage_2_train"):
        RsnaSource(tmp_path / "empty").scan(SILENT, tmp_path)


def test_a_table_without_images(tmp_path: Path) -> None:
    (tmp_path / "stage_2_train.csv").write_text("ID,Label\n" + "\n".join(all_rows()))
    with pytest.raises(SourceError, match="no images"):
        RsnaSource(tmp_path).scan(SILENT, tmp_path)


def test_nothing_usable_says_the_commonest_reason(tree: Path, tmp_path: Path) -> None:
    for path in (tree / "stage_2_train").iterdir():
        path.write_bytes(b"not DICOM at all" * 100)
    with pytest.raises(SourceError, match=r"12 left out, 12 of them because it is not a DICOM file"):
        RsnaSource(tree).scan(SILENT, tmp_path)


def test_every_encoding_is_met() -> None:
    met = {(exam + index) % len(PixelEncoding) for exam in range(EXAMS) for index in range(SLICES)}
    assert met == set(range(len(PixelEncoding)))


@pytest.mark.parametrize(("files", "a_task"), [(10, 4096), (4096, 4096), (4097, 256), (20_000, 625), (752_803, 4096)])
def test_more_files_than_one_process_reads_at_once_are_shared_out_evenly(files: int, a_task: int) -> None:
    assert headers._files_a_task(files) == a_task
