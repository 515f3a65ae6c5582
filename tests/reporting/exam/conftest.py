"""One small head as files, and what is said of it."""

from pathlib import Path

import pytest

from ichnos.reporting.exam import ExamResult
from tests.dicom.head_files import head_datasets, write
from tests.reporting.exam.results import result_of


@pytest.fixture(scope="session")
def head_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head of 12 slices of 64×64, of a patient with a name and with dates."""
    known = {"PatientName": "Müller^Jörg", "PatientBirthDate": "19500203", "PatientSex": "M", "AccessionNumber": "A17"}
    dates = {"StudyDate": "20240105", "StudyTime": "101112", "AcquisitionDate": "20240105", "AcquisitionTime": "1013"}
    datasets = head_datasets(SpecificCharacterSet="ISO_IR 100", **known, **dates)
    return write(tmp_path_factory.mktemp("head"), datasets)


@pytest.fixture(scope="session")
def result(head_folder: Path) -> ExamResult:
    """Subdural and intraventricular hemorrhage are called."""
    return result_of(head_folder)
