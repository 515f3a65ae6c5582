"""`ichnos predict`: what was asked for is written, exit codes tell a machine, and nobody is named."""

import json
import sys
from pathlib import Path

import pytest

from ichnos.cli.main import run
from ichnos.cli.predict import _line  # pyright: ignore[reportPrivateUsage]
from ichnos.dicom.exams import ExamReading, FoundExam
from ichnos.dicom.series_rules import SeriesRules
from ichnos.errors import StorageError
from ichnos.findings import ExamFindings
from ichnos.inference import write_bundle
from ichnos.workflows import predict as predict_workflow
from tests.dicom.head_files import as_series, head_datasets, write
from tests.inference.networks import brightness, manifest
from tests.reporting.exam.results import write_nifti


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "tiny.ichnos", manifest(), brightness(level=-385, gain=0.05).SerializeToString(), "card")
    return tmp_path / "tiny.ichnos"


def predict(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["ichnos", "predict", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        run()
    return int(ended.value.code or 0)


def test_formats(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "SOMEBODY_KNOWN", as_series(head_datasets(PatientID="KNOWN-17"), 1))
    out = tmp_path / "out"
    code = predict(monkeypatch, folder, "--out", out, "--bundle", bundle, "--format", "sr, html", "--json")
    assert code == 0
    printed = capsys.readouterr()
    (exam,) = json.loads(printed.out)["exams"]
    assert exam["files"] == ["exam-001/findings.json", "exam-001/sr.dcm", "exam-001/report.html"]
    assert "known" not in (printed.out + printed.err).lower()


def test_rules_from_a_file_choose_the_series_and_other_files_are_counted(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "in", as_series(head_datasets(ConvolutionKernel="H31s"), 1), "a")
    write(folder, as_series(head_datasets(ConvolutionKernel="H60s"), 2), "b")
    (folder / "notes.txt").write_text("nothing of a scanner's")
    (tmp_path / "rules.json").write_text('{"sharp_kernels": ["H3"], "soft_kernels": ["H6"]}')
    said = ("--out", tmp_path / "out", "--bundle", bundle, "--rules", tmp_path / "rules.json")
    assert predict(monkeypatch, folder, *said) == 0
    assert "passed over, neither DICOM nor NIfTI: 1 file\n" in capsys.readouterr().out
    (exam,) = json.loads((tmp_path / "out" / "summary.json").read_text())["exams"]
    assert [series["taken"] for series in exam["series"]] == [False, True]


def test_it_says_where_all_exams_stand_on_one_page(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "in", as_series(head_datasets(), 1))
    assert predict(monkeypatch, folder, "--out", tmp_path / "out", "--bundle", bundle, "--format", "html") == 0
    assert f"summary.json in {tmp_path / 'out'}, all exams on report.html." in capsys.readouterr().out


def test_a_hemorrhage_of_no_subtype_is_one() -> None:
    said = {"exam": 1, "findings": "f", "present": [], "urgent": True, "probability_any": 0.7, "doubts": []}
    assert _line(said | {"any_present": True}) == "exam 1: URGENT, hemorrhage of no subtype called, any 0.70"
    assert _line(said | {"any_present": False}) == "exam 1: URGENT, no hemorrhage called, any 0.70"


def test_a_demonstration_says_so_in_the_terminal(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "in", as_series(head_datasets(), 1))
    assert predict(monkeypatch, folder, "--out", tmp_path / "plain", "--bundle", bundle) == 0
    assert "A demonstration" not in capsys.readouterr().out
    told = manifest().model_copy(update={"demonstration": "trained on two heads"})
    write_bundle(bundle, told, brightness(level=-385, gain=0.05).SerializeToString(), "card")
    assert predict(monkeypatch, folder, "--out", tmp_path / "out", "--bundle", bundle) == 0
    assert "A demonstration: trained on two heads." in capsys.readouterr().out.splitlines()
    assert json.loads((tmp_path / "out/summary.json").read_text())["bundle"]["demonstration"] == "trained on two heads"


def test_dicom_of_nifti_is_3_with_the_reason(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    volume = write_nifti(tmp_path / "head.nii")
    assert predict(monkeypatch, volume, "--out", tmp_path / "out", "--bundle", bundle, "--format", "key-objects") == 3
    assert "key-objects not written: a NIfTI file names no patient" in capsys.readouterr().out


def test_an_unknown_format_is_2_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(monkeypatch, tmp_path, "--out", tmp_path / "out", "--format", "sr,pdf") == 2
    assert "--format has no 'pdf'; there are: json, sr, key-objects, heatmap, html" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_ctrl_c_says_what_goes_on_and_how(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [write(tmp_path / name, as_series(head_datasets(), 1, study=n)) for n, name in enumerate("ab")]
    written = predict_workflow.write_findings

    def once(findings: ExamFindings, folder: Path, *, force: bool) -> Path:
        if folder.name == "exam-002":
            raise KeyboardInterrupt
        return written(findings, folder, force=force)

    monkeypatch.setattr(predict_workflow, "write_findings", once)
    words = (*folders, "--out", tmp_path / "out", "--bundle", bundle)
    assert predict(monkeypatch, *words) == 130
    said = " ".join(capsys.readouterr().err.split())
    assert "the same command with --force reads all of them again" in said
    assert (tmp_path / "out" / "exam-001" / "findings.json").exists()
    monkeypatch.undo()
    assert predict(monkeypatch, *words, "--force") == 0


def test_a_storage_that_fails_midway_says_how_to_go_on(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [write(tmp_path / name, as_series(head_datasets(), 1, study=n)) for n, name in enumerate("ab")]
    read = predict_workflow.read_found_exam

    def one(found: FoundExam, rules: SeriesRules) -> ExamReading:
        if found.number == 2:
            raise StorageError("s3://b cannot be reached; give the same command again")
        return read(found, rules)

    monkeypatch.setattr(predict_workflow, "read_found_exam", one)
    assert predict(monkeypatch, *folders, "--out", tmp_path / "out", "--bundle", bundle) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "so give --force: 1 exam written there" in said
