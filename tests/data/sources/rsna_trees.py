"""Small trees in RSNA 2019's layout, as a folder or as the zip that Kaggle gives."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ichnos.ct import LabelledExam
from ichnos.data.sources import Source
from ichnos.dicom import PixelEncoding, SliceIdentity, SlicePlacement, rsna_slice_bytes
from ichnos.progress import SILENT
from ichnos.subtypes import CLASSES, SUBTYPES

EXAMS, SLICES = 3, 4
ENCODINGS = list(PixelEncoding)


def image_id(exam: int, index: int) -> str:
    """Names do not tell the order of slices."""
    return f"ID_{(exam * SLICES + index) * 7919 % 10007:09x}"


def slice_bytes(exam: int, index: int) -> bytes:
    """One slice, 8×8, 5 mm above the one before; its HU tell which it is."""
    identity = SliceIdentity(image_id(exam, index), f"ID_5e{exam}", f"ID_57{exam}", f"ID_{exam // 2}")
    hu = np.full((8, 8), 100 * exam + index, np.int16)
    placement = SlicePlacement((-10.0, -20.0, 5.0 * index - 40.0))
    return rsna_slice_bytes(hu, identity, placement, encoding=ENCODINGS[(exam + index) % len(ENCODINGS)])


def label_rows(image: str, *positive: str) -> list[str]:
    """The six rows of an image."""
    return [f"{image}_{name},{int(name in positive or (name == 'any' and bool(positive)))}" for name in CLASSES]


def all_rows() -> list[str]:
    """The last slice of each exam bleeds, exam k with subtype k."""
    rows: list[str] = []
    for exam in range(EXAMS):
        for index in range(SLICES):
            rows += label_rows(image_id(exam, index), *([SUBTYPES[exam]] if index == SLICES - 1 else []))
    return rows


def write_tree(
    root: Path, rows: list[str] | None = None, images: str = "stage_2_train", table: str = "stage_2_train.csv"
) -> Path:
    """Write the tree; rows stand for the table's own."""
    files = {image_id(exam, index): slice_bytes(exam, index) for exam in range(EXAMS) for index in range(SLICES)}
    return write_files(root, files, all_rows() if rows is None else rows, images, table)


def write_files(root: Path, files: Mapping[str, bytes], rows: list[str], images: str, table: str) -> Path:
    """Write images and table."""
    (root / images).mkdir(parents=True)
    for name, data in files.items():
        (root / images / f"{name}.dcm").write_bytes(data)
    (root / table).write_text("\n".join(["ID,Label", *rows]) + "\n")
    return root


def zip_tree(root: Path, archive: Path, method: int = zipfile.ZIP_DEFLATED) -> Path:
    """The tree as Kaggle's download has it, members in an order of its own."""
    with zipfile.ZipFile(archive, "w", method) as target:
        for path in sorted(root.rglob("*"), key=lambda path: path.name[::-1]):
            if path.is_file():
                target.write(path, f"rsna-intracranial-hemorrhage-detection/{path.relative_to(root).as_posix()}")
    return archive


def read_all(source: Source, scratch: Path) -> list[LabelledExam]:
    """Every exam of a source."""
    scratch.mkdir(exist_ok=True)
    return [source.read(reference) for reference in source.scan(SILENT, scratch).exams]


def assert_same(one: list[LabelledExam], other: list[LabelledExam]) -> None:
    """Exams are equal to the last pixel."""
    assert [_values(exam) for exam in one] == [_values(exam) for exam in other]


def _values(exam: LabelledExam) -> object:
    slices = [
        (each.name, each.hu.tobytes(), each.labels.tolist(), each.offset, each.pixel_spacing) for each in exam.slices
    ]
    return exam.patient, exam.exam, exam.series, exam.skipped, exam.attributes, slices
