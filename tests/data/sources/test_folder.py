"""A user's own tree and table: what is found, what is left out, and what is refused."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID

from ichnos.data.sources.folder import FolderSource, pseudonym
from ichnos.dicom import read_header
from ichnos.errors import SourceError
from ichnos.progress import SILENT
from ichnos.workflows.prepare import prepare_set
from tests.data.sources.rsna_trees import read_all
from tests.dicom.ct_files import ct_dataset, file_of

COLUMNS = "epidural,intraparenchymal,intraventricular,subarachnoid,subdural"


def _write(root: Path, name: str, sop: str, study: str = "1.2.3", z: float = 0, **values: object) -> Dataset:
    dataset = ct_dataset(np.full((8, 8), int(z), np.int16))
    dataset.SOPInstanceUID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID = (
        UID(sop),
        UID(study),
        UID(study + ".1"),
    )
    dataset.ImagePositionPatient = [0, 0, z]
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file_of(dataset))
    return dataset


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two exams of three slices under names that say nothing, and files of other kinds."""
    root = tmp_path / "pacs"
    for index in range(3):
        _write(root, f"a/{9 - index}", f"1.2.3.1.{index}", z=5 * index)
        _write(root, f"b/c/IM{index}.dcm", f"1.2.4.1.{index}", "1.2.4", z=5 * index, PatientAge="034Y", PatientSex="F")
    _write(root, "a/scout", "1.2.3.9", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    _write(root, "a/mr", "1.2.3.8", Modality="MR")
    _write(root, "a/coronal", "1.2.3.7", ImageOrientationPatient=[1, 0, 0, 0, 0, -1])
    (root / "readme.txt").write_text("hello")
    return root


def _labels(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text("\n".join([*lines, ""]))
    return path


def test_slices_by_their_own_labels(tree: Path, tmp_path: Path) -> None:
    rows = [f"1.2.{exam}.1.{index},0,0,0,0,{index // 2}" for exam in (3, 4) for index in range(3)]
    source = FolderSource(tree, _labels(tmp_path, f"SOPInstanceUID,{COLUMNS}", *rows[:-1], "1.2.99,0,0,0,0,0"))
    scan = source.scan(SILENT, tmp_path)
    assert [(each.exam, each.slice_count) for each in scan.exams] == [("1.2.3", 3), ("1.2.4", 2)]
    first, second = (source.read(reference) for reference in scan.exams)
    assert source.name == "folder"
    assert first.patient == second.patient == pseudonym("somebody")
    assert [each.name for each in first.slices] == ["1.2.3.1.0", "1.2.3.1.1", "1.2.3.1.2"]
    assert [each.labels.any() for each in first.slices] == [False, False, True]
    assert second.attributes == {"tilt": 0.0, "age": 34.0, "sex": "F"}
    reasons = Counter(each.reason for each in scan.skipped)
    assert len(scan.skipped) == 6
    for part in ("LOCALIZER", "MR, not CT", "not an axial", "not a DICOM file", "no labels", "no usable file"):
        assert any(part in reason for reason in reasons), part
    assert not any("1.2." in reason for reason in reasons), "reasons hold no UIDs"


def test_patients_are_pseudonyms() -> None:
    assert pseudonym("somebody") != pseudonym("somebody else")
    assert len(pseudonym("somebody")) == 12
    assert int(pseudonym("somebody"), 16) >= 0


@pytest.mark.parametrize(("column", "suffix"), [("StudyInstanceUID", ""), ("SeriesInstanceUID", ".1")])
def test_an_exams_label_is_a_slices_label_only_where_negative(
    tree: Path, tmp_path: Path, column: str, suffix: str
) -> None:
    rows = [f"{column},{COLUMNS},any", f"1.2.3{suffix},0,0,0,0,0,0", f"1.2.4{suffix},0,1,0,0,0,1"]
    source = FolderSource(tree, _labels(tmp_path, *rows))
    scan = source.scan(SILENT, tmp_path)
    (exam,) = (source.read(reference) for reference in scan.exams)
    assert exam.exam == "1.2.3"
    assert not any(each.labels.any() for each in exam.slices)
    assert sum("does not say which slices" in each.reason for each in scan.skipped) == 3


def test_the_tables_patients_count_instead_of_patient_id(tree: Path, tmp_path: Path) -> None:
    rows = [f"1.2.{exam}.1.{index},case {exam},0,0,0,0,0" for exam in (3, 4) for index in range(3)]
    scan = FolderSource(tree, _labels(tmp_path, f"SOPInstanceUID,patient,{COLUMNS}", *rows)).scan(SILENT, tmp_path)
    assert sorted(each.patient for each in scan.exams) == sorted([pseudonym("case 3"), pseudonym("case 4")])


def test_a_study_of_two_patients_is_refused(tree: Path, tmp_path: Path) -> None:
    rows = [f"1.2.3.1.{index},case {index},0,0,0,0,0" for index in range(3)]
    with pytest.raises(SourceError, match=r"one study to several patients \(1 studies\)"):
        FolderSource(tree, _labels(tmp_path, f"SOPInstanceUID,patient,{COLUMNS}", *rows)).scan(SILENT, tmp_path)


def test_one_patient_id_for_all_is_said_before_pixels_are_read(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"1.2.{exam}.1.{index},0,0,0,0,0" for exam in (3, 4) for index in range(3)]
    source = FolderSource(tree, _labels(tmp_path, f"SOPInstanceUID,{COLUMNS}", *rows), workers=1)
    monkeypatch.setattr(FolderSource, "read", lambda *_: pytest.fail("pixels were read"))
    with pytest.raises(SourceError, match=r"at least 3 patients, found 1 in 2 exams.*PatientID.*column `patient`"):
        prepare_set(source, tmp_path / "set", SILENT, workers=1)
    assert not (tmp_path / "set").exists()


def test_an_exam_with_any_and_no_subtype_is_left_out_whole(tree: Path, tmp_path: Path) -> None:
    """Without its bleeding slice it would count as an exam without hemorrhage."""
    rows = [f"SOPInstanceUID,{COLUMNS},any", "1.2.3.1.0,0,0,0,0,0,1", "1.2.3.1.1,0,0,0,0,0,0"]
    rows += [f"1.2.4.1.{index},0,0,0,0,0,0" for index in range(3)]
    scan = FolderSource(tree, _labels(tmp_path, *rows)).scan(SILENT, tmp_path)
    assert [(each.exam, each.slice_count) for each in scan.exams] == [("1.2.4", 3)]
    reasons = {each.name: each.reason for each in scan.skipped}
    assert reasons["1.2.3.1.0"] == "it is labelled `any`, but with no subtype"
    assert reasons["1.2.3.1.1"] == "another slice of its exam is labelled `any`, but with no subtype"


def test_linked_images_are_read_and_links_to_nothing_counted(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "exam").symlink_to(tree / "a")
    (tmp_path / "links" / "gone").symlink_to(tree / "nowhere")
    labels = _labels(tmp_path, f"SOPInstanceUID,{COLUMNS}", *(f"1.2.3.1.{index},0,0,0,0,0" for index in range(3)))
    scan = FolderSource(tmp_path / "links", labels, workers=1).scan(SILENT, tmp_path)
    assert [each.slice_count for each in scan.exams] == [3]
    assert any("No such file" in each.reason for each in scan.skipped)


def test_the_same_image_twice_counts_once(tree: Path, tmp_path: Path) -> None:
    _write(tree, "z/copy", "1.2.3.1.0")
    labels = _labels(tmp_path, f"SOPInstanceUID,{COLUMNS}", "1.2.3.1.0,0,0,0,0,0")
    (exam,) = read_all(FolderSource(tree, labels), tmp_path)
    assert len(exam.slices) == 1


def test_of_two_copies_the_whole_one_is_read(tree: Path, tmp_path: Path) -> None:
    """By name the one that was cut short comes first."""
    (tree / "0").write_bytes((tree / "a" / "9").read_bytes()[:-40])
    labels = _labels(tmp_path, f"SOPInstanceUID,{COLUMNS}", "1.2.3.1.0,0,0,0,0,1")
    (exam,) = read_all(FolderSource(tree, labels), tmp_path)
    assert [each.name for each in exam.slices] == ["1.2.3.1.0"]
    assert not exam.skipped


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([f"SOPInstanceUID,{COLUMNS.replace('subdural', 'oops')}", "1,0,0,0,0,0"], "lacks subdural"),
        ([f"Image,{COLUMNS}", "1,0,0,0,0,0"], "lacks one of SOPInstanceUID"),
        ([f"SOPInstanceUID,{COLUMNS},chronic", "1,0,0,0,0,0,0"], "unknown subtype: chronic"),
        ([f"SOPInstanceUID,{COLUMNS}", "1,0,0,0,0,2"], "row 2: subdural is '2'; a label is 0 or 1"),
        ([f"SOPInstanceUID,{COLUMNS}", "1,0,0,0,0"], "row 2: subdural is ''"),
        ([f"SOPInstanceUID,{COLUMNS}", ",0,0,0,0,0"], "row 2: SOPInstanceUID is empty"),
        ([f"SOPInstanceUID,{COLUMNS}", "1,0,0,0,0,0", "1,0,0,0,0,1"], "row 3: this SOPInstanceUID is there twice"),
        ([f"SOPInstanceUID,{COLUMNS},any", "1,0,0,0,0,1,0"], "`any` is 0, but a subtype is 1"),
        ([f"SOPInstanceUID,{COLUMNS}"], "no rows"),
        ([f"SOPInstanceUID,{COLUMNS},patient", "1,0,0,0,0,0,"], "row 2: patient is empty; name the patient"),
        (
            [f"SOPInstanceUID,{COLUMNS},patient", "1,0,0,0,0,0,a", "1,0,0,0,0,0,b"],
            "row 3: .* twice, of another patient",
        ),
    ],
)
def test_tables_that_are_refused(tree: Path, tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        FolderSource(tree, _labels(tmp_path, *lines)).scan(SILENT, tmp_path)


def test_empty_and_wrong_folders(tmp_path: Path) -> None:
    labels = _labels(tmp_path, f"SOPInstanceUID,{COLUMNS}", "1.2.3.1.0,0,0,0,0,0")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="is empty"):
        FolderSource(tmp_path / "empty", labels).scan(SILENT, tmp_path)
    (tmp_path / "empty" / "notes.txt").write_text("hello")
    with pytest.raises(SourceError, match=r"none of the 1 files .* is a labelled axial CT slice"):
        FolderSource(tmp_path / "empty", labels).scan(SILENT, tmp_path)
    with pytest.raises(SourceError, match=r"absent\.csv does not exist"):
        FolderSource(tmp_path / "empty", tmp_path / "absent.csv").scan(SILENT, tmp_path)


def test_the_order_of_files_does_not_matter(tree: Path, tmp_path: Path) -> None:
    rows = [f"1.2.{exam}.1.{index},0,0,0,0,0" for exam in (3, 4) for index in range(3)]
    labels = _labels(tmp_path, f"SOPInstanceUID,{COLUMNS}", *rows)
    before = [[each.name for each in exam.slices] for exam in read_all(FolderSource(tree, labels), tmp_path)]
    for number, path in enumerate(sorted(tree.rglob("*"), reverse=True)):
        if path.is_file():
            path.rename(path.parent / f"renamed{number:02d}")
    after = [[each.name for each in exam.slices] for exam in read_all(FolderSource(tree, labels), tmp_path)]
    assert before == after


def test_a_real_tilted_head(shared_data: Path, tmp_path: Path) -> None:
    root = shared_data / "ge-head-tilt"
    study = read_header(root / "01.dcm").study
    source = FolderSource(root, _labels(tmp_path, f"StudyInstanceUID,{COLUMNS}", f"{study},0,0,0,0,0"))
    (exam,) = read_all(source, tmp_path)
    assert len(exam.slices) == 28
    assert exam.attributes["tilt"] == pytest.approx(18.5, abs=0.1)
    offsets = [each.offset for each in exam.slices]
    assert offsets == sorted(offsets)
