"""The page of an exam: everything on it, nothing fetched, nobody named."""

import re
from base64 import b64decode
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from ichnos.reporting.exam import ExamResult
from ichnos.reporting.exam.page import exam_page, slice_ranges
from tests.dicom.head_files import as_series, head_datasets, write
from tests.reporting.exam.results import result_of


def pictures(page: str) -> list[np.ndarray]:
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    return [np.asarray(Image.open(BytesIO(b64decode(each)))) for each in found]


def test_it_says_what_is_called_with_both_thresholds_and_the_notice(result: ExamResult) -> None:
    page = exam_page(result)
    assert "Called: intraventricular (0.88), subdural (0.88); any hemorrhage 0.88" in page
    assert "To be looked at first" in page
    assert page.count("Research use only. Not a medical device.") == 2
    assert page.count("<td>0.500</td>") == page.count("<td>0.250</td>") == 6
    assert "it was made up" in page
    assert "4–6, 10" in page


def test_it_shows_each_key_slice_as_it_is_and_in_colour(result: ExamResult) -> None:
    shown = pictures(exam_page(result))
    assert [each.ndim for each in shown] == [2, 3] * 3
    assert all(each.shape[:2] == (64, 64) for each in shown)
    assert all(int((each[..., 0].astype(int) - each[..., 2] > 30).sum()) > 0 for each in shown[1::2])


def test_without_class_maps_it_shows_each_key_slice_without_colour_and_says_why(result: ExamResult) -> None:
    page = exam_page(replace(result, maps=None))
    assert [each.ndim for each in pictures(page)] == [2] * 3
    assert "This bundle's network has no class maps" in page
    assert "Grad-CAM" not in page
    assert "no class maps" not in exam_page(result)


def test_a_demonstration_is_said_before_any_slice_is_shown(result: ExamResult) -> None:
    doubts = ("a demonstration: trained on two heads", *result.findings.doubts)
    page = exam_page(replace(result, findings=result.findings.model_copy(update={"doubts": doubts})))
    assert "a demonstration: trained on two heads" in page.partition("<img")[0].lower()
    assert "demonstration" not in exam_page(result).lower()


def test_it_fetches_nothing(result: ExamResult) -> None:
    page = exam_page(result)
    assert not re.search(r"https?://|url\(|@import|<script|<link", page)
    assert all(source.startswith("data:image/") for source in re.findall(r'src="([^"]*)"', page))


def test_it_names_nobody(tmp_path: Path) -> None:
    named = as_series(head_datasets(PatientID="KNOWN-17", StudyDescription="Known", SeriesDescription="Known"), 1)
    for dataset in named:
        dataset.ConvolutionKernel = "KNOWN^SOMEBODY"
    folder = write(tmp_path / "Known", named)
    page = exam_page(result_of(folder))
    page = re.sub(r'"data:[^"]*"', "", page)
    assert not re.search(r"known|somebody|müller|1\.2\.1", page, re.IGNORECASE)


def test_nothing_called_shows_the_most_suspicious_slice_without_colour(head_folder: Path) -> None:
    page = exam_page(result_of(head_folder, called={}))
    assert "No hemorrhage called; probability of any 0.12" in page
    assert "To be looked at first" not in page
    assert "Grad-CAM" not in page
    assert [each.ndim for each in pictures(page)] == [2]


def test_the_same_exam_gives_the_same_page(result: ExamResult, head_folder: Path) -> None:
    assert exam_page(result) == exam_page(result_of(head_folder))


def test_a_series_that_was_left_stands_there_with_the_reason(tmp_path: Path) -> None:
    write(tmp_path, as_series(head_datasets(ConvolutionKernel="H31s"), 1), "a")
    write(tmp_path, as_series(head_datasets(ConvolutionKernel="H60s"), 2), "b")
    assert "a sharper kernel than series 1" in exam_page(result_of(tmp_path))


def test_slices_are_counted_from_1() -> None:
    assert slice_ranges((0, 1, 2, 5)) == "1–3, 6"
    assert slice_ranges(()) == ""
