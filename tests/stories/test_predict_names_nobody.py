"""`ichnos predict` names nobody: not in messages, logs, names of files or what it writes, DICOM objects apart."""

import re
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.dicom.ct_files import file_of
from tests.dicom.head_files import as_series, head_datasets, write
from tests.inference.networks import brightness
from tests.stories.predicting import (
    ALL_FORMATS,
    bundle_file,
    nifti_of,
    predict,
    summary,
    zipped,
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It calls bright slices: of the head some, not all."""
    return bundle_file(tmp_path_factory.mktemp("bundle") / "tiny.ichnos", brightness(level=-385, gain=0.05))


NAMES = {
    "PatientName": "Somebody^Known",
    "PatientID": "KNOWN-17",
    "PatientBirthDate": "19500203",
    "OtherPatientIDs": "KNOWN-18",
    "PatientAddress": "Known Street 3",
    "PatientTelephoneNumbers": "555-0199",
    "AccessionNumber": "ACC-4711",
    "StudyID": "KNOWN-5",
    "InstitutionName": "Known Hospital",
    "ReferringPhysicianName": "Known^Doctor",
    "OperatorsName": "Known^Operator",
    "StudyDescription": "of Somebody",
    "SeriesDescription": "of Somebody",
    "ProtocolName": "Somebody",
    "ConvolutionKernel": "SOMEBODY KNOWN",
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "KNOWN 1950"],
    "BodyPartExamined": "SOMEBODY",
    "ContrastBolusAgent": "Somebody",
    "ImageComments": "Somebody",
    "PatientComments": "Somebody",
    "RequestedProcedureDescription": "Somebody",
    "StudyDate": "20240105",
    "SeriesDate": "20240105",
    "ContentDate": "20240105",
}
SECRETS = re.compile(r"somebody|known|19500203|acc-4711|555-0199|20240105|(?<![\d.])1\.2\.[1-9](?!\d)", re.IGNORECASE)
CARRIED = {
    *("PatientName", "PatientID", "PatientBirthDate", "AccessionNumber", "StudyID", "ReferringPhysicianName"),
    *("StudyDescription", "StudyDate", "SeriesDate", "ContentDate"),
    *("StudyInstanceUID", "SeriesInstanceUID", "ReferencedSOPInstanceUID"),
}
"""What a DICOM object takes from its exam, so that a PACS files it there: nothing else of the patient is in it."""


def named(datasets: list[Dataset]) -> list[Dataset]:
    for dataset in datasets:
        for keyword, value in NAMES.items():
            setattr(dataset, keyword, value)
    return datasets


@pytest.mark.parametrize("option", [[], ["--json"]], ids=["lines", "json"])
def test_nobody_is_named_in_messages_logs_file_names_or_files(
    tmp_path: Path, bundle: Path, caplog: pytest.LogCaptureFixture, option: list[str]
) -> None:
    """Read, refused, skipped and unreadable alike, in every format; DICOM objects alone carry patient and study."""
    caplog.set_level("DEBUG")
    given = tmp_path / "SOMEBODY_KNOWN" / "19500203"
    read = as_series(named(head_datasets()), 1)
    read[3].PixelData = read[3].PixelData[:100]
    write(given / "read", read, "KNOWN-17")
    write(given / "refused", as_series(named(head_datasets(PixelSpacing=[8, 8])), 1, study=2), "KNOWN-17")
    volume = bytearray(nifti_of(0, "RAS"))
    volume[148:168] = b"Somebody^Known 1950 "  # descrip
    (given / "KNOWN-17.nii").write_bytes(volume)
    (given / "KNOWN-17.dcm").write_bytes(file_of(named(head_datasets())[0])[:300])
    zipped(given / "KNOWN-17.zip", write(tmp_path / "z", as_series(named(head_datasets()), 1, study=3), "KNOWN-17"))
    (given / "KNOWN-18.zip").write_bytes((given / "KNOWN-17.zip").read_bytes()[:-30])
    out = tmp_path / "out"
    ran = predict(bundle, out, given, "--format", ALL_FORMATS, *option)
    assert ran.exit_code == 3, ran
    exams = summary(out)["exams"]
    assert sorted(bool(exam["findings"]) for exam in exams) == [False, True, True, True]
    assert sum(len(exam["skipped"]) for exam in exams) == 1
    assert len(summary(out)["unreadable"]) == 2
    said = ran.stdout + ran.stderr + "".join(record.getMessage() for record in caplog.records)
    said = said.replace(str(tmp_path), "")
    assert not SECRETS.search(said), SECRETS.search(said)
    files = [path for path in out.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".html", ".dcm"}
    for path in files:
        assert not SECRETS.search(path.relative_to(out).as_posix())
        if path.suffix != ".dcm":
            text = re.sub(r'"data:image[^"]*"', "", path.read_text())
            assert not SECRETS.search(text), (path.name, SECRETS.search(text))
            continue
        for element in dcmread(path).iterall():
            if element.VR not in ("SQ", "OB", "OW", "OF") and SECRETS.search(str(element.value)):
                assert element.keyword in CARRIED, (path.name, element.keyword)
