"""Several stacks under one series identifier: what was lost of them is told, and scans are not mixed."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from pydicom import Dataset

from ichnos.dicom.exams import ExamReading, find_exams, read_found_exam
from ichnos.workflows.inspect import exam_tree, is_partial
from tests.dicom.head_files import head_datasets, write


def read(folder: Path) -> ExamReading:
    (found,) = find_exams([folder]).exams
    return read_found_exam(found)


def partial(reading: ExamReading) -> bool:
    return is_partial({"unreadable": [], "exams": [exam_tree(reading)]})


def without_place(datasets: Sequence[Dataset], count: int) -> list[Dataset]:
    """The last of them do not say where they lie."""
    for dataset in datasets[len(datasets) - count :]:
        del dataset.ImagePositionPatient
    return list(datasets)


def named(datasets: Sequence[Dataset], kind: str, **values: object) -> list[Dataset]:
    """Slices of their own, of one series."""
    for number, dataset in enumerate(datasets):
        dataset.SOPInstanceUID = f"1.2.{len(kind)}.{sum(map(ord, kind))}.{number + 1}"
        for name, value in values.items():
            setattr(dataset, name, value)
    return list(datasets)


def moved(datasets: Sequence[Dataset], mm: float) -> list[Dataset]:
    """Farther up."""
    for dataset in datasets:
        x, y, z = (float(part) for part in dataset.ImagePositionPatient)
        dataset.ImagePositionPatient = [x, y, z + mm]
    return list(datasets)


def test_what_one_stack_lost_is_told_of_whichever_is_read(tmp_path: Path) -> None:
    """The bone stack is found first; the slice without a place may be of either."""
    write(tmp_path, named(head_datasets(ConvolutionKernel="H70s"), "bone"), "a")
    write(tmp_path, without_place(named(head_datasets(ConvolutionKernel="H30s"), "soft"), 1), "b")
    reading = read(tmp_path)
    assert reading.exam is not None
    assert len(reading.exam) == len(head_datasets()) - 1
    assert any("could not be read" in doubt for doubt in reading.exam.doubts)
    assert partial(reading), "a script would take it for whole"


def test_a_whole_exam_is_not_partial(tmp_path: Path) -> None:
    assert not partial(read(write(tmp_path, head_datasets())))


def test_more_than_half_lost_is_refused_whatever_was_wrong_with_them(tmp_path: Path) -> None:
    half = len(head_datasets()) // 2
    kept = read(write(tmp_path / "half", without_place(head_datasets(), half)))
    assert kept.exam is not None
    lost = read(write(tmp_path / "more", without_place(head_datasets(), half + 2)))
    assert lost.refusal is not None
    assert f"{half + 2} of its {2 * half} slices cannot be read" in lost.refusal


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_a_second_scan_at_other_places_is_a_stack_of_its_own(tmp_path: Path, shift: float) -> None:
    write(tmp_path, named(head_datasets(AcquisitionNumber=1), "first"), "a")
    write(tmp_path, moved(named(head_datasets(AcquisitionNumber=2), "second"), shift), "b")
    reading = read(tmp_path)
    assert reading.exam is not None
    assert [len(record.series.frames) for record in reading.series] == [len(head_datasets())] * 2
    assert len(reading.exam) == len(head_datasets())


def test_slices_made_again_at_their_places_and_a_turn_a_slice_stay_one_scan(tmp_path: Path) -> None:
    write(tmp_path / "again", named(head_datasets(AcquisitionNumber=1), "first"), "a")
    write(tmp_path / "again", named(head_datasets(AcquisitionNumber=2), "second"), "b")
    (again,) = read(tmp_path / "again").series
    assert (len(again.series.frames), again.series.duplicates) == (len(head_datasets()), len(head_datasets()))
    turns = head_datasets()
    for number, dataset in enumerate(turns):
        dataset.AcquisitionNumber = number % 5
    (turned,) = read(write(tmp_path / "turns", turns)).series
    assert len(turned.series.frames) == len(turns)
