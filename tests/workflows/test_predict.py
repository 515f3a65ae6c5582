"""Exams in, findings and what else was asked for out, an exam at a time."""

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

from ichnos import processes
from ichnos.dicom.exams import ExamReading, FoundExam, read_exams
from ichnos.dicom.series_rules import SeriesRules
from ichnos.errors import BundleError, ExamError, InferenceError, InputError, OutputError
from ichnos.findings import ExamFindings
from ichnos.inference import load_bundle, write_bundle
from ichnos.progress import SILENT
from ichnos.remote import RemotePath, place_of
from ichnos.reporting.exam import Format
from ichnos.workflows import predict
from ichnos.workflows.predict import classify_reading, is_partial, predict_paths
from tests.dicom.head_files import as_series, head_datasets, write
from tests.inference.networks import brightness, manifest
from tests.reporting.exam.results import write_nifti


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It calls bright slices: of the head of tests.dicom.head_files some, not all."""
    path = tmp_path_factory.mktemp("bundle") / "tiny.ichnos"
    write_bundle(path, manifest(), brightness(level=-385, gain=0.05).SerializeToString(), "card")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "SOMEBODY_KNOWN", as_series(head_datasets(), 1))


def test_everything_that_was_asked_for_is_in_the_exams_folder(folder: Path, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = predict_paths([folder], out, bundle, SILENT, formats=Format)
    (exam,) = summary["exams"]
    assert exam["urgent"]
    assert exam["findings"] == exam["files"][0] == "exam-001/findings.json"
    files = {path.relative_to(out).as_posix() for path in out.rglob("*.*")}
    assert files == {*exam["files"], "summary.json", "report.html"}
    assert summary["page"] == "report.html"
    assert {"exam-001/sr.dcm", "exam-001/map-any.dcm", "exam-001/report.html"} <= set(exam["files"])
    assert (exam["refused_formats"], exam["empty_formats"]) == ({}, {})
    assert not is_partial(summary)
    assert json.loads((out / "summary.json").read_text()) == summary
    assert not any("somebody" in path.name.lower() for path in out.rglob("*"))


def test_findings_alone_by_default(folder: Path, bundle: Path, tmp_path: Path) -> None:
    summary = predict_paths([folder], tmp_path / "out", bundle, SILENT)
    assert summary["exams"][0]["files"] == ["exam-001/findings.json"]
    assert summary["page"] is None
    assert not (tmp_path / "out" / "report.html").exists()


def test_two_runs_give_the_same_bytes(folder: Path, bundle: Path, tmp_path: Path) -> None:
    for name in "ab":
        predict_paths([folder], tmp_path / name, bundle, SILENT, formats=Format)
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert len(files) > 5
    assert all((tmp_path / "a" / each).read_bytes() == (tmp_path / "b" / each).read_bytes() for each in files)


def test_other_rules_give_other_objects(folder: Path, bundle: Path, tmp_path: Path) -> None:
    predict_paths([folder], tmp_path / "a", bundle, SILENT, formats=[Format.SR])
    predict_paths([folder], tmp_path / "b", bundle, SILENT, formats=[Format.SR], rules=SeriesRules(thickness=(1, 2)))
    assert (tmp_path / "a/exam-001/sr.dcm").read_bytes() != (tmp_path / "b/exam-001/sr.dcm").read_bytes()


def test_of_nifti_dicom_is_refused_and_the_rest_written(bundle: Path, tmp_path: Path) -> None:
    summary = predict_paths(
        [write_nifti(tmp_path / "head.nii")], tmp_path / "out", bundle, SILENT, formats=[Format.SR, Format.HTML]
    )
    (exam,) = summary["exams"]
    assert exam["files"] == ["exam-001/findings.json", "exam-001/report.html"]
    assert list(exam["refused_formats"]) == ["sr"]
    assert is_partial(summary)


def test_a_refused_exam_does_not_stop_the_others(folder: Path, bundle: Path, tmp_path: Path) -> None:
    chest = write(tmp_path / "chest", as_series(head_datasets(PixelSpacing=[8, 8]), 1, study=5))
    summary = predict_paths([chest, folder], tmp_path / "out", bundle, SILENT, formats=Format)
    assert [bool(exam["files"]) for exam in summary["exams"]] == [False, True]
    assert is_partial(summary)
    page = (tmp_path / "out" / "report.html").read_text()
    assert html.escape(summary["exams"][0]["refusal"]) in page
    links = re.findall(r'href="([^"]*)"', page)
    assert links == ["exam-002/report.html"]
    assert all((tmp_path / "out" / link).is_file() for link in links)


def test_where_none_can_be_read_the_page_says_why(bundle: Path, tmp_path: Path) -> None:
    chest = write(tmp_path / "chest", as_series(head_datasets(PixelSpacing=[8, 8]), 1))
    predict_paths([chest], tmp_path / "out", bundle, SILENT, formats=[Format.HTML])
    assert "not a head CT: the body in it measures" in (tmp_path / "out" / "report.html").read_text()


def test_the_page_of_all_goes_to_a_storage_with_the_same_bytes(folder: Path, bundle: Path, tmp_path: Path) -> None:
    predict_paths([folder], tmp_path / "out", bundle, SILENT, formats=[Format.HTML])
    there = place_of("memory://findings/of-all")
    assert isinstance(there, RemotePath)
    predict_paths([folder], there, bundle, SILENT, formats=[Format.HTML])
    for name in ("report.html", "summary.json", "exam-001/report.html"):
        assert (there / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


@pytest.mark.parametrize("cores", [1, 8, 64])
def test_many_exams_at_once_are_written_in_turn_as_each_is_alone(
    cores: int, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = []
    for number in range(7):
        changes = {"PixelSpacing": [8, 8]} if number == 2 else {"SliceThickness": 4.0 + number / 10}
        folders.append(write(tmp_path / "in" / f"{number}", as_series(head_datasets(**changes), 1, study=number + 1)))
    monkeypatch.setattr(processes, "cores", lambda: cores)
    summary = predict_paths(folders, tmp_path / "out", load_bundle(bundle), SILENT)
    assert [exam["exam"] for exam in summary["exams"]] == list(range(1, 8))
    assert [exam["paths"] for exam in summary["exams"]] == [[number] for number in range(1, 8)]
    assert [exam["read"] for exam in summary["exams"]] == [number != 2 for number in range(7)]
    alone = predict_paths([folders[4]], tmp_path / "alone", bundle, SILENT)["exams"][0]
    fifth = json.loads((tmp_path / "out/exam-005/findings.json").read_text())
    first = json.loads((tmp_path / "alone/exam-001/findings.json").read_text())
    assert fifth | {"exam": None} == first | {"exam": None}
    assert summary["exams"][4]["geometry"] == alone["geometry"]


def test_few_exams_are_in_memory_however_many_there_are(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [write(tmp_path / f"{n}", as_series(head_datasets(), 1, study=n + 1)) for n in range(9)]
    begun: list[int] = []
    ahead: list[int] = []
    read, write_result = predict.read_found_exam, predict.write_findings

    def reading(found: FoundExam, rules: SeriesRules) -> ExamReading:
        begun.append(found.number)
        return read(found, rules)

    def writing(findings: ExamFindings, folder: Path, *, force: bool) -> Path:
        ahead.append(len(begun) - len(ahead))
        return write_result(findings, folder, force=force)

    monkeypatch.setattr(predict, "read_found_exam", reading)
    monkeypatch.setattr(predict, "write_findings", writing)
    monkeypatch.setattr(processes, "cores", lambda: 2)
    predict_paths(folders, tmp_path / "out", bundle, SILENT)
    assert begun == list(range(1, 10))
    assert max(ahead) <= 2


def test_a_network_without_an_answer_for_one_exam_costs_that_one(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = predict_with_trouble(InferenceError("no finite numbers"), bundle, tmp_path, monkeypatch)
    assert [exam["findings"] is None for exam in summary["exams"]] == [False, True, False, False]
    assert summary["exams"][1]["refusal"] == "no finite numbers"
    assert json.loads((tmp_path / "out/summary.json").read_text())["exams"] == summary["exams"]


def test_what_stops_one_stops_all_and_nothing_hangs(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BundleError, match="not fit for exams"):
        predict_with_trouble(BundleError("not fit for exams"), bundle, tmp_path, monkeypatch)
    assert (tmp_path / "out/exam-001/findings.json").exists()


def predict_with_trouble(
    trouble: Exception, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Four exams, of which the second raises it."""
    folders = [write(tmp_path / f"{n}", as_series(head_datasets(), 1, study=n + 1)) for n in range(4)]
    classify = predict.classify_reading

    def classifying(reading: ExamReading, *rest: object) -> object:
        if reading.found.number == 2:
            raise trouble
        return classify(reading, *rest)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(predict, "classify_reading", classifying)
    return predict_paths(folders, tmp_path / "out", bundle, SILENT)


def test_what_is_there_is_replaced_with_force_only(folder: Path, bundle: Path, tmp_path: Path) -> None:
    predict_paths([folder], tmp_path / "out", bundle, SILENT, formats=Format)
    with pytest.raises(OutputError, match="holds something already"):
        predict_paths([folder], tmp_path / "out", bundle, SILENT)
    predict_paths([folder], tmp_path / "out", bundle, SILENT, force=True)
    left = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert left == {"summary.json", "exam-001/findings.json"}


def test_a_refused_exam_cannot_be_classified(bundle: Path, tmp_path: Path) -> None:
    (reading,) = read_exams([write(tmp_path, head_datasets(PixelSpacing=[8, 8]))])
    with pytest.raises(ExamError, match="not a head CT"):
        classify_reading(reading, load_bundle(bundle))


def test_no_exam_is_an_error_that_leaves_nothing_behind(bundle: Path, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no exam found"):
        predict_paths([tmp_path / "absent"], tmp_path / "deep" / "out", bundle, SILENT)
    assert not (tmp_path / "deep").exists()
    predict_paths([folder], tmp_path / "out", bundle, SILENT)
    with pytest.raises(InputError, match="no exam found"):
        predict_paths([tmp_path / "absent"], tmp_path / "out", bundle, SILENT, force=True)
    assert (tmp_path / "out" / "summary.json").exists(), "what was there stays"


def test_what_was_written_into_the_study_does_not_disturb_the_next_reading(
    folder: Path, bundle: Path, tmp_path: Path
) -> None:
    first = predict_paths([folder], tmp_path / "out", bundle, SILENT, formats=Format)
    again = predict_paths([folder, tmp_path / "out"], tmp_path / "again", bundle, SILENT, formats=Format)
    (exam,) = again["exams"]
    assert exam["files"] == first["exams"][0]["files"]
    assert [series["modality"] for series in exam["series"] if series["taken"]] == ["CT"]
    assert {series["modality"] for series in exam["series"]} == {"CT", "SR", "KO", "OT"}
    for name in exam["files"]:
        if name.endswith((".dcm", ".json")):
            assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
