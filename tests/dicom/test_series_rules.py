"""Which series of an exam is taken, and that every other has its reason."""

import json
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    BasicTextSRStorage,
    KeyObjectSelectionDocumentStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
)

from ichnos.dicom.exams import ExamReading, find_exams, read_exams, read_found_exam
from ichnos.dicom.finding import FoundFile, find_files
from ichnos.dicom.frames import read_facts
from ichnos.dicom.series import Series, series_of
from ichnos.dicom.series_rules import DEFAULT_RULES, PREFER, SeriesRules, parse_rules, rank, with_contrast_said
from ichnos.errors import UsageError
from tests.dicom.ct_files import file_of
from tests.dicom.head_files import SLICES, as_series, head, head_datasets, write


def read(folder: Path, rules: SeriesRules = DEFAULT_RULES) -> ExamReading:
    (only,) = read_exams([folder], rules)
    return only


def taken(reading: ExamReading) -> list[str]:
    """The kernels, descriptions or sizes do not matter here: which series by its own identifier."""
    return [record.series.uid for record in reading.series if record.taken]


def reasons(reading: ExamReading) -> dict[str, str]:
    return {record.series.uid: record.reason for record in reading.series if not record.taken}


def series_like(tmp_path: Path, **values: object) -> Series:
    """What is known of a series of one slice before its pixels are read."""
    path = tmp_path / "only"
    path.write_bytes(file_of(head_datasets(**values)[0]))
    (found,) = find_files([path])
    assert isinstance(found, FoundFile)
    (series,) = series_of([(1, read_facts(found, found.read()))])
    return series


def pair(tmp_path: Path, better: list[Dataset], worse: list[Dataset]) -> ExamReading:
    write(tmp_path, as_series(worse, 1), "a")
    write(tmp_path, as_series(better, 2), "b")
    return read(tmp_path)


PREFERENCES = {
    "kernel": ({"ConvolutionKernel": "H31s"}, {"ConvolutionKernel": "H60s"}, "a sharper kernel than series 2"),
    "kernel of GE": ({"ConvolutionKernel": "STANDARD"}, {"ConvolutionKernel": "BONEPLUS"}, "a sharper kernel"),
    "kernel of Canon": ({"ConvolutionKernel": "FC26"}, {"ConvolutionKernel": "FC30"}, "a sharper kernel"),
    "kernel of Philips": ({"ConvolutionKernel": "UB"}, {"ConvolutionKernel": "YD"}, "a sharper kernel"),
    "kernel with a strength": ({"ConvolutionKernel": ["Hr38f", "3"]}, {"ConvolutionKernel": ["Hr64", "3"]}, "sharper"),
    "kernel named in words": ({}, {"SeriesDescription": "HEAD BONE"}, "kernel"),
    "contrast": ({}, {"ContrastBolusAgent": "Iohexol"}, "with contrast, other than series 2"),
    "body part": ({"BodyPartExamined": "HEAD"}, {"BodyPartExamined": "CSPINE"}, "less clearly a head"),
    "no words and a soft kernel": (
        {"SeriesDescription": "AXIAL 5MM", "ConvolutionKernel": "H31s"},
        {"SeriesDescription": "HEAD BONE", "ConvolutionKernel": "H60s"},
        "a sharper kernel",
    ),
    "no words and no contrast": (
        {"SeriesDescription": "AXIAL 5MM"},
        {"SeriesDescription": "CTA HEAD", "ContrastBolusAgent": "Iohexol"},
        "with contrast",
    ),
    "contrast in words": (
        {"SeriesDescription": "HEAD PLAIN"},
        {"SeriesDescription": "HEAD POST CONTRAST"},
        "with contrast",
    ),
    "contrast and a kernel that is not known": (
        {"ConvolutionKernel": "XY"},
        {"ConvolutionKernel": "Hr40", "ContrastBolusAgent": "Iohexol"},
        "with contrast",
    ),
    "contrast and a sharp kernel": (
        {"ConvolutionKernel": "H60s"},
        {"ConvolutionKernel": "H31s", "ContrastBolusAgent": "Iohexol"},
        "with contrast",
    ),
    "an agent of one that is called plain": (
        {"SeriesDescription": "HEAD W/O", "ContrastBolusAgent": "Iohexol"},
        {"SeriesDescription": "HEAD C+", "ContrastBolusAgent": "Iohexol"},
        "with contrast",
    ),
    "original": ({}, {"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, "more derived"),
    "thickness": ({"SliceThickness": 5}, {"SliceThickness": 0.6}, "a less usual slice thickness"),
}


@pytest.mark.parametrize("name", PREFERENCES)
def test_of_two_series_the_better_is_taken(tmp_path: Path, name: str) -> None:
    better, worse, reason = PREFERENCES[name]
    if name == "kernel named in words":
        better = {"SeriesDescription": "HEAD", "ConvolutionKernel": "?"}
    reading = pair(tmp_path, head_datasets(**better), head_datasets(**worse))
    assert taken(reading) == ["1.2.1.2"]
    assert reason in reasons(reading)["1.2.1.1"]


KERNELS = {
    **dict.fromkeys(("BONE", "BONEPLUS", "LUNG", "EDGE", "ULTRA", "HEAD SHARP", "FC30", "FC81"), 0),
    **dict.fromkeys(("H60s", "Hr64", "J70h", "Qr76", "Br64", "Hr72", "D", "L", "YA"), 0),
    **dict.fromkeys(("DEFAULT", "LITE", "EXT", "BEST", "YES", ""), 1),
    **dict.fromkeys(("DETAIL", "STANDARD", "SOFT", "BRAIN", "ULTRA SMOOTH", "FC26", "FC08-H"), 2),
    **dict.fromkeys(("H31s", "Hr38f", "Qr40", "Hr40", "Br44", "D30f", "I31f", "A", "UB"), 2),
}


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_kernel_is_sharp_or_soft_by_its_whole_name(tmp_path: Path, kernel: str) -> None:
    """0 sharp, 1 not known, 2 soft."""
    rules = SeriesRules(order=("kernel",))
    assert rank(series_like(tmp_path, ConvolutionKernel=kernel), rules) == (KERNELS[kernel],)


def test_coverage_comes_before_the_number_of_slices(tmp_path: Path) -> None:
    reading = pair(tmp_path, head_datasets(), head_datasets()[4:8])
    assert taken(reading) == ["1.2.1.2"]
    assert "covers less" in reasons(reading)["1.2.1.1"]


def test_a_whole_series_comes_before_one_with_gaps(tmp_path: Path) -> None:
    full = head_datasets()
    reading = pair(tmp_path, full, [d for k, d in enumerate(head_datasets()) if k not in (4, 5)])
    assert "more slices missing" in reasons(reading)["1.2.1.1"]


def test_equals_are_told_apart_by_their_order(tmp_path: Path) -> None:
    write(tmp_path, as_series(head_datasets(), 1), "a")
    write(tmp_path, as_series(head_datasets(), 2), "b")
    assert reasons(read(tmp_path)) == {"1.2.1.2": "as good as series 1, which comes first"}


AT_8 = {"AcquisitionDate": "20240105", "AcquisitionTime": "080015.25"}
AT_14 = {"AcquisitionDate": "20240105", "AcquisitionTime": "140000"}
AT_14_IN_ONE = {"AcquisitionDateTime": "20240105140000.5+0100"}
AT_14_OF_SERIES = {"SeriesDate": "20240105", "SeriesTime": "140000"}


@pytest.mark.parametrize("later", [AT_14, AT_14_IN_ONE, AT_14_OF_SERIES], ids=["date and time", "in one", "of series"])
def test_of_two_scans_the_later_is_taken_with_a_doubt(tmp_path: Path, later: dict[str, str]) -> None:
    """The later one has a slice less, which does not matter."""
    write(tmp_path, as_series(head_datasets(**AT_8), 1), "a")
    write(tmp_path, as_series(head_datasets(**later)[:-1], 2), "b")
    reading = read(tmp_path)
    assert reasons(reading) == {"1.2.1.1": "less recent than series 2"}
    assert reading.exam is not None
    (doubt,) = [doubt for doubt in reading.exam.doubts if "equally good" in doubt]
    assert doubt.startswith("1 equally good series of this study not read")


@pytest.mark.parametrize(
    ("one", "other", "doubted"),
    [
        ({}, {}, True),
        (AT_8, {}, True),
        (AT_8, {**AT_8, "AcquisitionTime": "080045"}, False),  # one scan, reconstructed twice
        (AT_8, {**AT_14, "ConvolutionKernel": "H60s"}, False),
        (AT_8, {**AT_14, "ImageType": ["DERIVED", "SECONDARY", "MIP"]}, False),
    ],
    ids=["no times", "one time", "one scan", "a sharp kernel", "left"],
)
def test_equally_good_series_leave_a_doubt_unless_they_are_of_one_scan(
    tmp_path: Path, one: dict[str, object], other: dict[str, object], doubted: bool
) -> None:
    reading = pair(tmp_path, head_datasets(**one), head_datasets(**other))
    assert reading.exam is not None
    assert any("equally good" in doubt for doubt in reading.exam.doubts) == doubted


def test_rules_of_before_there_were_times_still_hold(tmp_path: Path) -> None:
    """An order that does not name the time: of equals the first found is taken."""
    write(tmp_path, as_series(head_datasets(**AT_8), 1), "a")
    write(tmp_path, as_series(head_datasets(**AT_14), 2), "b")
    rules = parse_rules('{"order": ["body part", "kernel", "contrast", "slices"]}')
    assert taken(read(tmp_path, rules)) == ["1.2.1.1"]


def _lone(kind: str, modality: str, series: int) -> Dataset:
    dataset = head_datasets(SOPClassUID=kind, Modality=modality)[:1]
    return as_series(dataset, series)[0]


def test_a_folder_as_it_comes_from_a_pacs(tmp_path: Path) -> None:
    """A scout, a dose report, a dose screen, captures, key images, a map, bone, sagittal, and the one to read."""
    scout = as_series(head_datasets(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])[:2], 1)
    write(tmp_path, scout, "a")
    write(tmp_path, [_lone(BasicTextSRStorage, "SR", 2)], "b")
    write(tmp_path, [_lone(SecondaryCaptureImageStorage, "OT", 3)], "c")
    write(tmp_path, [_lone(KeyObjectSelectionDocumentStorage, "KO", 4)], "d")
    write(tmp_path, [_lone(ParametricMapStorage, "CT", 5)], "e")
    write(tmp_path, as_series(head_datasets(ConvolutionKernel="H60s"), 6), "f")
    write(tmp_path, as_series(head_datasets(ImageOrientationPatient=[0, 1, 0, 0, 0, -1]), 7), "g")
    write(tmp_path, as_series(head_datasets(ImageType=["DERIVED", "SECONDARY", "SCREEN SAVE"])[:1], 8), "h")
    write(tmp_path, as_series(head_datasets(ConvolutionKernel="H30s"), 9), "i")
    write(tmp_path, as_series(head_datasets(RescaleType="Z_EFF"), 10), "j")
    reading = read(tmp_path)
    assert reading.exam is not None
    np.testing.assert_array_equal(reading.exam.hu, head().hu)
    assert taken(reading) == ["1.2.1.9"]
    said = reasons(reading)
    for number, words in {
        1: "LOCALIZER",
        2: "a report (modality SR), perhaps an earlier result",
        3: "a capture (modality OT), perhaps an earlier result",
        4: "a selection of key images",
        5: "it is a Parametric Map Storage, perhaps an earlier result",
        6: "a sharper kernel",
        7: "not axial: they lie at 90°",
        8: "SCREEN SAVE",
        10: "in Z_EFF, not in HU",
    }.items():
        assert words in said[f"1.2.1.{number}"], number


def test_two_kernels_under_one_series_are_told_apart(tmp_path: Path) -> None:
    datasets = head_datasets(ConvolutionKernel="H30s")
    bone = head_datasets(ConvolutionKernel="H60s")
    for k, dataset in enumerate(bone):
        dataset.SOPInstanceUID = f"1.2.3.9.{k + 1}"
    write(tmp_path, bone, "a")
    reading = read(write(tmp_path, datasets, "b"))
    assert reading.exam is not None
    assert len(reading.exam) == SLICES
    assert {record.series.kernel: record.taken for record in reading.series} == {"H30S": True, "H60S": False}


def test_thick_and_thin_slices_of_one_region_under_one_series_are_told_apart(tmp_path: Path) -> None:
    thin = head_datasets(SliceThickness=1.25)
    for k, dataset in enumerate(thin):
        dataset.SOPInstanceUID = f"1.2.3.9.{k + 1}"
        dataset.ImagePositionPatient = [*dataset.ImagePositionPatient[:2], dataset.ImagePositionPatient[2] + 1.0]
    write(tmp_path, thin, "a")
    reading = read(write(tmp_path, head_datasets(SliceThickness=5), "b"))
    assert reading.exam is not None
    assert (len(reading.exam), reading.exam.thickness) == (SLICES, 5.0)
    assert {record.series.thickness: record.taken for record in reading.series} == {5.0: True, 1.25: False}


def test_a_base_in_thinner_slices_belongs_to_the_exam(tmp_path: Path) -> None:
    datasets = head_datasets(SliceThickness=5)
    for dataset in datasets[: SLICES // 2]:
        dataset.SliceThickness = 2.5
    reading = read(write(tmp_path, datasets))
    assert reading.exam is not None
    assert len(reading.exam) == SLICES


def test_where_the_best_is_no_head_the_next_is_read(tmp_path: Path) -> None:
    chest = head_datasets(PixelSpacing=[8.0, 8.0], BodyPartExamined="HEAD")
    reading = pair(tmp_path, head_datasets(), chest)
    assert taken(reading) == ["1.2.1.2"]
    assert reasons(reading)["1.2.1.1"].startswith("not a head CT")


def test_doubts_of_contrast_and_of_bone(tmp_path: Path) -> None:
    exam = read(write(tmp_path, head_datasets(ContrastBolusAgent="Iohexol", ConvolutionKernel="BONE"))).exam
    assert exam is not None
    assert any("contrast was given" in doubt for doubt in exam.doubts)
    assert any("sharp kernel" in doubt for doubt in exam.doubts)


CONTRAST_WORDS = {
    **dict.fromkeys(
        ("HEAD C+", "C+ 5mm", "HEAD +C", "CTA HEAD", "CT_ANGIO", "Head post", "POST 5.0 MM", "POST IV"), True
    ),
    **dict.fromkeys(
        ("HEAD WITH CONTRAST", "Kopf mit KM", "HEAD W/C", "HEAD_W_CON", "W/O AND W CONTRAST", "W/WO"), True
    ),
    **dict.fromkeys(("C-/C+", "nativ und KM", "TESTA CON MDC"), True),
    **dict.fromkeys(
        ("HEAD W/O", "HEAD WITHOUT IV CONTRAST", "NON-CONTRAST HEAD", "NONCON", "Kopf nativ", "PLAIN"), False
    ),
    **dict.fromkeys(("HEAD C-", "HEAD WO CON", "ohne KM", "PRE CONTRAST", "NCCT", "UNENHANCED HEAD"), False),
    **dict.fromkeys(
        ("HEAD WO/CONTRAST", "HEAD W-O CONTRAST", "W/O I/V CONTRAST", "HEAD WO I.V. CONTRAST", "CONTRAST: NO"), False
    ),
    **dict.fromkeys(
        ("WO INTRAVENOUS CONTRAST", "WITHOUT ANY CONTRAST", "SENZA MEZZO DI CONTRASTO", "SANS PRODUIT DE CONTRASTE"),
        False,
    ),
    **dict.fromkeys(
        ("HEAD + C-SPINE", "HEAD W/C-SPINE", "HEAD WITH C-SPINE", "HEAD W C-COLLAR", "CONTRAST NONE"), False
    ),
    **dict.fromkeys(
        ("WO/W CONTRAST", "W/O + W CONTRAST", "WO IV/W IV CONTRAST", "HEAD +C C-SPINE", "WITH CONTRAST"), True
    ),
    **dict.fromkeys(
        ("", "AXIAL 5MM", "POST OP", "POST FALL", "POST CONCUSSION", "POST FOSSA", "C-SPINE", "HEAD"), False
    ),
}


@pytest.mark.parametrize("description", CONTRAST_WORDS)
def test_contrast_by_the_words_of_a_description(tmp_path: Path, description: str) -> None:
    series = series_like(tmp_path, SeriesDescription=description)
    assert with_contrast_said(series).contrast == CONTRAST_WORDS[description]
    rules = SeriesRules(order=("contrast",))
    assert rank(series, rules) == ((0,) if CONTRAST_WORDS[description] else (2,))


AGENTS = {
    **dict.fromkeys(
        ("NO CONTRAST", "WITHOUT CONTRAST", "NONE", "NO", "n/a", "No I.V. contrast", "NON-CONTRAST"), False
    ),
    **dict.fromkeys(("ohne KM", "NOT GIVEN", "-", "", "W/O"), False),
    **dict.fromkeys(("Iohexol", "NON IONIC", "Omnipaque 350", "YES", "APPLIED", "NO REACTION, Iohexol"), True),
}


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("coded", [False, True], ids=["named", "coded"])
def test_contrast_by_its_agent(tmp_path: Path, agent: str, coded: bool) -> None:
    item = Dataset()
    item.CodeMeaning = agent
    values: dict[str, object] = {"ContrastBolusAgentSequence": [item]} if coded else {"ContrastBolusAgent": agent}
    assert series_like(tmp_path, **values).contrast == (AGENTS[agent] or (coded and agent == ""))


def test_contrast_by_words_is_read_where_nothing_else_is_there_and_leaves_the_doubt(tmp_path: Path) -> None:
    reading = read(write(tmp_path, head_datasets(SeriesDescription="HEAD POST CONTRAST")))
    assert reading.exam is not None
    assert any("contrast was given" in doubt for doubt in reading.exam.doubts)
    assert [record.series.contrast for record in reading.series] == [True]


def test_rules_can_be_changed(tmp_path: Path) -> None:
    write(tmp_path, as_series(head_datasets(ConvolutionKernel="H31s"), 1), "a")
    write(tmp_path, as_series(head_datasets(ConvolutionKernel="H60s"), 2), "b")
    rules = parse_rules(json.dumps({"sharp_kernels": ["H3"], "soft_kernels": ["H6"]}))
    assert taken(read(tmp_path, rules)) == ["1.2.1.2"]
    for word in ("AXIAL", "axial"):  # words are compared in capitals
        rules = parse_rules(json.dumps({"left_image_types": [word]}))
        assert read(tmp_path, rules).refusal == "its ImageType says AXIAL"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "not JSON"),
        ("[]", "an object with some of the fields"),
        ('{"kernels": []}', "an object with some of the fields"),
        ('{"thickness": 5}', "the rule thickness wants"),
        ('{"thickness": [5]}', "two numbers"),
        ('{"largest_tilt": "steep"}', "the rule largest_tilt wants"),
        ('{"whole_brain": 0}', "whole_brain wants mm above 0"),
        ('{"largest_tilt": -1}', "largest_tilt degrees from 0 on"),
        ('{"order": ["beauty"]}', "no preference 'beauty'"),
        ('{"soft_kernels": ["("]}', "no regular expression"),
        ('{"contrast_words": ["("]}', "no regular expression"),
    ],
)
def test_rules_that_are_wrong_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_rules(text)


def test_every_preference_is_in_the_order() -> None:
    assert set(DEFAULT_RULES.order) == set(PREFER)


def test_series_are_numbered_in_the_order_found(tmp_path: Path) -> None:
    write(tmp_path, as_series(head_datasets(), 5), "b")
    write(tmp_path, as_series(head_datasets(), 9), "a")
    (found,) = find_exams([tmp_path]).exams
    assert [(s.number, s.uid) for s in read_found_exam(found).found.series] == [(1, "1.2.1.9"), (2, "1.2.1.5")]
