"""CQ500: a tree of exactly its form, three readers' table, labels of whole exams."""

from pathlib import Path

import numpy as np
import pytest

from ichnos.data.set import PreparedSet
from ichnos.data.sources.cq500 import Cq500Source
from ichnos.data.sources.cq500_reads import exam_number, read_reads
from ichnos.errors import SourceError
from ichnos.progress import SILENT
from ichnos.subtypes import CLASSES, Subtype
from tests.dicom.ct_files import file_of
from tests.dicom.head_files import as_series, head_datasets, stored
from tests.stories.running import ichnos

FINDINGS = [
    *("ICH", "IPH", "IVH", "SDH", "EDH", "SAH", "BleedLocation-Left", "BleedLocation-Right", "ChronicBleed"),
    *("Fracture", "CalvarialFracture", "OtherFracture", "MassEffect", "MidlineShift"),
]
HEADER = ",".join(["name", "Category", *(f"R{k}:{finding}" for k in (1, 2, 3) for finding in FINDINGS)])


def row(number: int, *readers: str, category: str = "B1") -> str:
    """One exam; each reader is the findings that they saw, such as "ICH SDH"."""
    marks = [str(int(finding in seen.split())) for seen in readers for finding in FINDINGS]
    return ",".join([f"CQ500-CT-{number}", category, *marks])


ROWS = (
    row(0, "", "", "ICH IPH"),
    row(1, "ICH SDH Fracture", "ICH SDH", "Fracture", category="B2"),
    row(2, "ICH SDH", "ICH IPH", "ICH EDH"),
    row(10, "ICH IPH IVH", "ICH IPH IVH", "ICH IPH"),
)


def write_series(folder: Path, exam: int, number: int, every: int = 1, kernel: str = "H31s") -> None:
    datasets = as_series(head_datasets(ConvolutionKernel=kernel), number, 100 + exam)[::every]
    folder.mkdir(parents=True)
    for k, dataset in enumerate(datasets):
        dataset.PatientID = f"CQ500-CT-{exam}"
        dataset.PixelData = (stored(dataset) + np.int16(exam)).tobytes()
        (folder / f"CT{k:06d}.dcm").write_bytes(file_of(dataset))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four exams: a sharp and a soft series each, one folder a level deeper, a stray folder, a row without a folder."""
    root = tmp_path_factory.mktemp("cq500")
    for exam in (0, 1, 2, 10):
        base = root / f"CQ500CT{exam} CQ500CT{exam}" / "Unknown Study"
        if exam == 2:
            base = root / "batch" / f"CQ500CT{exam} CQ500CT{exam}" / "Unknown Study"
        write_series(base / "CT BONE THIN", exam, 1, kernel="H60s")
        write_series(base / "CT 5mm", exam, 2)
    write_series(root / "CQ500CT77 CQ500CT77" / "Unknown Study" / "CT Plain", 77, 1)
    (root / "reads.csv").write_text("\n".join([HEADER, *ROWS, row(99, "", "", ""), ""]))
    return root


def test_names() -> None:
    assert [exam_number(name) for name in ("CQ500-CT-0", "CQ500CT12 CQ500CT12", "cq500ct7")] == [0, 12, 7]
    assert exam_number("Unknown Study") is None


def test_two_of_three_readers_decide(tree: Path) -> None:
    reads = {read.number: read for read in read_reads(tree / "reads.csv")}

    def seen(number: int) -> set[str]:
        return {c.value for k, c in enumerate(CLASSES) if reads[number].labels >> k & 1}

    assert seen(0) == set()
    assert seen(1) == {"subdural", "any"}
    assert seen(2) == {"any"}, "they agree on a hemorrhage and not on its kind"
    assert seen(10) == {"intraparenchymal", "intraventricular", "any"}
    assert dict(reads[1].attributes) == {
        "chronic_bleed": "no",
        "fracture": "yes",
        "mass_effect": "no",
        "midline_shift": "no",
        "category": "B2",
    }


def test_one_series_of_each_exam_is_read_with_the_exams_labels(tree: Path, tmp_path: Path) -> None:
    source = Cq500Source(tree)
    scan = source.scan(SILENT, tmp_path)
    assert [each.exam for each in scan.exams] == [f"CQ500-CT-{k}" for k in (0, 1, 2, 10)]
    assert {s.name: s.reason for s in scan.skipped} == {
        "CQ500-CT-77": "it has a folder, but is not in reads.csv",
        "CQ500-CT-99": "it is in reads.csv, but has no folder",
    }
    exams = {reference.exam: source.read(reference) for reference in scan.exams}
    one = exams["CQ500-CT-1"]
    assert len(one.slices) == 12, "the soft kernel's series alone"
    assert all(each.labels.tolist() == [False, False, False, False, True] for each in one.slices)
    assert one.attributes["any"] == 1.0
    assert one.attributes["fracture"] == "yes"
    assert [each.offset for each in one.slices] == sorted(each.offset for each in one.slices)
    assert one.slices[0].name == "CQ500-CT-1/001"
    assert np.median(one.slices[5].hu - exams["CQ500-CT-0"].slices[5].hu) == 1, "each exam its own pixels"


def test_the_set_says_that_labels_are_of_exams(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    done = ichnos("prepare", "cq500", str(tree), "--out", str(out), "--workers", "2")
    assert done.exit_code == 0, done.stderr
    assert "positive exams: epidural 0, intraparenchymal 1" in done.stderr
    prepared = PreparedSet(out)
    assert prepared.header.labels_of == "exam"
    assert prepared.header.positives["any"] == 3
    assert not prepared.header.teaches
    some = prepared.labels_of((Subtype.ANY,))[:, 0]
    assert set(prepared.index["exam"].to_numpy()[some]) == {f"CQ500-CT-{k}" for k in (1, 2, 10)}
    assert ichnos("prepare", "cq500", str(tree), "--out", str(out)).exit_code == 0, "already prepared"
    taught = ichnos("train", "paper_model_1", "--data", str(out), "--out", str(tmp_path / "run"))
    assert taught.exit_code == 1
    assert "no labels of single slices" in taught.stderr


def test_an_exam_that_cannot_be_read_is_left_out_with_its_reason(tree: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "reads.csv").write_text("\n".join([HEADER, row(5, "", "", ""), ""]))
    (bad / "CQ500CT5 CQ500CT5").mkdir()
    (bad / "CQ500CT5 CQ500CT5" / "CT000000.dcm").write_bytes(b"\0" * 128 + b"DICM no more")
    source = Cq500Source(bad)
    exam = source.read(source.scan(SILENT, tmp_path).exams[0])
    assert exam.slices == ()
    assert len(exam.skipped) == 1
    assert exam.skipped[0].reason


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["name,Category", "CQ500-CT-0,B1"], "lacks the columns R1:EDH"),
        ([HEADER], "no rows"),
        ([HEADER, row(0, "", "", "").replace(",0", ",2", 1)], "a reader says 0 or 1"),
        ([HEADER, row(0, "", "", ""), row(0, "ICH", "ICH", "ICH")], "is there twice"),
        ([HEADER, row(0, "", "", "").replace("CQ500-CT-0", "somebody")], "not of the form"),
        ([HEADER, row(7, "", "", "")], "no folder of an exam"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, lines: list[str], said: str) -> None:
    (tmp_path / "reads.csv").write_text("\n".join([*lines, ""]))
    with pytest.raises(SourceError, match=said):
        Cq500Source(tmp_path).scan(SILENT, tmp_path)


def test_a_folder_without_the_table(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"reads\.csv does not exist"):
        Cq500Source(tmp_path).scan(SILENT, tmp_path)
