"""RSNA 2019 (the Kaggle competition `rsna-intracranial-hemorrhage-detection`), unpacked or in its zip file."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from ichnos.ct import LabelledExam, SkippedSlice
from ichnos.data.sources.base import ExamReference, Scan
from ichnos.data.sources.dicom_exams import exam_reference, read_exam
from ichnos.data.sources.files import FileStore, FolderStore, StoredFile, ZipStore, digest_of, open_store
from ichnos.data.sources.headers import group_series, scan_headers
from ichnos.data.sources.rsna_labels import read_labels
from ichnos.errors import SourceError
from ichnos.progress import Progress

Stage = Literal["stage_1", "stage_2"]

_COMPETITION = "rsna-intracranial-hemorrhage-detection"
"""The folder that the download holds everything under."""

_IMAGE_FOLDERS: dict[Stage, tuple[str, ...]] = {
    "stage_2": ("stage_2_train", "stage_2_train_images"),
    "stage_1": ("stage_1_train_images", "stage_1_train"),
}
"""Where images lie, by stage, the newer first; the table beside them is `<stage>_train.csv`."""


@dataclass(frozen=True)
class RsnaSource:
    """RSNA 2019's training images. root: the unpacked folder, the folder above it, or the zip file, never unpacked.

    stage: which training set, None for the newer that is there. workers: processes that read headers, None for one a
    core. A slice is named by its image ID (`ID_000012eaf`), an exam by its StudyInstanceUID.
    """

    root: Path
    stage: Stage | None = None
    workers: int | None = None

    @property
    def name(self) -> str:
        """The source's name in a set."""
        return "rsna"

    def scan(self, progress: Progress, scratch: Path) -> Scan:
        """See Source. Images without labels, labels without images and what is no CT slice are skipped by reason."""
        store = open_store(self.root)
        table, images = _find_table_and_images(store, self.root, self.stage)
        labels = read_labels(table)
        files = {_image_id(file.name): file for file in images}
        skipped = [SkippedSlice(image, "it has labels, but no file") for image in labels.keys() - files.keys()]
        skipped += [SkippedSlice(image, "it has a file, but no labels") for image in files.keys() - labels.keys()]
        labelled = [file for image, file in files.items() if image in labels]
        found, refused = scan_headers(store, labelled, progress, scratch, self.workers)
        skipped += [SkippedSlice(_image_id(file.name), file.reason) for file in refused]
        if not found:
            raise SourceError(_nothing_found(self.root, skipped))
        exams = tuple(
            exam_reference(series, lambda each: _image_id(each.name), lambda each: labels[_image_id(each.name)])
            for series in group_series(found)
        )
        return Scan(
            exams,
            tuple(sorted(skipped, key=lambda each: (each.name, each.reason))),
            digest_of(labelled, labels.items()),
        )

    def read(self, reference: ExamReference) -> LabelledExam:
        """See Source."""
        return read_exam(open_store(self.root), reference)


def _image_id(name: str) -> str:
    return PurePosixPath(name).stem


def _find_table_and_images(store: FileStore, root: Path, stage: Stage | None) -> tuple[Path | bytes, list[StoredFile]]:
    """The table of labels and the images beside it, in a folder or in a zip."""
    match store:
        case ZipStore():
            members = store.find("")  # once: a zip of 750,000 members takes its time
            tables = {file.name: file for file in members}
            for base, table, folders in _places(stage):
                if f"{base}{table}" in tables:
                    prefixes = tuple(f"{base}{folder}/" for folder in folders)
                    images = [file for file in members if file.name.startswith(prefixes)]
                    return store.read(tables[f"{base}{table}"].key), _only_dicom(images, root)
        case FolderStore():
            for base, table, folders in _places(stage):
                if (root / base / table).is_file():
                    present = [f"{base}{folder}" for folder in folders if (root / base / folder).is_dir()]
                    images = [file for folder in present for file in store.find(folder)]
                    return root / base / table, _only_dicom(images, root)
    wanted = " or ".join(f"{each}_train.csv" for each in _IMAGE_FOLDERS if stage in (None, each))
    raise SourceError(
        f"{root} holds no {wanted}; give the folder (or the zip file) of the Kaggle competition {_COMPETITION}"
    )


def _places(stage: Stage | None) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Where the table may be: the folder before it, its name, and the folders of images beside it."""
    for each, folders in _IMAGE_FOLDERS.items():
        if stage in (None, each):
            for base in ("", f"{_COMPETITION}/"):
                yield base, f"{each}_train.csv", folders


def _only_dicom(files: Iterable[StoredFile], root: Path) -> list[StoredFile]:
    images = [file for file in files if file.name.endswith(".dcm")]
    if not images:
        raise SourceError(f"{root} has the table of labels, but no images (.dcm) beside it; unpack them there too")
    return images


def _nothing_found(root: Path, skipped: list[SkippedSlice]) -> str:
    (reason, count), *_ = Counter(each.reason for each in skipped).most_common(1)
    return f"no image of {root} can be used: {len(skipped)} left out, {count} of them because {reason}"
