"""All slices at a glance: in order, marked, undistorted, and few enough for a page."""

import itertools
import re
from base64 import b64decode
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from ichnos.phantom import CohortSettings, make_exam
from ichnos.reporting.exam import ExamResult
from ichnos.reporting.exam.contact_sheet import contact_sheet
from ichnos.reporting.exam.page import exam_page
from ichnos.subtypes import SUBTYPES, Subtype
from tests.reporting.exam.results import CALLED, findings_of


def of_slices(
    result: ExamResult, count: int, called: dict[Subtype, tuple[int, ...]], hu: np.ndarray | None = None
) -> ExamResult:
    """The exam with so many slices, its own again and again where no others are given."""
    own = result.exam
    exam = replace(
        own,
        hu=own.hu[np.arange(count) % len(own)] if hu is None else hu,
        offsets=np.arange(count) * 0.625,
        positions=np.zeros((count, 3)),
        references=own.references[:1] * count,
    )
    return replace(result, exam=exam, findings=findings_of(count, called), maps=None)


def picture(source: str) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(b64decode(source.removeprefix("data:image/jpeg;base64,")))))


def test_every_slice_is_there_from_the_lowest_with_what_is_said_of_it(result: ExamResult) -> None:
    sheet = contact_sheet(result)
    assert sheet.step == 1
    assert [each.number for each in sheet.thumbnails] == list(range(1, 13))
    assert [each.number for each in sheet.thumbnails if each.called] == [4, 5, 6, 10]
    assert [each.number for each in sheet.thumbnails if each.key] == [number + 1 for number in result.key_slices]
    every = [each.probabilities[Subtype.ANY] for each in result.findings.slices]
    assert [each.probability for each in sheet.thumbnails] == every
    assert sheet.thumbnails[4].text == (
        "slice 5 of 12, probability of any hemorrhage 0.80; called: any hemorrhage, subdural; key slice of: subdural"
    )
    assert sheet.thumbnails[0].text == "slice 1 of 12, probability of any hemorrhage 0.10"


def test_a_picture_is_its_own_slice_in_the_brain_window(result: ExamResult) -> None:
    hu = np.full((12, 64, 64), -1000, np.int16)
    hu[7, 16:48, 16:48] = 40
    sheet = contact_sheet(replace(result, exam=replace(result.exam, hu=hu)))
    middles = [picture(each.source)[96, 96] for each in sheet.thumbnails]
    assert [int(middle) > 20 for middle in middles] == [index == 7 for index in range(12)]
    assert abs(int(middles[7]) - 128) < 4


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 1.0), (2.0, 0.5)])
@pytest.mark.parametrize("shape", [(64, 64), (40, 64), (64, 30), (2, 64)])
def test_pictures_have_the_shape_of_the_slice_in_mm(
    result: ExamResult, spacing: tuple[float, float], shape: tuple[int, int]
) -> None:
    hu = np.ascontiguousarray(result.exam.hu[:, : shape[0], : shape[1]])
    sheet = contact_sheet(replace(result, exam=replace(result.exam, hu=hu, pixel_spacing=spacing)))
    tall, wide = shape[0] * spacing[0], shape[1] * spacing[1]
    assert max(sheet.width, sheet.height) == 192
    assert abs(sheet.height - sheet.width * tall / wide) <= max(1, tall / wide)
    assert picture(sheet.thumbnails[0].source).shape == (sheet.height, sheet.width)


@pytest.mark.parametrize("count", [61, 100, 300, 1000])
def test_of_many_slices_some_are_shown_and_all_key_ones(result: ExamResult, count: int) -> None:
    keys = (7, 20, 21, 33, 58, 59)  # of six classes: 33 of any, the others of a subtype each
    subtypes = {subtype: (key,) for subtype, key in zip(SUBTYPES, (7, 20, 21, 58, 59), strict=True)}
    sheet = contact_sheet(of_slices(result, count, {Subtype.ANY: keys, **subtypes}))
    shown = [each.number - 1 for each in sheet.thumbnails]
    assert shown == sorted(set(shown))
    assert set(keys) == {each.number - 1 for each in sheet.thumbnails if each.key}
    assert set(shown) == {*range(0, count, sheet.step), *keys}
    assert 30 <= len(shown) <= 60


def test_of_many_slices_with_nothing_called_the_most_suspicious_is_shown(result: ExamResult) -> None:
    many = of_slices(result, 300, {})
    slices = list(many.findings.slices)
    slices[101] = slices[101].model_copy(update={"probabilities": {**slices[101].probabilities, Subtype.ANY: 0.3}})
    many = replace(many, findings=many.findings.model_copy(update={"slices": tuple(slices)}))
    assert 102 in [each.number for each in contact_sheet(many).thumbnails]
    page = exam_page(many)
    assert "Of 300 slices one in 6 and the most suspicious one" in page
    assert "<mark>" not in page


def test_the_page_marks_called_and_key_slices_by_more_than_colour(result: ExamResult) -> None:
    page = exam_page(result)
    assert "All slices at a glance: not for diagnosis" in page
    assert page.count('<li class="called') == 4
    assert page.count('<li class="called key"') == page.count("<mark>key</mark>") == len(result.key_slices) == 3
    many = exam_page(of_slices(result, 300, dict(CALLED)))
    assert "Of 300 slices one in 6 and every key slice" in many
    assert many.count("<mark>key</mark>") == 3


def test_36_slices_of_a_head_take_less_than_half_a_megabyte(result: ExamResult) -> None:
    head = make_exam(CohortSettings(1, 2, {}, 512, (36, 36)), 0)
    page = exam_page(of_slices(result, 36, dict(CALLED), head.hu))
    assert sum(map(len, re.findall(r"data:image/jpeg[^\"]*", page))) < 400_000


@pytest.mark.parametrize("count", [1, 36, 300, 900])
def test_the_chart_of_slices_fits_the_page_until_bars_would_be_hairs(result: ExamResult, count: int) -> None:
    called = {} if count == 1 else dict(CALLED)
    page = exam_page(of_slices(result, count, called))
    chart = page[page.index('<section id="slices">') :].split("</svg>")[0]
    width = int(re.findall(r'<svg width="(\d+)"', chart)[0])
    assert width <= max(1048, 48 + 2 * count)
    bars = [(float(x), float(wide)) for x, wide in re.findall(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', chart)]
    assert len(bars) == count
    assert all(x + wide <= after for (x, wide), (after, _) in itertools.pairwise(bars))
    assert bars[-1][0] + bars[-1][1] <= width
    numbers = [float(x) for x in re.findall(r'<text x="([\d.]+)" y="[\d.]+" text-anchor="middle"', chart)]
    assert all(after - x > 24 for x, after in itertools.pairwise(numbers))
