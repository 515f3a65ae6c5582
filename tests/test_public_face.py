"""What `import ichnos` offers: an exam read, a bundle opened, findings; and clear words where that cannot be."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import ichnos
from ichnos.ct.exams import Exam
from ichnos.errors import ExamError, InputError
from tests.dicom.head_files import as_series, head, head_datasets, write
from tests.inference.networks import brightness
from tests.stories.predicting import bundle_file, findings, good_exam, nifti_of, predict, zipped


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_file(tmp_path_factory.mktemp("bundle") / "tiny.ichnos", brightness(level=-385, gain=0.05))


@pytest.mark.parametrize("kind", ["folder", "zip", "nifti", "a slice missing"])
def test_an_exam_read_and_classified_gives_what_predict_writes(tmp_path: Path, bundle: Path, kind: str) -> None:
    path = good_exam(tmp_path / "in")
    match kind:
        case "zip":
            path = zipped(tmp_path / "in.zip", path)
        case "nifti":
            path = tmp_path / "head.nii.gz"
            path.write_bytes(nifti_of(0, "LPS", packed=True))
        case "a slice missing":
            cut, unreadable = sorted(path.iterdir())[3:5]
            cut.write_bytes(cut.read_bytes()[:-1000])
            unreadable.write_bytes(unreadable.read_bytes()[:200])
    predict(bundle, tmp_path / "out", path)
    exam = ichnos.read_exam(str(path))
    assert isinstance(exam, Exam)
    classifier = ichnos.load_bundle(bundle)
    told = classifier.classify(exam, name="exam-001")
    assert json.loads(told.to_json()) == findings(tmp_path / "out")
    assert classifier.classify(exam).exam is None
    assert len(told.doubts) == (1 if kind != "a slice missing" else 5)


def test_the_readmes_python_runs(tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (Path(__file__).parents[1] / "README.md").read_text(), re.DOTALL)
    (block,) = [each for each in blocks if "read_exam" in each]
    exec(block.replace("one exam", str(good_exam(tmp_path))).replace("head-ct.ichnos", str(bundle)), {})
    assert capsys.readouterr().out.startswith("True (")


def test_hu_of_ones_own_give_the_same(tmp_path: Path, bundle: Path) -> None:
    exam = ichnos.read_exam(good_exam(tmp_path))
    classifier = ichnos.load_bundle(bundle)
    assert classifier.classify(exam.hu, exam.offsets, pixel_spacing=exam.pixel_spacing) == classifier.classify(exam)
    np.testing.assert_array_equal(classifier.read(exam).maps, classifier.read(head().hu).maps)


def test_an_exam_needs_no_offsets_and_keeps_its_doubts(tmp_path: Path, bundle: Path) -> None:
    exam = ichnos.read_exam(write(tmp_path, head_datasets(ContrastBolusAgent="Iohexol")))
    classifier = ichnos.load_bundle(bundle)
    with pytest.raises(InputError, match="give no offsets and no pixel spacing with it"):
        classifier.classify(exam, exam.offsets)
    doubts = classifier.classify(exam, doubts=["it was a bad day"]).doubts
    assert "contrast was given" in doubts[0]
    assert doubts[1] == "it was a bad day"


def test_none_several_and_no_head_are_said_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "readme.txt").write_text("nothing here")
    with pytest.raises(InputError, match="0 exams found and one is wanted: no DICOM or NIfTI file is there"):
        ichnos.read_exam(tmp_path / "notes")
    with pytest.raises(InputError, match="0 exams found and one is wanted: it does not exist; give a folder, a zip"):
        ichnos.read_exam(tmp_path / "absent")
    good_exam(tmp_path / "two" / "a", study=1)
    good_exam(tmp_path / "two" / "b", study=2)
    with pytest.raises(InputError, match=r"2 exams found and one is wanted: give the folder.*read_exams"):
        ichnos.read_exam(tmp_path / "two")
    with pytest.raises(ExamError, match="not a head CT"):
        ichnos.read_exam(write(tmp_path / "chest", as_series(head_datasets(PixelSpacing=[8, 8]), 1)))
