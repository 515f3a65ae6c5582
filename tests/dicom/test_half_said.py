"""Files that leave out what tells them apart, or say it of one frame alone, and such as cost more than they hold."""

import gzip
import shutil
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import JPEGBaseline8Bit, LegacyConvertedEnhancedCTImageStorage, RLELossless

from ichnos.ct.nifti import read_nifti
from ichnos.dicom.decoder import Decoder
from ichnos.dicom.exams import ExamReading, find_exams, read_exam, read_exams
from ichnos.dicom.finding import FoundFile, find_files
from ichnos.dicom.frames import read_facts
from ichnos.dicom.parsing import START_BYTES
from ichnos.dicom.series_rules import SeriesRules
from ichnos.dicom.volumes import read_volume_exam
from ichnos.errors import CrashError, DicomError, ExamError, HangError
from tests.ct.nifti_files import nifti_bytes
from tests.dicom.ct_files import file_of
from tests.dicom.head_files import SLICES, as_series, changed, enhanced, head, head_datasets, nifti_affine, write

MEGABYTE = 1 << 20


def without(datasets: list[Dataset], *keywords: str) -> list[Dataset]:
    for dataset in datasets:
        for keyword in keywords:
            delattr(dataset, keyword)
    return datasets


def only(path: Path) -> ExamReading:
    (reading,) = read_exams([path])
    return reading


@pytest.mark.parametrize("gone", [("StudyInstanceUID",), ("StudyInstanceUID", "SeriesInstanceUID", "PatientID")])
def test_files_that_name_no_study_are_of_one_exam_only_within_a_folder(tmp_path: Path, gone: tuple[str, ...]) -> None:
    """Of two patients whose names were taken away with every identifier, slices must not make one head."""
    for number, name in enumerate(("one", "other")):
        write(tmp_path / name, without(head_datasets(number), *gone))
    readings = list(read_exams([tmp_path]))
    assert len(readings) == 2
    for number, reading in enumerate(readings):
        assert reading.exam is not None
        np.testing.assert_array_equal(reading.exam.hu, head(number).hu)


@pytest.mark.parametrize("zips", [1, 2])
def test_so_are_folders_of_a_zip_and_zips(tmp_path: Path, zips: int) -> None:
    folders = [
        write(tmp_path / "out" / name, without(head_datasets(n), "StudyInstanceUID", "PatientID"))
        for n, name in enumerate(("one", "other"))
    ]
    for n, folder in enumerate(folders):
        with zipfile.ZipFile(tmp_path / f"{n % zips}.zip", "a") as archive:
            for file in sorted(folder.iterdir()):
                archive.write(file, file.name if zips == 2 else f"{folder.name}/{file.name}")
        shutil.rmtree(folder)
    readings = list(read_exams([tmp_path]))
    assert [len(reading.exam or ()) for reading in readings] == [SLICES, SLICES]


def test_a_head_whose_study_is_named_is_whole_in_any_number_of_folders(tmp_path: Path) -> None:
    """As discs have a hundred files a folder."""
    slices = without(head_datasets(), "SeriesInstanceUID")
    write(tmp_path / "1", slices[:5])
    write(tmp_path / "2", slices[5:])
    np.testing.assert_array_equal(read_exam(tmp_path).hu, head().hu)


def test_two_slices_far_apart_cover_no_head(tmp_path: Path) -> None:
    """They were once counted as all that lies between them and as much again."""
    whole = as_series(head_datasets(), 1)
    again = as_series([head_datasets()[2], head_datasets()[7]], 2)
    for dataset in again:
        dataset.AcquisitionDateTime = "20300101120000"
    write(write(tmp_path, whole, "a"), again, "b")
    reading = only(tmp_path)
    assert [record.series.uid for record in reading.series if record.taken] == ["1.2.1.1"]


def test_a_slice_that_is_all_zeros_leaves_a_doubt(tmp_path: Path) -> None:
    """As a copy leaves it that was cut short. Passed over without a word, an end of the head would be missing."""
    for place in (0, SLICES - 1):
        folder = write(tmp_path / str(place), head_datasets())
        file = sorted(folder.iterdir())[place]
        file.write_bytes(bytes(file.stat().st_size))
        exam = only(folder).exam
        assert exam is not None
        assert len(exam) == SLICES - 1
        assert any("a file of nothing but zeros" in doubt for doubt in exam.doubts)


def test_a_slice_whose_mark_is_damaged_is_no_foreign_file(tmp_path: Path) -> None:
    folder = write(tmp_path, head_datasets())
    file = sorted(folder.iterdir())[4]
    file.write_bytes(file.read_bytes().replace(b"DICM", b"DIC\xcd", 1))
    (folder / "notes.txt").write_text("nothing of a scanner's")
    found = find_exams([folder])
    assert [each.reason for each in found.unreadable] == [
        "a DICOM file is damaged: its mark (DICM) is not there; copy it again"
    ]
    assert found.passed_over == 1


def test_what_a_syntax_always_loses_is_said_without_an_attribute(tmp_path: Path) -> None:
    dataset = head_datasets(PixelData=encapsulate([b"no picture at all, which headers do not ask"]))[0]
    dataset["PixelData"].VR = "OB"
    (tmp_path / "file").write_bytes(file_of(dataset, JPEGBaseline8Bit))
    (found,) = find_files([tmp_path])
    assert isinstance(found, FoundFile)
    (frame,) = read_facts(found, found.read(START_BYTES)).frames
    assert frame.lossy


def test_a_kernel_may_be_said_of_each_frame(tmp_path: Path) -> None:
    multi = enhanced(head_datasets())
    (shared,) = multi.SharedFunctionalGroupsSequence
    del shared.CTReconstructionSequence
    for frame in multi.PerFrameFunctionalGroupsSequence:
        item = Dataset()
        item.ConvolutionKernel = "H70s"
        frame.CTReconstructionSequence = DicomSequence([item])
    exam = read_exam(write(tmp_path, [multi]))
    assert any("a sharp kernel" in doubt for doubt in exam.doubts)


def _without_position(frame: Dataset) -> None:
    del frame.PlanePositionSequence


def _localizer(frame: Dataset) -> None:
    frame.CTImageFrameTypeSequence[0].FrameType = ["ORIGINAL", "PRIMARY", "LOCALIZER", "NONE"]


@pytest.mark.parametrize("spoil", [_without_position, _localizer])
def test_one_frame_that_cannot_be_read_does_not_lose_the_others(
    tmp_path: Path, spoil: Callable[[Dataset], None]
) -> None:
    multi = enhanced(head_datasets())
    spoil(multi.PerFrameFunctionalGroupsSequence[0])
    exam = read_exam(write(tmp_path, [multi]))
    assert len(exam) == SLICES - 1
    np.testing.assert_array_equal(exam.hu, head().hu[1:])
    assert any(f"1 of {SLICES} slices could not be read" in doubt for doubt in exam.doubts)


def test_frames_none_of_which_can_be_read_are_one_reason(tmp_path: Path) -> None:
    multi = enhanced(head_datasets())
    for frame in multi.PerFrameFunctionalGroupsSequence:
        _localizer(frame)
    assert only(write(tmp_path, [multi])).refusal == "its FrameType says LOCALIZER; send the axial series"


def test_legacy_converted_enhanced_ct_is_read(tmp_path: Path) -> None:
    multi = enhanced(head_datasets())
    multi.SOPClassUID = LegacyConvertedEnhancedCTImageStorage
    np.testing.assert_array_equal(read_exam(write(tmp_path, [multi])).hu, head().hu)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_monochrome1_with_inverted_values_of_sixteen_bits(tmp_path: Path, signed: bool, padded: bool) -> None:
    """Stored the other way round: the highest value for the lowest, a declared padding with it."""
    datasets = head_datasets(PhotometricInterpretation="MONOCHROME1", PixelRepresentation=int(signed))
    for dataset, hu in zip(datasets, head().hu, strict=True):
        stored = hu.astype(np.int64) + 1024
        inverted = -1 - stored if signed else 65535 - stored
        dataset.PixelData = inverted.astype("<i2" if signed else "<u2").tobytes()
        if padded:
            value = -1 - 0 if signed else 65535
            dataset.add_new("PixelPaddingValue", "SS" if signed else "US", value)
    exam = read_exam(write(tmp_path, datasets))
    np.testing.assert_array_equal(exam.hu, head().hu)
    assert any("inverted, which was mended" in doubt for doubt in exam.doubts)


@pytest.mark.parametrize("thickness", [1.0, 20.0])
def test_dicom_and_nifti_of_one_exam_cover_as_much(tmp_path: Path, thickness: float) -> None:
    """However thick a header says that slices are, which a volume cannot say."""
    exam = read_exam(write(tmp_path / "dicom", head_datasets(SliceThickness=thickness)))
    (tmp_path / "it.nii").write_bytes(nifti_bytes(head().hu.transpose(2, 1, 0), nifti_affine(head())))
    volume = read_exam(tmp_path / "it.nii")
    assert exam.coverage == pytest.approx(volume.coverage, abs=0.01)


def test_a_volume_is_as_upright_as_the_rules_want(tmp_path: Path) -> None:
    (tmp_path / "it.nii").write_bytes(nifti_bytes(head(1).hu.transpose(2, 1, 0), nifti_affine(head(1))))
    assert next(read_exams([tmp_path])).exam is not None
    (reading,) = read_exams([tmp_path], SeriesRules(largest_tilt=1.0))
    assert "its slices are not axial" in (reading.refusal or "")


def test_a_small_packed_volume_takes_no_gigabytes(tmp_path: Path) -> None:
    """90 MB of bytes, of which a slope would make eight times as much at once."""
    values = np.zeros((512, 512, 360), np.uint8)
    data = gzip.compress(nifti_bytes(values, np.diag([-0.5, -0.5, 1, 1]), slope=2, intercept=-1000), 1)
    (tmp_path / "it.nii.gz").write_bytes(data)
    found = FoundFile(tmp_path / "it.nii.gz", 1, len(data))
    tracemalloc.start()
    try:
        with pytest.raises(ExamError, match="not a head CT"):
            read_volume_exam(found)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * values.size
    assert read_nifti(data).values.dtype == np.uint8


def test_a_header_of_empty_items_beyond_measure_is_refused_in_time(tmp_path: Path) -> None:
    dataset = head_datasets()[0]
    del dataset.PixelData
    items = b"\xfe\xff\x00\xe0\0\0\0\0" * 2_000_000 + b"\xfe\xff\xdd\xe0\0\0\0\0"
    (tmp_path / "file").write_bytes(file_of(dataset) + b"\x00\x52\x30\x92SQ\0\0\xff\xff\xff\xff" + items)
    begun = time.monotonic()
    (unreadable,) = find_exams([tmp_path]).unreadable
    assert "2,000,001 items" in unreadable.reason or "2,000,000 items" in unreadable.reason
    assert time.monotonic() - begun < 5


def test_what_begins_with_zeros_and_goes_on_is_passed_over(tmp_path: Path) -> None:
    """A mask, a disc image."""
    (tmp_path / "mask.raw").write_bytes(bytes(20_000) + b"\1" * 20_000)
    (tmp_path / "disc.iso").write_bytes(bytes(32_768) + b"CD001")
    found = find_exams([tmp_path])
    assert (found.unreadable, found.passed_over) == ((), 2)


@pytest.mark.parametrize(("error", "tried"), [(HangError, 1), (CrashError, 4)])
def test_a_multi_frame_file_that_ends_the_decoder_is_not_tried_for_each_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[DicomError], tried: int
) -> None:
    """Its frames lie in one file, and no file may take five seconds."""
    multi = enhanced(head_datasets())
    multi.compress(RLELossless, generate_instance_uid=False)
    write(tmp_path, [multi], syntax=RLELossless)
    calls: list[object] = []

    def ends(_self: object, file: object, *_rest: object) -> NDArray[np.integer]:
        calls.append(file)
        raise error("its pixels end the decoder")

    monkeypatch.setattr("ichnos.dicom.decoder.Decoder.decode", ends)
    assert "cannot be read" in (only(tmp_path).refusal or "")
    assert len(calls) == tried


def test_single_slices_that_crash_the_decoder_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few of them cost nothing but themselves."""
    packed = changed(lambda dataset: dataset.compress(RLELossless, generate_instance_uid=False))
    write(tmp_path, packed, syntax=RLELossless)
    decode, calls = Decoder.decode, [0]

    def crashes(self: Decoder, *rest: Any) -> NDArray[np.integer]:
        calls[0] += 1
        if calls[0] in bad:
            raise CrashError("its pixels are damaged: decoding them crashed")
        return decode(self, *rest)

    monkeypatch.setattr(Decoder, "decode", crashes)
    bad = {3, 5, 8}
    reading = only(tmp_path)
    assert reading.exam is not None
    assert len(reading.exam) == SLICES - 3
    calls[0], bad = 0, set(range(1, 20))
    monkeypatch.setattr("ichnos.dicom.exams._LEAST_READ", 0.01)
    assert "hung or crashed time and again" in (only(tmp_path).refusal or "")
    assert calls[0] == 8


def test_where_no_process_can_begin_nobody_waits_for_each_slice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = changed(lambda dataset: dataset.compress(RLELossless, generate_instance_uid=False))
    write(tmp_path, packed, syntax=RLELossless)
    tried: list[object] = []

    def no_room(*given: object, **_: object) -> None:
        tried.append(given)
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr("ichnos.dicom.exams.shared_decoder", Decoder)
    monkeypatch.setattr("ichnos.dicom.decoder.subprocess.Popen", no_room)
    assert "hung or crashed" in (only(tmp_path).refusal or "")
    assert len(tried) == 2
