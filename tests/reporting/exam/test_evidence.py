"""Whatever stands in a header, an object can be made of it, and it says nothing that is no date, time or sex."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.datadict import dictionary_VR
from pydicom.tag import Tag
from pydicom.uid import UID

from ichnos.dicom.identifiers import is_valid_uid
from ichnos.dicom.parsing import quiet_pydicom
from ichnos.reporting.exam import ExamResult, Format, write_outputs
from ichnos.reporting.exam.evidence import evidence_of
from ichnos.reporting.exam.heatmaps import parametric_map, picture
from ichnos.reporting.exam.key_objects import key_objects
from ichnos.reporting.exam.structured_report import structured_report
from tests.dicom.head_files import enhanced, file_of, head_datasets, write
from tests.reporting.exam.results import result_of

READ = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "IssuerOfPatientID"),
    *("StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber", "ReferringPhysicianName"),
    *("AcquisitionDate", "AcquisitionTime", "SeriesDate", "ContentDate", "TimezoneOffsetFromUTC"),
    *("FrameOfReferenceUID", "PatientIdentityRemoved", "DeidentificationMethod"),
)


def of_header(result: ExamResult, path: Path, values: Mapping[str, bytes]) -> ExamResult:
    """The same exam, the header of its first slice another one."""
    dataset = head_datasets()[0]
    for keyword in values:
        dataset.pop(keyword, None)
    data = file_of(dataset)
    group = data.index(b"\x28\x00\x02\x00US")  # elements as bytes: pydicom writes only what it finds valid
    own = b"".join(
        Tag(keyword).group.to_bytes(2, "little")
        + Tag(keyword).element.to_bytes(2, "little")
        + dictionary_VR(keyword).encode()
        + len(value).to_bytes(2, "little")
        + value
        for keyword, value in values.items()
    )
    path.write_bytes(data[:group] + own + data[group:])
    first = replace(result.exam.references[0], path=path)
    return replace(result, exam=replace(result.exam, references=(first, *result.exam.references[1:])))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(READ), st.binary(max_size=80)))
def test_any_header_will_do(result: ExamResult, tmp_path: Path, values: dict[str, bytes]) -> None:
    changed = of_header(result, tmp_path / "first", values)
    evidence = evidence_of(changed)
    for data in (structured_report(changed, evidence), key_objects(changed, evidence)):
        with quiet_pydicom():
            dataset = dcmread(BytesIO(data))
            assert len(dataset.ContentDate) == 8
            assert dataset.PatientSex in ("", "M", "F", "O")
            assert is_valid_uid(dataset.SOPInstanceUID)
            assert dataset.StudyInstanceUID == result.exam.study
            assert "PatientName" in dataset


@pytest.mark.parametrize(
    ("values", "date", "time"),
    [
        (
            {"AcquisitionDate": b"20240102", "AcquisitionTime": b"030405.5", "StudyDate": b"20230101"},
            "20240102",
            "030405.5",
        ),
        ({"AcquisitionDate": b"2024.1.2", "SeriesDate": b"20240103", "SeriesTime": b"9:30"}, "20240103", "000000"),
        ({"StudyDate": b"20240229", "StudyTime": b"2359"}, "20240229", "2359"),
        ({"StudyDate": b"20230229", "StudyTime": b"2359"}, "19000101", "000000"),
        ({}, "19000101", "000000"),
    ],
)
def test_the_moment_is_the_first_that_the_source_has(
    result: ExamResult, tmp_path: Path, values: dict[str, bytes], date: str, time: str
) -> None:
    evidence = evidence_of(of_header(result, tmp_path / "first", values))
    assert (evidence.date, evidence.time, evidence.dated) == (date, time, date != "19000101")


def test_nothing_is_logged_of_a_name(result: ExamResult, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    changed = of_header(result, tmp_path / "first", {"PatientName": b"KNOWN=a=b=c=d", "PatientSex": b"KNOWN"})
    structured_report(changed, evidence_of(changed))
    assert "KNOWN" not in caplog.text


@pytest.mark.parametrize("alike", [(2, 5), tuple(range(12))])
def test_slices_with_the_same_uid_have_no_dicom_and_the_reason_is_said(tmp_path: Path, alike: tuple[int, ...]) -> None:
    """References could not tell them apart; the page can."""
    datasets = head_datasets()
    for k in alike:
        datasets[k].SOPInstanceUID = UID("1.2.3.1.999")
    result = result_of(write(tmp_path / "in", datasets))
    assert len(result.exam) == len(datasets)
    written = write_outputs(result, Format, tmp_path / "out")
    assert written.files == ["report.html"]
    assert written.refused.keys() == {Format.SR, Format.KEY_OBJECTS, Format.HEATMAP}
    for reason in written.refused.values():
        assert reason.startswith("several of its slices have the same SOP Instance UID")
        assert "999" not in reason


@pytest.mark.parametrize("lossy", [(0,), (9,), tuple(range(12))])
def test_what_was_compressed_with_loss_stays_so(tmp_path: Path, lossy: tuple[int, ...]) -> None:
    """PS3.3 C.7.6.1.1.5; where only some slices were, too: what is said of one may be made of its neighbours."""
    datasets = head_datasets()
    for k in lossy:
        datasets[k].LossyImageCompression = "01"
        datasets[k].LossyImageCompressionRatio = ["10", "2.5"]
        datasets[k].LossyImageCompressionMethod = ["ISO_10918_1", "ISO_15444_1"]
    result = result_of(write(tmp_path / "in", datasets))
    written = write_outputs(result, [Format.SR, Format.HEATMAP], tmp_path / "out")
    assert not written.refused
    for name in written.files:
        dataset = dcmread(tmp_path / "out" / name)
        if name == "sr.dcm":
            assert "LossyImageCompression" not in dataset
            continue
        assert dataset.LossyImageCompression == "01", name
        assert list(dataset.LossyImageCompressionRatio) == [10, 2.5]
        assert list(dataset.LossyImageCompressionMethod) == ["ISO_10918_1", "ISO_15444_1"]


@pytest.mark.parametrize(
    ("ratio", "method", "kept"),
    [
        (b"12.5", b"ISO_10918_1 ", {"LossyImageCompressionRatio": 12.5, "LossyImageCompressionMethod": "ISO_10918_1"}),
        (b"some", b"by scanner\x01 ", {}),
        (b"", b"", {}),
    ],
)
def test_ratio_and_method_of_another_form_are_left_out(
    result: ExamResult, tmp_path: Path, ratio: bytes, method: bytes, kept: dict[str, object]
) -> None:
    values = {
        "LossyImageCompression": b"01",
        "LossyImageCompressionRatio": ratio,
        "LossyImageCompressionMethod": method,
    }
    evidence = evidence_of(of_header(result, tmp_path / "first", values))
    assert {each.keyword: each.value for each in evidence.loss} == {"LossyImageCompression": "01"} | kept


def test_without_loss_none_is_said(result: ExamResult) -> None:
    evidence = evidence_of(result)
    image = dcmread(BytesIO(picture(result.findings.any, 1, result, evidence)))
    assert "LossyImageCompression" not in image
    image = dcmread(BytesIO(parametric_map(result.findings.any, 1, result, evidence)))
    assert image.LossyImageCompression == "00"


def test_each_slice_has_a_stand_in_of_its_own(result: ExamResult, tmp_path: Path) -> None:
    for each in (result, result_of(multi_frame(tmp_path))):
        evidence = evidence_of(each)
        assert [evidence.goals[s.SOPInstanceUID] for s in evidence.slices] == list(each.exam.references)


def multi_frame(folder: Path) -> Path:
    """The head as one enhanced object: all its slices have one UID, and frames tell them apart."""
    (folder / "multi").write_bytes(file_of(enhanced(head_datasets())))
    return folder
