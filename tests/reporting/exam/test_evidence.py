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

from ichnos.dicom.identifiers import is_valid_uid
from ichnos.dicom.parsing import quiet_pydicom
from ichnos.reporting.exam import ExamResult
from ichnos.reporting.exam.evidence import evidence_of
from ichnos.reporting.exam.key_objects import key_objects
from ichnos.reporting.exam.structured_report import structured_report
from tests.dicom.head_files import file_of, head_datasets

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
