"""RSNA 2019 (the Kaggle competition `rsna-intracranial-hemorrhage-detection`), unpacked or in its zip file."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from ichnos.ct import LabelledExam, SkippedSlice
from ichnos.data.sources.base import ExamReference, Scan
from ichnos.data.sources.dicom_exams import contents_of, exam_references, read_exam
from ichnos.data.sources.files import FILES, FileStore, FolderStore, ZipStore, open_store
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

_IMAGE_ID = pl.col("name").str.extract(r"([^/]*)\.dcm$").alias("image")
"""`ID_000012eaf`, from a file's name."""


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
        files = images.with_columns(_IMAGE_ID).unique("image", keep="last", maintain_order=True)
        without_file = labels.join(files, on="image", how="anti")["image"]
        without_labels = files.join(labels, on="image", how="anti")["image"]
        labelled = files.join(labels, on="image", how="semi", maintain_order="left").drop("image")
        del images, files
        found, refused = scan_headers(store, labelled, progress, scratch, self.workers)
        skipped = [SkippedSlice(image, "it has labels, but no file") for image in without_file]
        skipped += [SkippedSlice(image, "it has a file, but no labels") for image in without_labels]
        skipped += [SkippedSlice(*row) for row in refused.select(_IMAGE_ID, "reason").iter_rows()]
        if found.is_empty():
            raise SourceError(_nothing_found(self.root, skipped))
        slices = group_series(found).with_columns(_IMAGE_ID.alias("slice")).drop("name", "sop_instance")
        del found
        bits = slices.select("slice").join(labels, left_on="slice", right_on="image", how="left", maintain_order="left")
        slices = slices.with_columns(bits["bits"])
        return Scan(
            exam_references(slices),
            tuple(sorted(skipped, key=lambda each: (each.name, each.reason))),
            contents_of(slices, labels),
        )

    def read(self, reference: ExamReference) -> LabelledExam:
        """See Source."""
        return read_exam(open_store(self.root), reference)


def _find_table_and_images(store: FileStore, root: Path, stage: Stage | None) -> tuple[Path | bytes, pl.DataFrame]:
    """The table of labels and the images beside it, in a folder or in a zip."""
    match store:
        case ZipStore():
            members = store.find("")  # once: a zip of 750,000 members takes its time
            for base, table, folders in _places(stage):
                keys = members.filter(pl.col("name") == f"{base}{table}")["key"]
                if len(keys):
                    beside = [pl.col("name").str.starts_with(f"{base}{folder}/") for folder in folders]
                    return _read_table(store, keys[0], f"{table} in {root}"), _only_dicom(
                        members.filter(pl.any_horizontal(beside)), root
                    )
        case FolderStore():
            for base, table, folders in _places(stage):
                if (root / base / table).is_file():
                    found = [store.find(f"{base}{each}") for each in folders if (root / base / each).is_dir()]
                    return root / base / table, _only_dicom(pl.concat([pl.DataFrame(schema=FILES), *found]), root)
    wanted = " or ".join(f"{each}_train.csv" for each in _IMAGE_FOLDERS if stage in (None, each))
    raise SourceError(
        f"{root} holds no {wanted}; give the folder (or the zip file) of the Kaggle competition {_COMPETITION}"
    )


def _read_table(store: ZipStore, key: str, name: str) -> bytes:
    try:
        return store.read(key)
    except OSError as error:
        raise SourceError(f"{name} cannot be read: {error.strerror}; download it again") from error


def _places(stage: Stage | None) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Where the table may be: the folder before it, its name, and the folders of images beside it."""
    for each, folders in _IMAGE_FOLDERS.items():
        if stage in (None, each):
            for base in ("", f"{_COMPETITION}/"):
                yield base, f"{each}_train.csv", folders


def _only_dicom(files: pl.DataFrame, root: Path) -> pl.DataFrame:
    images = files.filter(pl.col("name").str.ends_with(".dcm"))
    if images.is_empty():
        raise SourceError(f"{root} has the table of labels, but no images (.dcm) beside it; unpack them there too")
    return images


def _nothing_found(root: Path, skipped: list[SkippedSlice]) -> str:
    (reason, count), *_ = Counter(each.reason for each in skipped).most_common(1)
    return f"no image of {root} can be used: {len(skipped)} left out, {count} of them because {reason}"
