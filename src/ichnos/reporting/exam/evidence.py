"""The DICOM objects that an exam was read from, as ours refer to them: valid, and without the patient until the end.

highdicom warns of, logs and refuses values that it finds odd; files are full of odd values and a patient's name may be
one. So objects are made from evidence that has no patient, and `finished` writes patient and study in afterwards, as
the source has them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date as calendar_date
from hashlib import sha256
from io import BytesIO
from itertools import chain
from typing import Any

import numpy as np
from pydicom import config, dcmwrite
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import UID, CTImageStorage

from ichnos import __version__
from ichnos.ct.exams import Exam, SliceReference, SourceKind
from ichnos.dicom.doubts import COMPRESSED_WITH_LOSS
from ichnos.dicom.exams import open_header
from ichnos.dicom.identifiers import derived_uid, is_valid_uid, valid_uid
from ichnos.dicom.parsing import quiet_pydicom
from ichnos.errors import ExamError
from ichnos.reporting.exam.result import ExamResult

MANUFACTURER = "ichnos"

UNNAMED = UID("2.25.0")
"""The SOP instance of an object until it is `finished`."""

NO_DATE, NO_TIME = "19000101", "000000"
"""Of an exam whose files have no date (RSNA 2019): objects must have one, and today's would change with each run."""

_TYPE_2 = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
    *("AccessionNumber", "ReferringPhysicianName"),
)
"""Of patient and study (PS3.3 C.7.1.1, C.7.2.1): written empty where the source lacks them."""

_TYPE_3 = ("IssuerOfPatientID", "StudyDescription", "PatientAge", "TimezoneOffsetFromUTC")

_FORMS: Mapping[str, re.Pattern[str]] = {
    "PatientSex": re.compile(r"[MFO]"),
    "PatientAge": re.compile(r"\d{3}[DWMY]"),
    "TimezoneOffsetFromUTC": re.compile(r"[+-]\d{4}"),
    "LossyImageCompressionRatio": re.compile(r"\d{1,8}(\.\d{1,7})?(\\\d{1,8}(\.\d{1,7})?)*"),
    "LossyImageCompressionMethod": re.compile(r"[A-Z0-9_ ]{1,16}(\\[A-Z0-9_ ]{1,16})*"),
}
"""A value of another form is left out, or empty where it must be there."""

_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?")

_OF_TODAY = (
    *("InstanceCreationDate", "InstanceCreationTime", "DateOfSecondaryCapture", "TimeOfSecondaryCapture"),
    "ContributingEquipmentSequence",
)
"""What highdicom writes of the moment; none of it must be there."""

_THINNEST = 0.1
"""mm of a slice where neither the files nor the gaps tell."""

_DATES = ("Acquisition", "Series", "Content", "Study")
"""Whose date and time our objects take: the first that the source has."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What our objects refer to and inherit.

    slices: a CT image for each slice of the exam as it was read, with no patient; its SOP instance is a key of `goals`.
    goals: for each, the object (and the frame) that it stands for. inherited: patient and study, as in the source.
    loss: what the source says of compression with loss, where it had any. dated: whether the source has a date.
    """

    slices: tuple[Dataset, ...]
    goals: Mapping[str, SliceReference]
    inherited: Dataset
    loss: Dataset
    date: str
    time: str
    dated: bool
    seed: tuple[str, ...]

    def uid(self, kind: str, *parts: str) -> str:
        """The UID of what our objects share or track: of slices, patient, study, findings, options and kind.

        Findings have doubts, bundle and version. Not of an object itself: see `finished`.
        """
        return derived_uid(kind, *parts, *self.seed)


def why_no_dicom(result: ExamResult) -> str | None:
    """Why no DICOM object can be made of an exam; None where it can."""
    if result.exam.source is SourceKind.NIFTI:
        return (
            "a NIfTI file names no patient, no study and no images for DICOM objects to refer to; give the DICOM exam"
        )
    if not all(each.sop_instance for each in result.exam.references):
        return "its slices have no SOP Instance UID for DICOM objects to refer to"
    files = {(each.path, each.member) for each in result.exam.references}
    if len({each.sop_instance for each in result.exam.references}) < len(files):
        return (
            "several of its slices have the same SOP Instance UID, so DICOM objects cannot say which they mean; give "
            "the exam with a UID of its own for each image"
        )
    return None


def evidence_of(result: ExamResult) -> Evidence:
    """Open the header of the first slice and make everything valid. Raises DicomError where the file is gone.

    Raises ExamError where no DICOM object can be made of the exam.
    """
    reason = why_no_dicom(result)
    if reason is not None:
        raise ExamError(reason)
    exam = result.exam
    header = open_header(exam.references[0])
    names = [f"{valid_uid(each.sop_instance)}/{each.frame or ''}" for each in exam.references]
    study = valid_uid(exam.study) if exam.study else derived_uid("study", *names)
    series = valid_uid(exam.series) if exam.series else derived_uid("series", *names)
    with quiet_pydicom():
        inherited = _inherited(header)
        frame_of_reference = _text(header, "FrameOfReferenceUID")
        date, time, dated = _moment(header)
        loss = _loss(exam, header)
    frame_of_reference = valid_uid(frame_of_reference) if frame_of_reference else derived_uid("space", series)
    inherited.StudyInstanceUID = study
    goals = {derived_uid("stand-in", str(index), names[index]): each for index, each in enumerate(exam.references)}
    slices = tuple(
        _stand_in(result, index, UID(uid), (study, series, frame_of_reference)) for index, uid in enumerate(goals)
    )
    findings = result.findings.model_copy(update={"exam": None})  # its number is of the call, not of the exam
    seed = (findings.to_json(), result.options, inherited.to_json(suppress_invalid_tags=True), date, time, *names)
    return Evidence(slices, goals, inherited, loss, date, time, dated, seed)


def finished(dataset: Dataset, evidence: Evidence) -> bytes:
    """An object as the bytes of its file: patient, study and dates of the source, references to what they stand for.

    Its SOP instance is a digest of all other bytes of the file, so that two files of one UID are the same: results,
    and what other versions of libraries make of them, give another UID wherever they give other bytes.
    """
    for keyword in _OF_TODAY:
        if keyword in dataset:
            delattr(dataset, keyword)
    for kind in ("Content", "Series"):
        if kind == "Content" or evidence.dated:
            setattr(dataset, f"{kind}Date", evidence.date)
            setattr(dataset, f"{kind}Time", evidence.time)
    if "Rows" in dataset:
        dataset.BodyPartExamined = "HEAD"
        for element in evidence.loss:
            dataset[element.tag] = element
    for element in evidence.inherited:
        dataset[element.tag] = element
    dataset.SpecificCharacterSet = "ISO_IR 192"
    _resolve(dataset, evidence.goals)
    _name(dataset, UNNAMED)
    _name(dataset, UID(derived_uid("object", sha256(_file_of(dataset)).hexdigest())))
    return _file_of(dataset)


def equipment(result: ExamResult) -> dict[str, Any]:
    """Who made an object, as highdicom's constructors take it: the bundle's digest is the serial number."""
    return {
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": "ichnos predict",
        "software_versions": __version__,
        "device_serial_number": result.findings.source.bundle_digest,
    }


def reference_of(evidence: Evidence, index: int) -> tuple[str, str]:
    """SOP class and SOP instance of a slice's stand-in, for content that refers to it."""
    dataset = evidence.slices[index]
    return dataset.SOPClassUID, dataset.SOPInstanceUID


def thickness(exam: Exam) -> float:
    """mm of a slice, for objects that must give one: as in the files, else from one slice to the next."""
    return exam.thickness or (float(np.median(exam.gaps)) if len(exam.gaps) else _THINNEST)


def _name(dataset: Dataset, uid: UID) -> None:
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid


def _file_of(dataset: Dataset) -> bytes:
    stream = BytesIO()
    with quiet_pydicom():
        dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def _stand_in(result: ExamResult, index: int, uid: UID, places: tuple[str, str, str]) -> Dataset:
    exam = result.exam
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = CTImageStorage, uid
    made.StudyInstanceUID, made.SeriesInstanceUID, made.FrameOfReferenceUID = places
    made.PositionReferenceIndicator = ""
    made.Modality = "CT"
    for keyword in _TYPE_2:
        setattr(made, keyword, "")
    made.Rows, made.Columns = exam.hu.shape[1:]
    made.PixelSpacing = [round(each, 9) for each in exam.pixel_spacing]
    made.SliceThickness = round(thickness(exam), 6)
    made.ImagePositionPatient = [round(value, 6) for value in exam.positions[index].tolist()]
    made.ImageOrientationPatient = [round(value, 9) for value in exam.orientation]
    return made


def _inherited(header: Dataset) -> Dataset:
    made = Dataset()
    for keyword in (*_TYPE_2, *_TYPE_3):
        value = _text(header, keyword)
        if not _is_of_form(keyword, value):
            value = ""
        if value or keyword in _TYPE_2:
            _put(made, keyword, value)
    method = _text(header, "DeidentificationMethod")
    if method and _text(header, "PatientIdentityRemoved") == "YES":
        _put(made, "PatientIdentityRemoved", "YES")
        _put(made, "DeidentificationMethod", method)
    return made


def _loss(exam: Exam, first: Dataset) -> Dataset:
    """What pictures made of an exam say of loss: as its first file that had any (PS3.3 C.7.6.1.1.5: 01 stays 01)."""
    made = Dataset()
    files = {(each.path, each.member): each for each in exam.references}
    others = files.values() if COMPRESSED_WITH_LOSS in exam.doubts else ()  # only then are all of them opened
    for header in chain([first], map(open_header, others)):
        if _text(header, "LossyImageCompression") != "01":
            continue
        made.LossyImageCompression = "01"
        for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
            value = _text(header, keyword)
            if _is_of_form(keyword, value):
                _put(made, keyword, value)
        break
    return made


def _put(dataset: Dataset, keyword: str, value: str) -> None:
    # as the source has it, so that a PACS finds the same patient: not checked again
    dataset.add(DataElement(keyword, dictionary_VR(keyword), value, validation_mode=config.IGNORE))


def _is_of_form(keyword: str, value: str) -> bool:
    if keyword.endswith("Date"):
        return _is_date(value)
    if keyword.endswith("Time"):
        return _TIME.fullmatch(value) is not None
    return keyword not in _FORMS or _FORMS[keyword].fullmatch(value) is not None


def _is_date(value: str) -> bool:
    if re.fullmatch(r"[0-9]{8}", value) is None:
        return False
    try:
        calendar_date(int(value[:4]), int(value[4:6]), int(value[6:]))
    except ValueError:
        return False
    return True


def _moment(header: Dataset) -> tuple[str, str, bool]:
    for kind in _DATES:
        date, time = _text(header, f"{kind}Date"), _text(header, f"{kind}Time")
        if _is_date(date):
            return date, time if _TIME.fullmatch(time) else NO_TIME, True
    return NO_DATE, NO_TIME, False


def _text(header: Dataset, keyword: str) -> str:
    """A value as text, "" where it is absent or cannot be understood."""
    try:
        value = header[keyword].value if keyword in header else ""
        if isinstance(value, MultiValue | list | tuple):
            return "\\".join(str(part) for part in value)
        return "" if value is None else str(value).strip(" \0")
    except Exception:  # pydicom meets damaged values with whatever it trips over; here is the border
        return ""


def _resolve(dataset: Dataset, goals: Mapping[str, SliceReference], *, listed: bool = False) -> None:
    """Make every reference to a stand-in one to what it stands for.

    listed: inside a list of evidence, which names each object once and no frames.
    """
    for element in dataset:
        if element.VR != "SQ":
            continue
        inside = listed or element.keyword == "ReferencedSeriesSequence"
        kept: dict[object, Dataset] = {}
        for item in element.value:
            _resolve(item, goals, listed=inside)
            goal = goals.get(str(item.get("ReferencedSOPInstanceUID", "")))
            if goal is not None:
                _point(item, goal, frames=not inside)
            kept.setdefault(item.get("ReferencedSOPInstanceUID", id(item)) if inside else id(item), item)
        if len(kept) < len(element.value):
            element.value = DicomSequence(kept.values())


def _point(item: Dataset, goal: SliceReference, *, frames: bool) -> None:
    item.ReferencedSOPInstanceUID = UID(valid_uid(goal.sop_instance))
    item.ReferencedSOPClassUID = UID(goal.sop_class) if is_valid_uid(goal.sop_class) else CTImageStorage
    if frames and goal.frame is not None:
        item.ReferencedFrameNumber = goal.frame
