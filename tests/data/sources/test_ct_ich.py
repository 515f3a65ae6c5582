"""CT-ICH: pictures back to HU, the real data where they are, and the NIfTI form made here."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform
from PIL import Image

from ichnos.ct import UNSAID
from ichnos.data.sources.ct_ich import CtIchSource
from ichnos.data.sources.pictures import BONE_PICTURE, BRAIN_PICTURE, hu_from_pictures
from ichnos.errors import SourceError
from ichnos.progress import SILENT
from ichnos.subtypes import SUBTYPES, Subtype

HEADER = (
    "PatientNumber,SliceNumber,Intraventricular,Intraparenchymal,Subarachnoid,"
    "Epidural,Subdural,No_Hemorrhage,Fracture_Yes_No"
)


def _table(path: Path, rows: Sequence[str], header: str = HEADER) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\r\n".join([header, *rows, ""]), encoding="utf-8-sig")


def _picture(root: Path, patient: int, window: str, number: int, grey: int) -> None:
    framed = np.zeros((650, 650), np.uint8)
    framed[9:641, 11:643] = grey
    folder = root / "Patients_CT" / f"{patient:03d}" / window
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(framed).save(folder / f"{number}.jpg", quality=95)


@given(st.integers(-900, 2300))
def test_hu_come_back_from_the_two_windows(hu: int) -> None:
    brain, bone = (
        np.rint(window.apply(np.array([[hu]])) * 255).astype(np.uint8) for window in (BRAIN_PICTURE, BONE_PICTURE)
    )
    recovered = int(hu_from_pictures(brain, bone)[0, 0])
    assert abs(recovered - hu) <= (1 if -15 <= hu <= 95 else 7)


def test_ringing_beside_clipped_cells_does_not_turn_air_into_water() -> None:
    brain, bone = np.array([[0, 1, 6, 250, 255]], np.uint8), np.array([[0, 1, 2, 200, 200]], np.uint8)
    hu = hu_from_pictures(brain, bone)
    assert (hu[0, :3] < -850).all()
    assert (hu[0, 3:] > 1500).all()


def test_pictures(tmp_path: Path) -> None:
    _table(tmp_path / "hemorrhage_diagnosis.csv", ["7,2,0,0,0,1,0,0,1", "7,1,0,0,0,0,0,1,0", "7,3,0,0,0,0,0,1,0"])
    (tmp_path / "patient_demographics.csv").write_text('"Patient Number","Age\n(years)","Gender"\n7,0.5,"Female"\n')
    for number, grey in ((1, 120), (2, 128)):
        _picture(tmp_path, 7, "brain", number, grey)
        _picture(tmp_path, 7, "bone", number, 75)
    _picture(tmp_path, 7, "brain", 9, 100)
    picture = tmp_path / "Patients_CT" / "007" / "brain" / "1.jpg"
    picture.with_name("1_HGE_Seg.jpg").write_bytes(picture.read_bytes())  # a mask, which is no slice
    source = CtIchSource(tmp_path)
    scan = source.scan(SILENT, tmp_path)
    exam = source.read(scan.exams[0])
    assert (source.name, exam.patient, exam.attributes) == ("ct-ich", "007", {"age": 0.5, "sex": "F"})
    assert [each.name for each in exam.slices] == ["007/1", "007/2"]
    assert [each.offset for each in exam.slices] == [0, 5]
    assert [round(float(np.median(each.hu))) for each in exam.slices] == [36, 40]
    assert exam.slices[0].hu.shape == (632, 632)
    assert exam.slices[1].labels.tolist() == [True, False, False, False, False]
    assert {each.name: each.reason for each in scan.skipped} == {
        "007/3": "it is in the table, but has no picture",
        "007/9": "it has a picture, but is not in the table",
    }


def test_a_picture_without_its_twin_is_skipped(tmp_path: Path) -> None:
    _table(tmp_path / "hemorrhage_diagnosis.csv", ["7,1,0,0,0,0,0,1,0", "7,2,0,0,0,0,0,1,0"])
    for window, number in (("brain", 1), ("bone", 1), ("brain", 2)):
        _picture(tmp_path, 7, window, number, 100)
    (skipped,) = CtIchSource(tmp_path).scan(SILENT, tmp_path).skipped
    assert skipped.name == "007/2"
    assert "no bone picture" in skipped.reason


def test_a_bone_picture_alone_is_skipped_by_its_own_reason(tmp_path: Path) -> None:
    _table(tmp_path / "hemorrhage_diagnosis.csv", ["7,1,0,0,0,0,0,1,0", "7,2,0,0,0,0,0,1,0"])
    for window, number in (("brain", 1), ("bone", 1), ("bone", 2), ("bone", 3)):
        _picture(tmp_path, 7, window, number, 100)
    skipped = CtIchSource(tmp_path).scan(SILENT, tmp_path).skipped
    assert {each.name: each.reason for each in skipped} == {
        "007/2": "it has a bone picture, but no brain picture, so blood cannot be seen in it",
        "007/3": "it has a picture, but is not in the table",
    }


def test_a_volume_without_a_row_is_counted(tmp_path: Path) -> None:
    for name in ("049.nii", "050.nii", "051.nii.gz"):
        _nifti(tmp_path / "ct_scans" / name, np.zeros((2, 2, 1), np.int16), ("L", "P", "S"))
    _table(tmp_path / "hemorrhage_diagnosis_raw_ct.csv", ["49,1,0,0,0,0,0,1,0"])
    scan = CtIchSource(tmp_path).scan(SILENT, tmp_path)
    assert [(each.name, each.reason) for each in scan.skipped] == [
        ("050.nii", "its volume has no row in the table"),
        ("051.nii.gz", "its volume has no row in the table"),
    ]


def test_damaged_and_odd_pictures_are_skipped(tmp_path: Path) -> None:
    _table(tmp_path / "hemorrhage_diagnosis.csv", [f"7,{n},0,0,0,0,0,1,0" for n in (1, 2, 3)])
    for number in (1, 2, 3):
        _picture(tmp_path, 7, "brain", number, 100)
        _picture(tmp_path, 7, "bone", number, 75)
    (tmp_path / "Patients_CT" / "007" / "bone" / "2.jpg").write_bytes(b"\xff\xd8broken")
    Image.new("L", (64, 64)).save(tmp_path / "Patients_CT" / "007" / "brain" / "3.jpg")
    source = CtIchSource(tmp_path)
    exam = source.read(source.scan(SILENT, tmp_path).exams[0])
    assert [each.name for each in exam.slices] == ["007/1"]
    assert ["damaged" in each.reason or "64×64" in each.reason for each in exam.skipped] == [True, True]


def test_wrong_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="neither Patients_CT"):
        CtIchSource(tmp_path).scan(SILENT, tmp_path)
    (tmp_path / "Patients_CT").mkdir()
    with pytest.raises(SourceError, match=r"hemorrhage_diagnosis\.csv does not exist"):
        CtIchSource(tmp_path).scan(SILENT, tmp_path)
    _table(tmp_path / "hemorrhage_diagnosis.csv", ["7,1,0,0,0,0,0,1,0"])
    with pytest.raises(SourceError, match="no slice of it can be found"):
        CtIchSource(tmp_path).scan(SILENT, tmp_path)


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        (HEADER.replace("Epidural", "Extradural"), ["7,1,0,0,0,0,0,1,0"], "lacks the columns Epidural"),
        (HEADER, ["7,1,0,0,0,2,0,0,0"], "Epidural is '2'; a label is 0 or 1"),
        (HEADER, ["7,1,0,0,0,1,0,1,0"], "No_Hemorrhage is 1, which contradicts"),
        (HEADER, ["7,one,0,0,0,0,0,1,0"], "whole numbers"),
        (HEADER, ["7,1,0,0,0,1,0,0,0", "7,1,0,0,0,0,0,1,0"], "there twice"),
        (HEADER, [], "no rows"),
    ],
)
def test_tables_that_contradict_themselves(tmp_path: Path, header: str, rows: list[str], message: str) -> None:
    (tmp_path / "Patients_CT").mkdir()
    _table(tmp_path / "hemorrhage_diagnosis.csv", rows, header)
    with pytest.raises(SourceError, match=message):
        CtIchSource(tmp_path).scan(SILENT, tmp_path)


def _nifti(path: Path, lps: np.ndarray, codes: tuple[str, str, str]) -> None:
    """Write a volume given as (columns to L, rows to P, slices to S) with its axes along `codes`."""
    affine = np.diag([-0.5, -0.4, 5.0, 1.0])  # NIfTI counts to R and A, so L and P are negative
    turn = ornt_transform(axcodes2ornt(("L", "P", "S")), axcodes2ornt(codes))
    turned = nibabel.orientations.apply_orientation(lps, turn)
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(turned, affine @ inv_ornt_aff(turn, lps.shape)), path)


@pytest.mark.parametrize("codes", [("L", "P", "S"), ("R", "A", "S"), ("L", "A", "S"), ("R", "P", "S")])
def test_volumes_are_brought_to_our_orientation(tmp_path: Path, codes: tuple[str, str, str]) -> None:
    lps = (np.arange(4 * 6 * 3).reshape(4, 6, 3) - 30).astype(np.int16)
    marks = np.zeros_like(lps)
    marks[1, 2, 1] = marks[2, 3, 2] = 255
    _nifti(tmp_path / "ct_scans" / "049.nii", lps, codes)
    _nifti(tmp_path / "masks" / "049.nii", marks, codes)
    rows = ["49,1,0,0,0,0,0,1,0", "49,2,0,1,0,0,0,0,0", "49,3,1,0,0,0,1,0,0", "50,1,0,0,0,0,0,1,0"]
    _table(tmp_path / "hemorrhage_diagnosis_raw_ct.csv", rows)
    source = CtIchSource(tmp_path)
    scan = source.scan(SILENT, tmp_path)
    assert [(each.name, each.reason) for each in scan.skipped] == [
        ("050/1", "it is in the table, but its exam has no volume")
    ]
    exam = source.read(scan.exams[0])
    assert [each.name for each in exam.slices] == ["049/1", "049/2", "049/3"]
    assert [each.offset for each in exam.slices] == pytest.approx([0, 5, 10])
    for index, each in enumerate(exam.slices):
        np.testing.assert_array_equal(each.hu, lps[:, :, index].T)
        assert each.pixel_spacing == pytest.approx((0.4, 0.5))
    none, one, several = (each.mask for each in exam.slices)
    assert none is not None
    assert not none.any()
    assert one is not None
    assert one[2, 1] == 1 << SUBTYPES.index(Subtype.INTRAPARENCHYMAL)
    assert np.count_nonzero(one) == 1
    assert several is not None
    assert several[3, 2] == 1 << UNSAID, "which of two subtypes a mark shows is not known"
    assert np.count_nonzero(several) == 1


def test_a_mask_lies_on_its_scan_whatever_its_header_says(tmp_path: Path) -> None:
    lps = np.zeros((4, 6, 2), np.int16)
    marks = np.zeros_like(lps)
    lps[1, 2, 1], marks[1, 2, 1] = 60, 1
    _nifti(tmp_path / "ct_scans" / "049.nii", lps, ("L", "P", "S"))
    (tmp_path / "masks").mkdir()
    nibabel.save(nibabel.Nifti1Image(marks, np.eye(4)), tmp_path / "masks" / "049.nii")  # axes to R, A and S
    _table(tmp_path / "hemorrhage_diagnosis_raw_ct.csv", ["49,1,0,0,0,0,0,1,0", "49,2,1,0,0,0,0,0,0"])
    source = CtIchSource(tmp_path)
    exam = source.read(source.scan(SILENT, tmp_path).exams[0])
    for each in exam.slices:
        assert each.mask is not None
        np.testing.assert_array_equal(each.mask > 0, each.hu == 60)


@pytest.mark.parametrize(("label", "marked"), [("1,0", False), ("0,1", True)])
def test_marks_that_contradict_the_label_are_no_mask(tmp_path: Path, label: str, marked: bool) -> None:
    lps = np.zeros((4, 4, 1), np.int16)
    _nifti(tmp_path / "ct_scans" / "049.nii", lps, ("L", "P", "S"))
    _nifti(tmp_path / "masks" / "049.nii", lps + np.int16(marked), ("L", "P", "S"))
    _table(tmp_path / "hemorrhage_diagnosis_raw_ct.csv", [f"49,1,0,0,0,0,{label},0"])
    source = CtIchSource(tmp_path)
    assert source.read(source.scan(SILENT, tmp_path).exams[0]).slices[0].mask is None


def test_a_mask_of_another_size_than_its_volume_is_refused(tmp_path: Path) -> None:
    _nifti(tmp_path / "ct_scans" / "049.nii", np.zeros((4, 6, 2), np.int16), ("L", "P", "S"))
    _nifti(tmp_path / "masks" / "049.nii", np.zeros((4, 6, 1), np.int16), ("L", "P", "S"))
    _table(tmp_path / "hemorrhage_diagnosis_raw_ct.csv", ["49,1,0,0,0,0,0,1,0", "49,2,0,0,0,0,0,1,0"])
    source = CtIchSource(tmp_path)
    with pytest.raises(SourceError, match=r"of shape \(1, 6, 4\), its volume of \(2, 6, 4\).*remove it and do without"):
        source.read(source.scan(SILENT, tmp_path).exams[0])


def test_slice_numbers_follow_the_files_own_order(tmp_path: Path) -> None:
    lps = np.arange(2 * 2 * 3).reshape(2, 2, 3).astype(np.int16)
    _nifti(tmp_path / "ct_scans" / "049.nii", lps, ("L", "P", "I"))
    rows = [f"49,{number},0,0,0,0,0,1,0" for number in (1, 2)]
    _table(tmp_path / "hemorrhage_diagnosis_raw_ct.csv", [*rows, "49,7,0,0,0,0,0,1,0"])
    source = CtIchSource(tmp_path)
    exam = source.read(source.scan(SILENT, tmp_path).exams[0])
    assert [each.name for each in exam.slices] == ["049/2", "049/1"]
    assert {each.name: each.reason for each in exam.skipped} == {
        "049/3": "it is in the volume, but not in the table",
        "049/7": "it is in the table, but not in the volume",
    }
    np.testing.assert_array_equal(exam.slices[0].hu, lps[:, :, 1].T)


def test_a_damaged_volume_loses_its_exam_and_no_other(tmp_path: Path) -> None:
    _nifti(tmp_path / "ct_scans" / "050.nii", np.zeros((2, 2, 1), np.int16), ("L", "P", "S"))
    (tmp_path / "ct_scans" / "049.nii").write_bytes(b"nothing")
    _table(tmp_path / "hemorrhage_diagnosis_raw_ct.csv", ["49,1,0,0,0,0,0,1,0", "50,1,0,0,0,0,0,1,0"])
    source = CtIchSource(tmp_path)
    damaged, whole = (source.read(reference) for reference in source.scan(SILENT, tmp_path).exams)
    assert (len(damaged.slices), len(whole.slices)) == (0, 1)
    assert "damaged" in damaged.skipped[0].reason


def test_the_real_data_are_all_found(shared_data: Path, tmp_path: Path) -> None:
    scan = CtIchSource(shared_data / "ct-ich").scan(SILENT, tmp_path)
    assert len(scan.exams) == 82
    assert sum(reference.slice_count for reference in scan.exams) == 2470
    counts = Counter(each.reason.split(",")[0] for each in scan.skipped)
    assert counts == {"it is in the table": 30, "it has a brain picture": 1}


def test_real_pictures_give_true_hu(shared_data: Path, tmp_path: Path) -> None:
    source = CtIchSource(shared_data / "ct-ich")
    exam = source.read(source.scan(SILENT, tmp_path).exams[0])
    middle = exam.slices[len(exam.slices) // 2].hu
    assert 25 < np.median(middle[260:370, 260:370]) < 45, "brain"
    assert np.median(middle[:20, :20]) == -900, "air, as far as the pictures tell"
    assert middle.max() > 1000, "skull"
    assert exam.attributes == {"age": 35, "sex": "M"}
