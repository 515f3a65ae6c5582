"""From paths to exams: whole series in HU, in order, upright; what is refused, left or doubted is said."""

import copy
import os
import re
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from ichnos.ct.exams import Exam, SourceKind
from ichnos.dicom import finding
from ichnos.dicom.exams import ExamReading, FoundExams, find_exams, open_header, read_exam, read_exams, read_found_exam
from ichnos.errors import ExamError, HangError, InputError
from tests.dicom.ct_files import file_of
from tests.dicom.head_files import (
    SLICES,
    as_series,
    changed,
    enhanced,
    head,
    head_datasets,
    stored,
    write,
)


def reading(folder: Path) -> ExamReading:
    (only,) = read_exams([folder])
    return only


def same(exam: Exam, number: int = 0) -> bool:
    return np.array_equal(exam.hu, head(number).hu)


@pytest.mark.parametrize("number", [0, 1])
def test_a_series_is_read_whole_and_in_order(tmp_path: Path, number: int) -> None:
    exam = read_exam(write(tmp_path / "any", head_datasets(number)))
    assert same(exam, number)
    assert exam.source is SourceKind.DICOM
    assert exam.doubts == ()
    np.testing.assert_allclose(exam.positions, head(number).positions, atol=1e-4)
    np.testing.assert_allclose(np.diff(exam.offsets), head(number).slice_thickness, atol=1e-3)
    assert (exam.tilt > 5) == (number == 1)
    assert [r.sop_instance for r in exam.references] == [f"1.2.3.1.{k + 1}" for k in range(SLICES)]


def test_no_identifier_and_no_path_is_in_the_repr(tmp_path: Path) -> None:
    shown = repr(reading(write(tmp_path / "Known_Somebody", head_datasets())))
    assert not re.search(r"1\.2\.3|somebody", shown, flags=re.IGNORECASE)


def test_nothing_of_a_file_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """pydicom logs values that are not as they should be, and these may name a patient."""
    for k, dataset in enumerate(head_datasets()):
        data = file_of(dataset).replace(b"1.2.3.1\0", b"SOMEBODY").replace(b"CT", b"Ct")
        (tmp_path / str(k)).write_bytes(data)
    reading(tmp_path)
    assert caplog.records == []


@pytest.mark.parametrize("compressed", [False, True])
def test_enhanced_multi_frame(tmp_path: Path, compressed: bool) -> None:
    order = [(5 * k) % SLICES for k in range(SLICES)]
    multi = enhanced(head_datasets(), order)
    if compressed:
        multi.compress(RLELossless, generate_instance_uid=False)
    write(tmp_path, [multi], syntax=multi.file_meta.TransferSyntaxUID)
    exam = read_exam(tmp_path)
    assert same(exam)
    assert [r.frame for r in exam.references] == [
        [(5 * k) % SLICES for k in range(SLICES)].index(n) + 1 for n in range(SLICES)
    ]
    assert {r.sop_instance for r in exam.references} == {"1.2.3.1.1"}


def test_a_multi_frame_file_cut_short_loses_the_frames_behind_the_cut(tmp_path: Path) -> None:
    data = file_of(enhanced(head_datasets()))
    (tmp_path / "multi").write_bytes(data[: -3 * 64 * 64 * 2 + 10])
    only = reading(tmp_path)
    assert only.exam is not None
    assert len(only.exam) == SLICES - 3
    assert len(only.skipped) == 3
    assert "cut short" in only.skipped[0]


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian], ids=lambda s: s.name)
def test_a_multi_frame_file_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syntax: UID) -> None:
    """From a zip, and deflated: unpacked for every frame, a long one would take hours."""
    (tmp_path / "multi").write_bytes(file_of(enhanced(head_datasets()), syntax))
    with zipfile.ZipFile(tmp_path / "multi.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "multi")
    (found,) = find_exams([tmp_path / "multi.zip"]).exams
    whole = finding.FoundFile.read
    reads: list[int | None] = []
    monkeypatch.setattr(finding.FoundFile, "read", lambda self, limit=None: reads.append(limit) or whole(self, limit))
    exam = read_found_exam(found).exam
    assert exam is not None
    assert same(exam)
    assert len(reads) <= 1


@pytest.mark.parametrize("matrix", [(64, 48), (48, 64)])
def test_other_matrices(tmp_path: Path, matrix: tuple[int, int]) -> None:
    datasets = head_datasets()
    top, left = (64 - matrix[0]) // 2, (64 - matrix[1]) // 2
    for dataset in datasets:
        dataset.PixelData = stored(dataset)[top : 64 - top, left : 64 - left].tobytes()
        dataset.Rows, dataset.Columns = matrix
    assert read_exam(write(tmp_path, datasets)).hu.shape == (SLICES, *matrix)


def test_uneven_gaps_are_kept_and_a_missing_slice_is_doubted(tmp_path: Path) -> None:
    datasets = head_datasets()
    del datasets[5]
    exam = read_exam(write(tmp_path, datasets))
    assert len(exam) == SLICES - 1
    assert exam.gaps.max() == pytest.approx(2 * exam.gaps.min(), rel=1e-3)
    assert any("slices may be missing" in doubt for doubt in exam.doubts)


def test_of_slices_at_one_position_the_first_acquired_is_kept(tmp_path: Path) -> None:
    repeated = head_datasets()[4:6]
    for dataset in repeated:
        dataset.InstanceNumber += 100
        dataset.SOPInstanceUID += ".9"
        dataset.PixelData = np.zeros((64, 64), "<i2").tobytes()
    write(tmp_path, repeated, "a")
    exam = read_exam(write(tmp_path, head_datasets(), "b"))
    assert same(exam)
    assert any(doubt.startswith("2 slices left out that lie where another does") for doubt in exam.doubts)


def test_the_same_files_given_twice_are_one_exam_without_a_doubt(tmp_path: Path) -> None:
    paths = [write(tmp_path / "a", head_datasets()), write(tmp_path / "b", head_datasets())]
    (only,) = read_exams(paths)
    assert only.found.given == (1, 2)
    assert only.exam is not None
    assert same(only.exam)
    assert only.exam.doubts == ()


def test_rsnas_invalid_uids_are_no_reason_to_refuse(tmp_path: Path) -> None:
    for k, dataset in enumerate(head_datasets()):
        data = file_of(dataset).replace(b"1.2.3.1\0", b"ID_a79b1").replace(b"1.2.3\0", b"ID_a79")
        (tmp_path / str(k)).write_bytes(data)
    assert same(read_exam(tmp_path))


def test_a_slice_that_cannot_be_read_is_missing_and_said_so(tmp_path: Path) -> None:
    datasets = head_datasets()
    datasets[3].PixelData = datasets[3].PixelData[:100]
    only = reading(write(tmp_path, datasets))
    assert only.exam is not None
    assert len(only.exam) == SLICES - 1
    assert "100 of 8192 bytes" in only.skipped[0]
    lost, gap, few = only.exam.doubts
    assert lost.startswith(
        "1 of 12 slices could not be read, and the gap that this leaves was not looked at; the first"
    )
    assert gap.startswith("1 gap between slices wider than their thickness (up to 30.2 mm)")
    assert few.startswith("its slices are few for the 181 mm that they cover (11, one for each 16 mm)")


def test_what_is_covered_is_what_was_read(tmp_path: Path) -> None:
    datasets = head_datasets(SliceThickness=9)
    for k, dataset in enumerate(datasets):
        dataset.ImagePositionPatient = [*dataset.ImagePositionPatient[:2], 9.0 * k]
    assert not any("a brain is about 130 mm high" in each for each in read_exam(write(tmp_path, datasets)).doubts)
    for dataset in datasets[8:]:
        dataset.PixelData = dataset.PixelData[:100]
    exam = read_exam(write(tmp_path, datasets))
    assert exam.doubts[0].startswith("4 of 12 slices could not be read")
    assert any(each.startswith("the series covers 72 mm") for each in exam.doubts)


def test_an_exam_of_which_most_cannot_be_read_is_refused(tmp_path: Path) -> None:
    datasets = head_datasets()
    for dataset in datasets[:8]:
        dataset.PixelData = dataset.PixelData[:100]
    only = reading(write(tmp_path, datasets))
    assert only.exam is None
    assert only.refusal is not None
    assert "cannot be read" in only.refusal


def test_several_exams_at_once(tmp_path: Path) -> None:
    write(tmp_path / "a" / "deep", head_datasets())
    write(tmp_path / "b", as_series(head_datasets(1), 1, study=7))
    first, second = read_exams([tmp_path])
    assert first.exam is not None
    assert second.exam is not None
    assert same(first.exam)
    assert same(second.exam, 1)
    with pytest.raises(InputError, match="2 exams found and one is wanted"):
        read_exam(tmp_path)


def test_the_order_of_files_does_not_matter(tmp_path: Path) -> None:
    a = read_exam(write(tmp_path / "a", head_datasets()))
    b = read_exam(write(tmp_path / "b", reversed(head_datasets())))
    np.testing.assert_array_equal(a.hu, b.hu)
    np.testing.assert_array_equal(a.offsets, b.offsets)


def test_a_zip_is_read_in_place_and_its_headers_can_be_opened_again(tmp_path: Path) -> None:
    folder = write(tmp_path / "folder", head_datasets())
    with zipfile.ZipFile(tmp_path / "exam.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in folder.iterdir():
            archive.write(path, f"x/{path.name}")
    exam = read_exam(tmp_path / "exam.zip")
    assert same(exam)
    assert [open_header(r).InstanceNumber for r in exam.references] == list(range(1, SLICES + 1))
    assert "PixelData" not in open_header(exam.references[0])


REFUSED = {
    "a chest": (lambda d: setattr(d, "PixelSpacing", [8.0, 8.0]), "not a head CT"),
    "values that are no HU": (lambda d: setattr(d, "RescaleIntercept", 0), "not a head CT"),
    "empty": (lambda d: setattr(d, "PixelData", bytes(8192)), "every pixel has the same value"),
    "noise": (
        lambda d: setattr(d, "PixelData", np.random.default_rng(3).integers(0, 3000, 4096).astype("<i2").tobytes()),
        "not a head CT",
    ),
    "no skull": (
        lambda d: setattr(d, "PixelData", np.minimum(stored(d), 1024 + 60).tobytes()),
        "no skull",
    ),
    "another modality": (lambda d: setattr(d, "Modality", "MR"), "its modality is MR, not CT"),
    "a localizer": (lambda d: setattr(d, "ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"]), "LOCALIZER"),
    "sagittal": (lambda d: setattr(d, "ImageOrientationPatient", [0, 1, 0, 0, 0, -1]), "not axial"),
    "no plane": (lambda d: setattr(d, "ImageOrientationPatient", [1, 0, 0, 1, 0, 0]), "not axial"),
    "no position": (lambda d: delattr(d, "ImagePositionPatient"), "ImagePositionPatient is missing"),
    "no rescale": (lambda d: delattr(d, "RescaleSlope"), "HU cannot be known"),
    "colour": (lambda d: setattr(d, "PhotometricInterpretation", "RGB"), "colour picture"),
    "32 bits": (lambda d: (setattr(d, "BitsAllocated", 32), setattr(d, "BitsStored", 32)), "8 or 16 bits"),
    "a matrix beyond measure": (lambda d: setattr(d, "Rows", 60000), "CT of 2 to 4096 a side"),
    "pixels beyond measure": (lambda d: setattr(d, "PixelSpacing", [1e-9, 1e-9]), "the picture measures 6.4e-08"),
    "pixels as long as a street": (lambda d: setattr(d, "PixelSpacing", [1e6, 1e6]), "the picture measures"),
    "few pixels, and wide": (lambda d: setattr(d, "PixelSpacing", [21, 21]), "its pixels are 21×21 mm"),
    "a place beyond measure": (lambda d: setattr(d, "ImagePositionPatient", ["1e308"] * 3), "farther away than 1 km"),
    "directions beyond measure": (
        lambda d: setattr(d, "ImageOrientationPatient", ["1e200", 0, 0, 0, "1e200", 0]),
        "ImageOrientationPatient is no direction",
    ),
    "frames without their places": (lambda d: setattr(d, "NumberOfFrames", 7), "where each frame lies"),
    "no pixels": (lambda d: delattr(d, "PixelData"), "no pixel data"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path: Path, name: str) -> None:
    change, message = REFUSED[name]
    only = reading(write(tmp_path, changed(change)))
    assert only.exam is None
    assert message in (only.refusal or "")
    assert not re.search(r"1\.2\.3|somebody", only.refusal or "", flags=re.IGNORECASE)
    with pytest.raises(ExamError, match=re.escape(message)):
        read_exam(tmp_path)


def test_a_fault_of_ours_costs_a_file_or_an_exam_and_its_text_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def faulty(*_args: object) -> None:
        raise KeyError("Somebody^Known")

    folder = write(tmp_path, head_datasets())
    with monkeypatch.context() as patch:
        patch.setattr("ichnos.dicom.exams.judge", faulty)
        refusal = reading(folder).refusal or ""
    assert re.fullmatch(r"a fault of ichnos \(KeyError at test_exams\.py:\d+\); please report it", refusal)
    monkeypatch.setattr("ichnos.dicom.exams.read_facts", faulty)
    found = find_exams([folder])
    assert {each.reason[:28] for each in found.unreadable} == {"a fault of ichnos (KeyError "}
    assert not any("Known" in record.getMessage() for record in caplog.records)


def test_nothing_there_is_said(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("nothing here")
    with pytest.raises(InputError, match="0 exams found"):
        read_exam(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        read_exam(tmp_path / "absent")


def test_an_exam_whose_decoding_hangs_is_given_up_after_two_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over all its series; an uncompressed one is read all the same."""
    for series in (1, 2):
        packed = as_series(head_datasets(), series)
        for dataset in packed:
            dataset.compress(RLELossless, generate_instance_uid=False)
        write(tmp_path, packed, f"packed-{series}", syntax=RLELossless)
    tried: list[object] = []

    def hangs(_self: object, file: object, *_rest: object) -> None:
        tried.append(file)
        raise HangError("its pixels could not be decoded in 5 seconds")

    monkeypatch.setattr("ichnos.dicom.decoder.Decoder.decode", hangs)
    only = reading(tmp_path)
    assert len(tried) == 2
    assert only.refusal == "decoding its slices hung or crashed time and again, so it is damaged; copy the exam again"
    write(tmp_path, as_series(head_datasets(), 3), "plain")
    only = reading(tmp_path)
    assert len(tried) == 4
    assert only.exam is not None
    assert same(only.exam)


def turned(dataset: Dataset, *, rows: bool, columns: bool, transpose: bool) -> Dataset:
    """The same slice of the same patient, its array written another way round."""
    made = copy.deepcopy(dataset)
    pixels = stored(dataset)
    position = np.array(dataset.ImagePositionPatient, float)
    row, column = (
        np.array(dataset.ImageOrientationPatient[:3], float),
        np.array(dataset.ImageOrientationPatient[3:], float),
    )
    spacing = [float(s) for s in dataset.PixelSpacing]
    if rows:
        position, column, pixels = position + column * spacing[0] * (len(pixels) - 1), -column, pixels[::-1]
    if columns:
        position, row, pixels = position + row * spacing[1] * (pixels.shape[1] - 1), -row, pixels[:, ::-1]
    if transpose:
        row, column, pixels, spacing = column, row, pixels.T, spacing[::-1]
    made.ImagePositionPatient = [f"{p:.6f}" for p in position]
    made.ImageOrientationPatient = [f"{p:.6f}" for p in (*row, *column)]
    made.PixelSpacing = spacing
    made.Rows, made.Columns = pixels.shape
    made.PixelData = np.ascontiguousarray(pixels).tobytes()
    return made


MEGABYTE = 1 << 20


def of_200_megabytes(path: Path, data: bytes) -> Path:
    """A file that goes on with zeros, which take no room on the disk."""
    path.write_bytes(data)
    os.truncate(path, 200 * MEGABYTE)
    return path


def peak_of_finding(path: Path) -> tuple[int, FoundExams]:
    """The most memory that finding exams takes, in bytes, and what it found."""
    tracemalloc.start()
    try:
        found = find_exams([path])
        return tracemalloc.get_traced_memory()[1], found
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("frames", [40, 400, 3000], ids=["6 kB", "60 kB", "500 kB"])
def test_finding_exams_reads_no_pixels_of_a_multi_frame_file(tmp_path: Path, frames: int) -> None:
    multi = enhanced(head_datasets(), [0] * frames)
    multi.PixelData = multi.PixelData[:16]
    multi.add_new(0x00191001, "OB", bytes(20_000))  # a private element, so that every header has more than 16 kB
    peak, found = peak_of_finding(of_200_megabytes(tmp_path / "multi", file_of(multi)))
    (exam,) = found.exams
    assert sum(len(series.frames) + series.duplicates for series in exam.series) in (1, frames)
    assert exam.series[0].frames[0].number == 1
    assert peak < 60 * MEGABYTE


def test_a_large_element_of_no_interest_at_the_end_is_not_read(tmp_path: Path) -> None:
    dataset = head_datasets()[0]
    del dataset.PixelData
    data = file_of(dataset) + b"\x99\x70\x01\x10OB\0\0"
    data += (200 * MEGABYTE - len(data) - 4).to_bytes(4, "little")
    peak, found = peak_of_finding(of_200_megabytes(tmp_path / "raw", data))
    assert len(found.exams) == 1
    assert peak < 20 * MEGABYTE
