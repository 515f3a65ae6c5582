"""`ichnos inspect`: exit codes that a machine can tell apart, a summary for people, and no identifier in either."""

import json
import re
import sys
from pathlib import Path

import pytest

from ichnos.cli.main import run
from ichnos.progress import SILENT
from ichnos.workflows.phantom import write_cohort
from tests.dicom.head_files import as_series, head_datasets, write


def inspect(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["ichnos", "inspect", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        run()
    return int(ended.value.code or 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "SOMEBODY_KNOWN"
    write(folder, as_series(head_datasets(ConvolutionKernel="H31s", SeriesDescription="of Mr. Somebody"), 1), "a")
    write(folder, as_series(head_datasets(ConvolutionKernel="H60s"), 2), "b")
    return folder


def test_all_read_is_0(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert inspect(monkeypatch, folder) == 0
    shown = capsys.readouterr().out
    assert "exam 1 (dicom, from path 1): can be read" in shown
    assert "12 slices of 64×64" in shown
    assert "series 1 (CT, 12 slices" in shown
    assert "left: a sharper kernel than series 1" in shown
    assert "1 of 1 exam can be read" in shown


def test_json(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert inspect(monkeypatch, folder, "--json") == 0
    tree = json.loads(capsys.readouterr().out)
    assert tree["version"] == 1
    (exam,) = tree["exams"]
    assert exam["read"]
    assert exam["geometry"]["slices"] == 12
    assert [series["taken"] for series in exam["series"]] == [True, False]
    assert {series["kernel"] for series in exam["series"]} == {"H31S", "H60S"}


def test_free_text_among_the_codes_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = {"ConvolutionKernel": "SMITH JOHN", "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "DOE JANE 1950"]}
    write(tmp_path, as_series(head_datasets(**text), 1), "a")
    write(tmp_path, as_series(head_datasets(PhotometricInterpretation="SMITH JOHN", SamplesPerPixel=3), 2), "b")
    write(tmp_path, as_series(head_datasets(RescaleType="DOE JANE"), 3), "c")
    assert inspect(monkeypatch, tmp_path, "--json") == 0
    shown = capsys.readouterr().out
    assert not [name for name in ("SMITH", "DOE", "1950") if name in shown]
    (exam,) = json.loads(shown)["exams"]
    assert [series["kernel"] for series in exam["series"]] == ["other", "", ""]
    assert exam["series"][0]["image_type"] == ["ORIGINAL", "PRIMARY", "AXIAL", "other"]


def test_some_refused_is_3(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chest = write(tmp_path / "chest", as_series(head_datasets(PixelSpacing=[8, 8]), 1, study=5))
    assert inspect(monkeypatch, folder, chest) == 3
    shown = capsys.readouterr().out
    assert "exam 2 (dicom, from path 2): refused: not a head CT" in shown
    assert inspect(monkeypatch, folder, tmp_path / "absent") == 3
    assert "not read: 1 × in path 2: it does not exist" in capsys.readouterr().out


def test_a_slice_that_cannot_be_read_is_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    datasets = head_datasets()
    datasets[2].PixelData = datasets[2].PixelData[:50]
    assert inspect(monkeypatch, write(tmp_path, datasets)) == 3
    assert "not read: 1 slice: it is cut short" in capsys.readouterr().out


@pytest.mark.parametrize("as_json", [False, True])
def test_nothing_readable_is_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    option = ["--json"] if as_json else []
    assert inspect(monkeypatch, tmp_path / "absent", *option) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["exams"] == [] if as_json else "no exam found: it does not exist" in printed.err
    chest = write(tmp_path / "chest", head_datasets(PixelSpacing=[8, 8]))
    assert inspect(monkeypatch, chest, *option) == 1
    assert "not a head CT" in capsys.readouterr().out


def test_wrong_use_is_2(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert inspect(monkeypatch) == 2
    assert inspect(monkeypatch, folder, "--rules", tmp_path / "absent.json") == 2
    (tmp_path / "rules.json").write_text('{"order": ["beauty"]}')
    assert inspect(monkeypatch, folder, "--rules", tmp_path / "rules.json") == 2
    assert "no preference 'beauty'" in capsys.readouterr().err


def test_rules_from_a_file(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rules.json").write_text('{"sharp_kernels": ["H3"], "soft_kernels": ["H6"]}')
    assert inspect(monkeypatch, folder, "--rules", tmp_path / "rules.json", "--json") == 0
    (exam,) = json.loads(capsys.readouterr().out)["exams"]
    assert [series["taken"] for series in exam["series"]] == [False, True]


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_no_name_identifier_or_path_is_shown(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: list[str]
) -> None:
    for dataset, name in zip(head_datasets(), "abcdefghijkl", strict=True):
        dataset.Modality = "SOMEBODYKNOWN"
        dataset.SeriesInstanceUID = "1.2.1.3"
        write(folder, [dataset], f"x{name}")
    inspect(monkeypatch, folder, *option)
    printed = capsys.readouterr()
    assert not re.search(r"1\.2\.|somebody|known", printed.out + printed.err, flags=re.IGNORECASE)


def test_a_phantom_cohort_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ichnos.phantom import CohortSettings

    cohort = write_cohort(CohortSettings(exams=8, seed=6, matrix=64, slices=(10, 14)), tmp_path / "cohort", SILENT, 1)
    assert inspect(monkeypatch, cohort, "--json") == 0
    tree = json.loads(capsys.readouterr().out)
    assert all(exam["read"] for exam in tree["exams"])
    assert len(tree["exams"]) == 8
    assert {doubt for exam in tree["exams"] for doubt in exam["doubts"]} <= {
        "its 12-bit values had lost their sign, which was mended"
    }
