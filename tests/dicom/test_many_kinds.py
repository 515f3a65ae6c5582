"""A file that says another kind of slice for each of its frames, and costs no time."""

import math
import time
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

from ichnos.dicom.exams import read_exams
from ichnos.dicom.finding import FoundFile, find_files
from ichnos.dicom.frames import read_facts
from ichnos.dicom.parsing import START_BYTES
from ichnos.dicom.series import series_of
from tests.dicom.ct_files import file_of
from tests.dicom.head_files import enhanced, head_datasets


def many_kinds(attribute: str, count: int) -> Dataset:
    """A multi-frame file without pixels whose every frame has another thickness, spacing or direction."""
    multi = enhanced(head_datasets(PixelData=b"")[:1], [0] * count)
    for number, frame in enumerate(multi.PerFrameFunctionalGroupsSequence, start=1):
        measures, plane = Dataset(), Dataset()
        turned = math.radians(170 * number / count)
        measures.PixelSpacing = [round(1 + number / 200, 3) if attribute == "spacing" else 1, 1]
        measures.SliceThickness = round(1 + number / 10, 1) if attribute == "thickness" else 5
        plane.ImageOrientationPatient = [1, 0, 0, 0, round(math.cos(turned), 6), round(math.sin(turned), 6)]
        frame.PixelMeasuresSequence = DicomSequence([measures])
        if attribute == "direction":
            frame.PlaneOrientationSequence = DicomSequence([plane])
    return multi


@pytest.mark.parametrize("attribute", ["thickness", "spacing", "direction"])
def test_a_file_whose_frames_are_of_many_kinds_is_refused(tmp_path: Path, attribute: str) -> None:
    (tmp_path / "file").write_bytes(file_of(many_kinds(attribute, 120)))
    (reading,) = read_exams([tmp_path])
    assert "more than 100 kinds" in (reading.refusal or "")
    assert len(reading.series) == 1


def test_twenty_thousand_frames_of_as_many_kinds_are_told_in_no_time(tmp_path: Path) -> None:
    """Each was once compared with each other one, which took minutes."""
    (tmp_path / "file").write_bytes(file_of(head_datasets()[0]))
    (found,) = find_files([tmp_path])
    assert isinstance(found, FoundFile)
    facts = read_facts(found, found.read(START_BYTES))
    numbers = range(1, 20_001)
    of_thicknesses = tuple(replace(facts.frames[0], thickness=number / 20) for number in numbers)
    of_spacings = tuple(replace(facts.frames[0], pixel_spacing=(number / 1000, 1.0)) for number in numbers)
    begun = time.monotonic()
    for frames in (of_thicknesses, of_spacings):
        (only,) = series_of([(1, replace(facts, frames=frames))])
        assert only.frames == ()
        assert "more than 100 kinds" in only.faults[0]
    assert time.monotonic() - begun < 20
