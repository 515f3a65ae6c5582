"""RSNA 2019 (the Kaggle competition `rsna-intracranial-hemorrhage-detection`), unpacked or in its zip file."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from ichnos.ct import LabelledExam
from ichnos.data.sources.base import ExamReference, Scan
from ichnos.data.sources.dicom_exams import contents_of, exam_references, read_exam
from ichnos.data.sources.files import FileRow, FileStore, ZipStore, open_store
from ichnos.data.sources.headers import order_slices, scan_headers
from ichnos.data.sources.rsna_labels import read_labels
from ichnos.data.sources.tables import Tables, new_tables
from ichnos.errors import SourceError
from ichnos.files import explained
from ichnos.processes import Workers
from ichnos.progress import Progress
from ichnos.remote import Place
from ichnos.subtypes import CLASSES

Stage = Literal["stage_1", "stage_2"]

_COMPETITION = "rsna-intracranial-hemorrhage-detection"
"""The folder that the download holds everything under."""

_IMAGE_FOLDERS: dict[Stage, tuple[str, ...]] = {
    "stage_2": ("stage_2_train", "stage_2_train_images"),
    "stage_1": ("stage_1_train_images", "stage_1_train"),
}
"""Where images lie, by stage, the newer first; the table beside them is `<stage>_train.csv`."""

_TEST_FOLDERS: dict[Stage, tuple[str, ...]] = {
    "stage_2": ("stage_2_test", "stage_2_test_images"),
    "stage_1": ("stage_1_test_images", "stage_1_test"),
}
"""Where the test images lie, of which there are no labels."""

_FILES = """
INSERT INTO files (name, key, size)
  SELECT name, key, size FROM (
    SELECT name, key, size, row_number() OVER (PARTITION BY image(name) ORDER BY size DESC, name DESC) AS place
      FROM found WHERE image(name) IN (SELECT uid FROM labels))
    WHERE place = 1 ORDER BY name
"""
"""Those with labels; of an image that is there twice the larger file, as the other may be cut short, of equal ones the
last by name."""

_LEFT_OUT = (
    """
    INSERT INTO left_out SELECT uid, 'it has labels, but no file' FROM labels
      WHERE uid NOT IN (SELECT image(name) FROM files)
    """,
    """
    INSERT INTO left_out SELECT DISTINCT image(name), 'it has a file, but no labels' FROM found
      WHERE image(name) NOT IN (SELECT uid FROM labels)
    """,
    "INSERT INTO left_out SELECT image(name), reason FROM refused JOIN files ON number = file ORDER BY file",
)

_SLICES = """
SELECT headers.patient, study, series, place, uid, bits, key, start
  FROM headers JOIN files ON number = file JOIN labels ON uid = image(name)
  ORDER BY headers.patient, study, series, sop_instance, file
"""


@dataclass(frozen=True)
class RsnaSource:
    """RSNA 2019's images. root: the unpacked folder, the folder above it, or the zip file, never unpacked.

    stage: which stage's, None for the newer that is there. test: the test images instead of those of training; they
    have no labels, the set says so, and serves to make a submission. workers: who reads headers, None for one process
    a core. A slice is named by its image ID (`ID_000012eaf`), an exam by its StudyInstanceUID.
    """

    root: Place
    stage: Stage | None = None
    workers: Workers = None
    test: bool = False

    @property
    def name(self) -> str:
        """The source's name in a set."""
        return "rsna"

    def scan(self, progress: Progress, scratch: Path) -> Scan:
        """See Source. Images without labels, labels without images and what is no CT slice are skipped by reason."""
        store = open_store(self.root)
        with new_tables(scratch) as tables:
            tables.create_function("image", 1, _image_of, deterministic=True)
            if self.test:
                _find_test_images(tables, store, self.root, self.stage)
            else:
                _find_labelled_images(tables, store, self.root, self.stage, scratch)
            tables.execute(_FILES)
            scan_headers(tables, store, progress, scratch, self.workers)
            for query in _LEFT_OUT:
                tables.execute(query)
            order_slices(tables, _SLICES)
            if not tables.count("exams"):
                raise SourceError(_nothing_found(self.root, tables))
            contents = contents_of(tables, "SELECT uid, bits FROM labels ORDER BY uid")
            return Scan(exam_references(tables), tables.skipped(), contents, labelled=() if self.test else CLASSES)

    def read(self, reference: ExamReference) -> LabelledExam:
        """See Source."""
        return read_exam(open_store(self.root), reference)


def _image_of(name: str) -> str:
    """`ID_000012eaf`, from a file's name."""
    return name.rpartition("/")[2].removesuffix(".dcm")


def _find_labelled_images(tables: Tables, store: FileStore, root: Place, stage: Stage | None, scratch: Path) -> None:
    labels, folders = _find_labels_and_folders(store, root, stage)
    _find_images(tables, store, folders)
    if not tables.count("found"):
        raise SourceError(f"{root} has the table of labels, but no images (.dcm) beside it; unpack them there too")
    _read_labels(tables, store, root, labels, scratch)


def _find_test_images(tables: Tables, store: FileStore, root: Place, stage: Stage | None) -> None:
    """Of the newest stage that is there; `labels` gets a row of zeros for each, which the set says are no labels."""
    for each, folders in _TEST_FOLDERS.items():
        if stage in (None, each) and not tables.count("found"):
            _find_images(tables, store, [f"{base}{folder}" for base in ("", f"{_COMPETITION}/") for folder in folders])
    if not tables.count("found"):
        raise SourceError(
            f"{root} holds no test images (stage_2_test/*.dcm); give the folder (or the zip file) of the Kaggle "
            f"competition {_COMPETITION}"
        )
    tables.execute("INSERT INTO labels SELECT DISTINCT image(name), 0, NULL FROM found")


def _find_images(tables: Tables, store: FileStore, folders: list[str]) -> None:
    images = (file for file in store.find(*folders) if file[0].endswith(".dcm"))
    tables.executemany("INSERT INTO found VALUES (?, ?, ?)", images)


def _find_labels_and_folders(store: FileStore, root: Place, stage: Stage | None) -> tuple[FileRow, list[str]]:
    """The table of labels, and the folders where the images beside it may lie, in a folder or in a zip."""
    names = [f"{base}{table}" for base, table, _ in _places(stage)]
    match store:
        case ZipStore():
            tables = {file[0]: file for file in store.find("") if file[0] in names}
        case _:
            try:
                tables = {name: (name, name, 0) for name in names if (root / name).is_file()}
            except OSError as error:
                raise SourceError(f"{root} cannot be read: {error.strerror}") from error
    for base, table, folders in _places(stage):
        if found := tables.get(f"{base}{table}"):
            return found, [f"{base}{folder}" for folder in folders]
    wanted = " or ".join(f"{each}_train.csv" for each in _IMAGE_FOLDERS if stage in (None, each))
    raise SourceError(
        f"{root} holds no {wanted}; give the folder (or the zip file) of the Kaggle competition {_COMPETITION}"
    )


def _read_labels(tables: Tables, store: FileStore, root: Place, file: FileRow, scratch: Path) -> None:
    name, key, _ = file
    if not isinstance(store, ZipStore):
        return read_labels(tables, root / name, str(root / name))
    described, unpacked = f"{PurePosixPath(name).name} in {root}", scratch / "labels.csv"
    try:
        with explained(unpacked):
            store.unpack(key, unpacked)
    except OSError as error:
        raise SourceError(f"{described} cannot be read: {error.strerror}; download it again") from error
    return read_labels(tables, unpacked, described)


def _places(stage: Stage | None) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Where the table may be: the folder before it, its name, and the folders of images beside it."""
    for each, folders in _IMAGE_FOLDERS.items():
        if stage in (None, each):
            for base in ("", f"{_COMPETITION}/"):
                yield base, f"{each}_train.csv", folders


def _nothing_found(root: Place, tables: Tables) -> str:
    reason, count = tables.commonest_reason()
    total = tables.count("left_out")
    return f"no image of {root} can be used: {total} left out, {count} of them because {reason}"
