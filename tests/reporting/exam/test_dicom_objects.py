"""Our DICOM objects: what they say, what they refer to, and that the same exam gives the same bytes."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from highdicom.sr import Comprehensive3DSR
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from ichnos.dicom.identifiers import is_valid_uid
from ichnos.errors import ExamError
from ichnos.phantom import CohortSettings
from ichnos.progress import SILENT
from ichnos.reporting.exam import ExamResult, heatmaps
from ichnos.reporting.exam.evidence import evidence_of
from ichnos.reporting.exam.heat import class_map
from ichnos.reporting.exam.heatmaps import parametric_map, picture
from ichnos.reporting.exam.key_objects import key_objects
from ichnos.reporting.exam.structured_report import structured_report
from ichnos.subtypes import CLASSES, SUBTYPES, Subtype
from ichnos.workflows.phantom import write_cohort
from tests.dicom.head_files import changed, enhanced, file_of, head_datasets, write
from tests.reporting.exam.results import CALLED, result_of, write_nifti


def objects(result: ExamResult) -> dict[str, bytes]:
    """Every DICOM object that can be made of an exam with something called."""
    evidence = evidence_of(result)
    made = {"sr": structured_report(result, evidence), "key-objects": key_objects(result, evidence)}
    for number, each in enumerate(result.present, start=1):
        made[f"heatmap-{each.subtype}"] = picture(each, number, result, evidence)
        made[f"map-{each.subtype}"] = parametric_map(each, number, result, evidence)
    return made


@pytest.fixture(scope="module")
def made(result: ExamResult) -> dict[str, Dataset]:
    return {name: dcmread(BytesIO(data)) for name, data in objects(result).items()}


def elements(dataset: Dataset) -> Iterator[tuple[str, object]]:
    for element in dataset.iterall():
        yield element.keyword, element.value


def uids(dataset: Dataset) -> set[str]:
    return {str(element.value) for element in dataset.iterall() if element.VR == "UI"}


def content(dataset: Dataset) -> list[tuple[str, str]]:
    """(name, value) of the content items that say something, in order."""
    said = []
    for item in dataset.get("ContentSequence", []):
        name = item.ConceptNameCodeSequence[0].CodeMeaning
        match item.ValueType:
            case "CODE":
                said.append((name, item.ConceptCodeSequence[0].CodeValue))
            case "NUM":
                said.append((name, str(item.MeasuredValueSequence[0].NumericValue)))
            case "TEXT":
                said.append((name, item.TextValue))
            case "IMAGE":
                said.append((name, item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID))
        said += content(item)
    return said


def test_a_demonstration_is_said_in_every_object(result: ExamResult, made: dict[str, Dataset]) -> None:
    source = result.findings.source.model_copy(update={"demonstration": "trained on two heads"})
    doubts = ("a demonstration: trained on two heads",)
    findings = result.findings.model_copy(update={"source": source, "doubts": doubts})
    told = {name: dcmread(BytesIO(data)) for name, data in objects(replace(result, findings=findings)).items()}
    assert told.keys() == made.keys()
    for name, each in told.items():
        assert any("a demonstration: trained on two heads" in str(v).lower() for _, v in elements(each)), name
        assert not any("demonstration" in str(value).lower() for _, value in elements(made[name])), name
        if name.startswith("heatmap"):
            assert each.SeriesDescription == "ichnos demonstration heatmaps, not for diagnosis"
            assert each.PixelData != made[name].PixelData, "the word is burned in"


def test_the_report_says_of_each_class_whether_how_sure_and_where(result: ExamResult, made: dict[str, Dataset]) -> None:
    report = made["sr"]
    assert (report.PreliminaryFlag, report.VerificationFlag, report.CompletionFlag) == (
        "PRELIMINARY",
        "UNVERIFIED",
        "COMPLETE",
    )
    groups = Comprehensive3DSR.from_dataset(report).content.get_image_measurement_groups()
    said = [dict(content(group[0])) for group in groups]
    assert [each["Tracking Identifier"] for each in said] == [c.display_name for c in (Subtype.ANY, *SUBTYPES)]
    by_class = dict(zip((Subtype.ANY, *SUBTYPES), said, strict=True))
    assert by_class[Subtype.SUBDURAL]["Finding"] == "35486000"
    assert by_class[Subtype.SUBDURAL]["Presence of property"] == "52101004"
    assert by_class[Subtype.SUBDURAL]["Probability"] == "0.875"
    key = result.exam.references[4].sop_instance
    assert by_class[Subtype.SUBDURAL]["Source of Measurement"] == key
    assert by_class[Subtype.EPIDURAL]["Presence of property"] == "272519000"
    assert "Source of Measurement" not in by_class[Subtype.EPIDURAL]
    assert by_class[Subtype.INTRAVENTRICULAR]["Finding"] == "50960005"
    assert by_class[Subtype.INTRAVENTRICULAR]["Finding Site"] == "35764002"
    every = content(report)
    assert ("Algorithm Name", "ichnos") in every
    assert ("Algorithm Parameters", f"bundle digest: {result.findings.source.bundle_digest}") in every
    comments = [value for name, value in every if name == "Comment"]
    assert comments[0].startswith("Research use only. Not a medical device. Preliminary")
    assert comments[1:] == ["Doubt: it was made up"]


def test_the_reports_evidence_is_every_slice_that_was_read(result: ExamResult, made: dict[str, Dataset]) -> None:
    (study,) = made["sr"].CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    assert study.StudyInstanceUID == result.exam.study
    assert series.SeriesInstanceUID == result.exam.series
    listed = [item.ReferencedSOPInstanceUID for item in series.ReferencedSOPSequence]
    assert listed == [each.sop_instance for each in result.exam.references]


def test_key_objects_are_the_key_slices(result: ExamResult, made: dict[str, Dataset]) -> None:
    listed = [value for name, value in content(made["key-objects"]) if name == "Source"]
    assert listed == [result.exam.references[k].sop_instance for k in (4, 5, 9)]
    assert made["key-objects"].Modality == "KO"


def test_a_picture_is_the_slice_with_colour_where_the_map_is(result: ExamResult, made: dict[str, Dataset]) -> None:
    image = made["heatmap-subdural"]
    assert image.SourceImageSequence[0].ReferencedSOPInstanceUID == result.exam.references[4].sop_instance
    assert "not for diagnosis" in image.SeriesDescription
    assert image.ConversionType == "WSD"
    pixels = image.pixel_array.astype(int)
    assert pixels.shape == (64, 64, 3)
    coloured = pixels[..., 0] - pixels[..., 2] > 30
    heat = class_map(result, Subtype.SUBDURAL, 4)
    assert coloured.any()
    assert (heat[coloured] > 0).all()


def test_a_map_holds_each_slices_values_at_its_place(result: ExamResult, made: dict[str, Dataset]) -> None:
    image = made["map-subdural"]
    values = np.frombuffer(image.FloatPixelData, "<f4").reshape(image.NumberOfFrames, 64, 64)
    places = result.exam.positions
    slices = []
    for frame, value in zip(image.PerFrameFunctionalGroupsSequence, values, strict=True):
        position = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        index = int(np.abs(places - position).sum(axis=1).argmin())
        np.testing.assert_allclose(places[index], position, atol=1e-5)
        source = frame.DerivationImageSequence[0].SourceImageSequence[0]
        assert source.ReferencedSOPInstanceUID == result.exam.references[index].sop_instance
        np.testing.assert_array_equal(value, class_map(result, Subtype.SUBDURAL, index))
        slices.append(index)
    assert sorted(slices) == [3, 4, 5]
    row, column = np.unravel_index(values[0].argmax(), (64, 64))
    assert (row // 16, column // 16) == (1, 2)


@pytest.mark.parametrize("response", [0.0, 0.01, 1.0])
def test_a_map_is_shown_from_nothing_to_its_strongest_response(head_folder: Path, response: float) -> None:
    result = result_of(head_folder, response=response)
    data = parametric_map(result.findings.any, 1, result, evidence_of(result))
    (window,) = dcmread(BytesIO(data)).SharedFunctionalGroupsSequence[0].FrameVOILUTSequence
    highest = max(float(class_map(result, Subtype.ANY, k).max()) for k in CALLED[Subtype.ANY])
    assert window.VOILUTFunction == "LINEAR_EXACT", "LINEAR has no width below 1"
    assert float(window.WindowWidth) == pytest.approx(highest, rel=1e-5, abs=1e-5)
    assert float(window.WindowWidth) > 0
    assert float(window.WindowCenter) == pytest.approx(float(window.WindowWidth) / 2, rel=1e-5)


def test_a_map_of_any_without_an_output_is_the_largest_of_the_subtypes(head_folder: Path) -> None:
    result = result_of(head_folder, outputs=SUBTYPES)
    largest = np.max([class_map(result, each, 4) for each in SUBTYPES], axis=0)
    np.testing.assert_allclose(class_map(result, Subtype.ANY, 4), largest, atol=1e-6)


def test_patient_and_study_are_the_sources(made: dict[str, Dataset]) -> None:
    for dataset in made.values():
        assert str(dataset.PatientName) == "Müller^Jörg"
        assert (dataset.PatientID, dataset.PatientSex, dataset.PatientBirthDate) == ("somebody", "M", "19500203")
        assert (dataset.StudyDate, dataset.StudyTime, dataset.AccessionNumber) == ("20240105", "101112", "A17")
        assert (dataset.ContentDate, dataset.ContentTime) == ("20240105", "1013")
        assert dataset["ReferringPhysicianName"].value == ""


def test_every_date_is_the_studys(made: dict[str, Dataset]) -> None:
    for dataset in made.values():
        dates = {str(e.value) for e in dataset.iterall() if e.VR in ("DA", "DT") and e.keyword != "PatientBirthDate"}
        assert dates == {"20240105"}


def test_the_same_exam_gives_the_same_bytes_wherever_it_lies(result: ExamResult, tmp_path: Path) -> None:
    first = objects(result)
    known = {"PatientName": "Müller^Jörg", "PatientBirthDate": "19500203", "PatientSex": "M", "AccessionNumber": "A17"}
    dates = {"StudyDate": "20240105", "StudyTime": "101112", "AcquisitionDate": "20240105", "AcquisitionTime": "1013"}
    datasets = head_datasets(SpecificCharacterSet="ISO_IR 100", **known, **dates)
    again = result_of(write(tmp_path / "elsewhere", reversed(datasets), "other"))
    assert objects(again) == first


def test_uids_are_valid_differ_by_kind_and_change_with_bundle_and_options(
    result: ExamResult, made: dict[str, Dataset], head_folder: Path
) -> None:
    assert all(is_valid_uid(uid) for dataset in made.values() for uid in uids(dataset))
    assert len({dataset.SOPInstanceUID for dataset in made.values()}) == len(made)
    assert len({dataset.SeriesInstanceUID for dataset in made.values()}) == 4
    for other in (result_of(head_folder, digest="cd" * 32), result_of(head_folder, options="other rules")):
        assert not instances(other) & instances(result)


def test_what_changes_the_bytes_changes_the_uids(result: ExamResult, head_folder: Path, tmp_path: Path) -> None:
    doubted = result_of(head_folder, doubts=("it was made up", "a file beside it cannot be read"))
    renamed = result_of(write(tmp_path / "renamed", head_datasets(PatientName="Other^Name")))
    fewer = result_of(write(tmp_path / "fewer", head_datasets()[:-1]))
    source = result.findings.source.model_copy(update={"ichnos": "9.9"})
    newer = replace(result, findings=result.findings.model_copy(update={"source": source}))
    for other in (doubted, renamed, fewer, newer):
        assert not instances(other) & instances(result)


def test_each_object_is_named_by_its_bytes(result: ExamResult, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that another machine, or other libraries, cannot give other bytes the same UID."""
    first = objects(result)
    assert result.maps is not None
    maps = result.maps.copy()
    maps[3, result.outputs.index(Subtype.SUBDURAL), 1, 2] *= np.float32(1 + 1e-6)  # in no key slice
    assert renamed(first, objects(replace(result, maps=maps))) == {"map-subdural"}
    surer = result.findings.any.model_copy(update={"probability": 0.875000001})
    findings = result.findings.model_copy(update={"any": surer})
    assert "sr" in renamed(first, objects(replace(result, findings=findings)))
    with monkeypatch.context() as patch:
        patch.setattr(heatmaps, "labelled", lambda picture, *_: picture)  # as another Pillow draws other letters
        assert renamed(first, objects(result)) == {name for name in first if name.startswith("heatmap")}
    with monkeypatch.context() as patch:
        patch.setattr("highdicom.base.__version__", "99")
        assert renamed(first, objects(result)) == set(first)


def renamed(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> set[str]:
    """Which objects have another UID; those, and no others, have other bytes."""
    assert before.keys() == after.keys()
    other = {name for name in before if before[name] != after[name]}
    assert {name for name in before if instance(before[name]) != instance(after[name])} == other
    return other


def instance(data: bytes) -> str:
    dataset = dcmread(BytesIO(data))
    assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    return str(dataset.SOPInstanceUID)


def instances(result: ExamResult) -> set[str]:
    return {instance(data) for data in objects(result).values()}


def test_rsnas_files_have_no_valid_uid_and_no_date(tmp_path: Path) -> None:
    settings = CohortSettings(exams=1, seed=3, prevalence={}, matrix=64, slices=(12, 12))
    root = write_cohort(settings, tmp_path / "cohort", SILENT, workers=1)
    (folder,) = [path for path in root.rglob("*") if path.is_dir() and any(path.glob("*.dcm"))]
    result = result_of(folder)
    assert result.exam.references[0].sop_instance.startswith("ID_")
    for data in objects(result).values():
        dataset = dcmread(BytesIO(data))
        assert all(is_valid_uid(uid) for uid in uids(dataset))
        assert (dataset.ContentDate, dataset.StudyDate, dataset.PatientName) == ("19000101", "", "")
        assert "SeriesDate" not in dataset
    assert objects(result) == objects(result_of(folder))


def test_frames_of_an_enhanced_object_are_referred_to_by_number(tmp_path: Path) -> None:
    datasets = head_datasets()
    (tmp_path / "multi.dcm").write_bytes(file_of(enhanced(datasets, order=list(reversed(range(len(datasets)))))))
    result = result_of(tmp_path)
    made = {name: dcmread(BytesIO(data)) for name, data in objects(result).items()}
    uid, frames = result.exam.references[4].sop_instance, [result.exam.references[k].frame for k in (4, 5, 9)]
    (study,) = made["sr"].CurrentRequestedProcedureEvidenceSequence
    (listed,) = study.ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert (listed.ReferencedSOPInstanceUID, "ReferencedFrameNumber" in listed) == (uid, False)
    images = [each for each in made["key-objects"].ContentSequence if each.ValueType == "IMAGE"]
    assert [each.ReferencedSOPSequence[0].ReferencedFrameNumber for each in images] == frames
    assert made["heatmap-subdural"].SourceImageSequence[0].ReferencedFrameNumber == frames[0]
    assert {v for k, v in elements(made["map-subdural"]) if k == "ReferencedSOPInstanceUID"} == {uid}


def test_values_of_the_wrong_form_are_empty_and_no_warning_names_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    def spoil(dataset: Dataset) -> None:
        dataset.add_new("PatientSex", "LO", "unknown to us")
        dataset.add_new("PatientBirthDate", "LO", "in spring")
        dataset.add_new("StudyDate", "LO", "20241399")
        dataset.add_new("StudyTime", "LO", "noon")
        dataset.add_new("PatientName", "LO", "Some\\Body=With^Too=Many=Parts")

    result = result_of(write(tmp_path, changed(spoil)))
    for data in objects(result).values():
        dataset = dcmread(BytesIO(data))
        assert (dataset.PatientSex, dataset.PatientBirthDate, dataset.StudyDate, dataset.StudyTime) == ("",) * 4
        assert dataset.ContentDate == "19000101"
    assert not caplog.records
    assert capsys.readouterr() == ("", "")


def test_nifti_has_nothing_to_refer_to(tmp_path: Path) -> None:
    write_nifti(tmp_path / "head.nii")
    with pytest.raises(ExamError, match="NIfTI file names no patient"):
        evidence_of(result_of(tmp_path, called={}))


def test_maps_must_fit_the_exam(result: ExamResult) -> None:
    with pytest.raises(ValueError, match="need as many maps"):
        ExamResult(result.exam, result.findings, result.maps[:-1], CLASSES, {})


def test_a_map_without_any_response_is_written(result: ExamResult) -> None:
    made = objects(replace(result, maps=np.zeros_like(result.maps)))
    assert not np.frombuffer(dcmread(BytesIO(made["map-subdural"])).FloatPixelData, "<f4").any()


def test_numbers_of_many_digits_fit_decimal_strings(result: ExamResult) -> None:
    tilt = 0.123456789
    exam = replace(
        result.exam,
        pixel_spacing=(1 / 3, 1 / 7),
        orientation=(1.0, 1e-17, 0.0, -0.0, float(np.cos(tilt)), -float(np.sin(tilt))),
        positions=result.exam.positions + 1000 / 3,
        thickness=10 / 3,
    )
    for data in objects(replace(result, exam=exam)).values():
        for element in dcmread(BytesIO(data)).iterall():
            if element.VR == "DS" and element.value not in (None, ""):
                values = element.value if element.VM > 1 else [element.value]
                assert all(len(str(each)) <= 16 for each in values)


@pytest.mark.parametrize(
    ("charset", "name", "read"),
    [
        ("ISO_IR 100", b"M\xfcller^J\xf6rg", "Müller^Jörg"),
        ("ISO_IR 999", b"M\xfcller^J\xf6rg", "Müller^Jörg"),
        ("\\ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "Yamada^Tarou=山田^太郎"),
    ],
)
def test_names_in_any_character_set_are_written_in_utf_8(tmp_path: Path, charset: str, name: bytes, read: str) -> None:
    def spoil(dataset: Dataset) -> None:
        dataset.SpecificCharacterSet = "ISO_IR 100"
        dataset.add(DataElement(0x00100010, "UN", name))

    folder = write(tmp_path, changed(spoil))
    padded = charset.encode() + b" " * (len(charset) % 2)
    for path in folder.iterdir():
        before, after = b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100", b"\x08\x00\x05\x00CS"
        data = path.read_bytes().replace(before, after + len(padded).to_bytes(2, "little") + padded)
        path.write_bytes(data)
    for data in objects(result_of(folder)).values():
        dataset = dcmread(BytesIO(data))
        assert (dataset.SpecificCharacterSet, str(dataset.PatientName)) == ("ISO_IR 192", read)
