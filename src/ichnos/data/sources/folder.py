"""A user's own head CT: any tree of DICOM files (or a zip of one), and a table of labels in CSV."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ichnos.ct import LabelledExam, SkippedSlice
from ichnos.data.sources.base import ExamReference, Scan
from ichnos.data.sources.dicom_exams import contents_of, exam_references, read_exam
from ichnos.data.sources.files import open_store
from ichnos.data.sources.folder_labels import ANY_BIT, PATIENT_COLUMN, FolderLabels, Level, read_folder_labels
from ichnos.data.sources.headers import group_series, scan_headers
from ichnos.errors import SourceError
from ichnos.progress import Progress

_POSITIVE_EXAM = "its exam is labelled positive as a whole, which does not say which slices bleed"

_REPEATED = "it is the same image as another file"

_ABOUT_PATIENTS = (
    f"patients are told apart by PatientID, which anonymised files may share or lack: name them in a column "
    f"`{PATIENT_COLUMN}` of the table of labels"
)


@dataclass(frozen=True)
class FolderSource:
    """Axial CT slices anywhere under `root`, of any file name; all other files are left out and counted.

    labels_csv: see `read_folder_labels`; a label of a whole study or series tells that every slice of a negative one is
    negative, but not which slices of a positive one bleed: those slices are skipped by reason, never guessed at.
    Slices are named by SOPInstanceUID, patients by the hash of their name in the table, or else of PatientID; files
    that are left out by their number in the order of paths, since folders are often named after patients.
    """

    root: Path
    labels_csv: Path
    workers: int | None = None

    @property
    def name(self) -> str:
        """The source's name in a set."""
        return "folder"

    def scan(self, progress: Progress, scratch: Path) -> Scan:
        """See Source."""
        labels = read_folder_labels(self.labels_csv)
        store = open_store(self.root)
        files = store.find("")
        if files.is_empty():
            raise SourceError(f"{self.root} is empty; give the folder that holds the DICOM files")
        names = files.select(
            "key", file=pl.format("file {}", pl.int_range(1, pl.len() + 1).cast(pl.String).str.zfill(6))
        )
        found, refused = scan_headers(store, files, progress, scratch, self.workers)
        single = found.unique("sop_instance", keep="first", maintain_order=True)  # the first by path
        repeated = found.join(single, on="key", how="anti").with_columns(reason=pl.lit(_REPEATED))
        unused = pl.concat([table.select("key", "reason") for table in (refused, repeated)]).join(names, on="key")
        wanted, unlabelled = _labelled(single, labels)
        left_out = [unused.select("file", "reason"), unlabelled, _without_files(found, labels)]
        skipped = [SkippedSlice(*row) for table in left_out for row in table.iter_rows()]
        if wanted.is_empty():
            raise SourceError(_nothing_found(self.root, len(files), skipped))
        if labels.names_patients:
            _refuse_shared_exams(wanted, self.labels_csv)
        slices = group_series(_pseudonymous(wanted)).with_columns(slice="sop_instance")
        return Scan(
            exam_references(slices),
            tuple(sorted(skipped, key=lambda each: (each.name, each.reason))),
            contents_of(slices, labels.table),
            _ABOUT_PATIENTS,
        )

    def read(self, reference: ExamReference) -> LabelledExam:
        """See Source."""
        return read_exam(open_store(self.root), reference)


def pseudonym(patient: str) -> str:
    """Twelve hexadecimal digits that stand for a PatientID: the same patient, the same digits (BLAKE2b).

    A pseudonym, not anonymity: who knows a PatientID can compute it.
    """
    return hashlib.blake2b(patient.encode(), digest_size=6).hexdigest()


def _pseudonymous(slices: pl.DataFrame) -> pl.DataFrame:
    patients = slices.select("patient").unique()
    own = pl.Series("pseudonym", [pseudonym(patient) for patient in patients["patient"]], pl.String())
    joined = slices.join(patients.with_columns(own), on="patient", how="left", maintain_order="left")
    return joined.with_columns(patient="pseudonym").drop("pseudonym")


def _key(level: Level) -> pl.Expr:
    """What a slice is looked up by in the table of labels."""
    match level:
        case Level.SLICE:
            return pl.col("sop_instance").alias("uid")
        case Level.SERIES:
            return pl.col("series").alias("uid")
        case Level.STUDY:
            return pl.col("study").alias("uid")


def _labelled(found: pl.DataFrame, labels: FolderLabels) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Slices with bits and the patient that the table names, if it does; and names and reasons of those left out."""
    told = found.with_columns(_key(labels.level)).join(labels.table, on="uid", how="left", maintain_order="left")
    told = told.with_columns(patient=pl.coalesce("named_patient", "patient")).drop("uid", "named_patient")
    bits = pl.col("bits")
    of_exams = pl.lit(labels.level is not Level.SLICE)
    reason = (
        pl.when(bits == ANY_BIT)
        .then(pl.lit("it is labelled `any`, but with no subtype"))
        .when(bits.is_null())
        .then(pl.lit("it has a file, but no labels"))
        .when(of_exams & (bits != 0))
        .then(pl.lit(_POSITIVE_EXAM))
        .alias("reason")
    )
    told = told.with_columns(reason)
    skipped = told.filter(pl.col("reason").is_not_null()).select("sop_instance", "reason")
    return told.filter(pl.col("reason").is_null()).drop("reason"), skipped


def _refuse_shared_exams(slices: pl.DataFrame, table: Path) -> None:
    """An exam is of one patient: a table that says otherwise would let a patient cross from training into test."""
    shared = slices.group_by("study").agg(pl.col("patient").n_unique()).filter(pl.col("patient") > 1)
    if len(shared):
        raise SourceError(f"{table} gives slices of one study to several patients ({len(shared)} studies); mend it")


def _without_files(found: pl.DataFrame, labels: FolderLabels) -> pl.DataFrame:
    reason = f"it has labels, but no usable file ({labels.level} of the table)"
    absent = labels.table.join(found.select(_key(labels.level)), on="uid", how="anti")
    return absent.select("uid", pl.lit(reason).alias("reason"))


def _nothing_found(root: Path, files: int, skipped: Sequence[SkippedSlice]) -> str:
    (reason, count), *_ = Counter(each.reason for each in skipped).most_common(1)
    found = f"none of the {files} files under {root} is a labelled axial CT slice"
    return f"{found}; the commonest reason, {count} times: {reason}"
