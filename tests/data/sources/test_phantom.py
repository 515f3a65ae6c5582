"""The synthetic cohort: RSNA's layout with masks and attributes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ichnos.data.sources.phantom import PhantomSource
from ichnos.errors import SourceError
from ichnos.progress import SILENT
from tests.data.sources.rsna_trees import EXAMS, SLICES, image_id, read_all, write_tree


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    root = write_tree(tmp_path / "cohort")
    (root / "masks").mkdir()
    for exam in range(EXAMS):
        mask = np.zeros((8, 8), np.uint8)
        mask[2, 3] = 1 << exam
        Image.fromarray(mask).save(root / "masks" / f"{image_id(exam, SLICES - 1)}.png")
    rows = [f"ID_{exam // 2},ID_57{exam},{40 + exam},F,5.0" for exam in range(EXAMS)]
    (root / "exams.csv").write_text("\n".join(["PatientID,StudyInstanceUID,age,sex,slice_thickness", *rows, ""]))
    return root


def test_masks_and_attributes_are_added(cohort: Path, tmp_path: Path) -> None:
    source = PhantomSource(cohort)
    assert source.name == "phantom"
    for number, exam in enumerate(read_all(source, tmp_path)):
        assert exam.attributes == {"tilt": 0.0, "age": 40.0 + number, "sex": "F", "slice_thickness": 5.0}
        for each in exam.slices[:-1]:
            assert each.mask is not None
            assert not each.mask.any(), "no hemorrhage, no file, an empty mask"
        last = exam.slices[-1].mask
        assert last is not None
        assert last[2, 3] == 1 << number
        assert np.count_nonzero(last) == 1


def test_a_bleeding_slice_without_a_mask_has_none(cohort: Path, tmp_path: Path) -> None:
    (cohort / "masks" / f"{image_id(0, SLICES - 1)}.png").unlink()
    assert read_all(PhantomSource(cohort), tmp_path)[0].slices[-1].mask is None


def test_a_trace_that_is_not_labelled_makes_no_mask(cohort: Path, tmp_path: Path) -> None:
    path = cohort / "masks" / f"{image_id(0, SLICES - 1)}.png"
    with Image.open(path) as picture:
        mask = np.array(picture)
    mask[5, 5] = 1 << 4
    Image.fromarray(mask).save(path)
    assert read_all(PhantomSource(cohort), tmp_path)[0].slices[-1].mask is None


def test_a_mask_that_does_not_fit_is_refused(cohort: Path, tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(cohort / "masks" / f"{image_id(0, SLICES - 1)}.png")
    with pytest.raises(SourceError, match=r"wanted is uint8 of \(8, 8\)"):
        read_all(PhantomSource(cohort), tmp_path)


@pytest.mark.parametrize("table", [None, "PatientID,age\nx,4\n"])
def test_a_cohort_without_its_table_is_refused(cohort: Path, tmp_path: Path, table: str | None) -> None:
    (cohort / "exams.csv").unlink()
    if table is not None:
        (cohort / "exams.csv").write_text(table)
    with pytest.raises(SourceError, match="give a cohort that `ichnos phantom` wrote"):
        PhantomSource(cohort).scan(SILENT, tmp_path)
